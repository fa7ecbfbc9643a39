/* The dialog that moves photos to an album. */
import { api, parts } from "./api.js";
import { _ } from "./texts.js";

/** Moves photos to the album chosen in the dialog's `fields`; gives its id, null for none. */
export async function move(photos, fields) {
  let album = fields.get("album") || null;
  if (album === "new") {
    const name = fields.get("name").trim();
    if (!name) throw new Error(_("Give the new album a name."));
    album = (await api("POST", "/albums", { name })).id;
  }
  for (const part of parts(photos)) await api("POST", "/photos/move", { photos: part, album_id: album });
  return album;
}

document.querySelector("#move input[name=name]")?.addEventListener("focus", (event) => {
  event.target.closest(".kind").querySelector("[type=radio]").checked = true;
});
