/* The grid of photos: loads while scrolling, follows events, selection, and what is done with it. */
import { MOST, api, page, parts } from "./api.js";
import { open, whenSent } from "./dialogs.js";
import * as events from "./events.js";
import { move } from "./moving.js";
import { askAndRestore } from "./restoring.js";
import { _, ngettext } from "./texts.js";
import { toast } from "./toasts.js";
import { Uploader } from "./uploader.js";

const tiles = document.getElementById("tiles");
const picked = document.getElementById("picked");
const choosing = "choose" in tiles.dataset;
const albumField = document.querySelector("#upload [name=album_id]");
const tileOf = (id) => tiles.querySelector(`[data-photo="${id}"]`);
const plural = (count) => ngettext("{count} photo", "{count} photos", count);

/* More photos come when the end of the list is near. */
const near = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) more(entry.target);
}, { rootMargin: "800px" });

async function more(row) {
  near.unobserve(row);
  try {
    const part = await page(row.querySelector("a").href);
    const fresh = [...part.querySelectorAll("li")].filter((tile) => !tile.dataset.photo || !tileOf(tile.dataset.photo));
    row.replaceWith(...fresh);
    watchEnd();
  } catch (error) {
    toast(error.message, { tone: "bad" });
  }
}

function watchEnd() {
  const row = tiles.querySelector("[data-next]");
  if (row) near.observe(row);
}
tiles.addEventListener("click", (event) => {
  const link = event.target.closest("[data-next] a");
  if (link) { event.preventDefault(); more(link.closest("[data-next]")); }
});
watchEnd();

/* A tile is what the server renders; after an event it is asked for again. Answers that arrive out
   of order are put right by asking again. */
const asked = new Map();
async function update(id, { first = false } = {}) {
  if (!first && !tileOf(id)) return;
  const turn = (asked.get(id) ?? 0) + 1;
  asked.set(id, turn);
  const part = await page(`/photos/${id}/tile${choosing ? "?for=uncover" : ""}`).catch(() => null);
  const fresh = part?.querySelector("li");
  if (!fresh || asked.get(id) !== turn) return;
  const old = tileOf(id);
  if (old) {
    const box = fresh.querySelector(".pick input");
    const before = old.querySelector(".pick input");
    if (box && before) box.checked = before.checked;
    const held = old.contains(document.activeElement) ? document.activeElement.localName : null;
    const kept = old.querySelector("img");
    const image = fresh.querySelector("img");
    if (kept && image && kept.getAttribute("src") === image.getAttribute("src")) image.replaceWith(kept);
    old.replaceWith(fresh);
    if (held) fresh.querySelector(held)?.focus({ preventScroll: true });
  } else if (first) {
    tiles.prepend(fresh);
    tiles.hidden = false;
    document.getElementById("drop")?.remove();
    for (const part of document.querySelectorAll("[data-with-photos]")) part.hidden = false;
  }
}

const shown = new Map();
events.on("job", (job) => {
  if (!tileOf(job.photo_id) || shown.get(job.photo_id) === job.id + job.state) return;
  shown.set(job.photo_id, job.id + job.state);
  update(job.photo_id);
});
/* The event can come before the tile of an upload is in the grid. */
events.on("photo", (photo) => {
  const tile = tileOf(photo.id);
  if (tile ? tile.querySelector(".blank") : asked.has(photo.id)) update(photo.id, { first: true });
});
events.on("photo-deleted", ({ id }) => { asked.delete(id); tileOf(id)?.remove(); total(); });
events.on("job-deleted", ({ id }) => { const tile = tiles.querySelector(`[data-job="${id}"]`); if (tile) update(tile.dataset.photo); });
events.on("again", () => {
  for (const tile of tiles.querySelectorAll("[data-photo]")) {
    if (tile.querySelector(".blank, progress, [data-tone=busy]") || "job" in tile.dataset) update(tile.dataset.photo);
  }
});

new Uploader(document.getElementById("files"), albumField ? { album_id: albumField.value } : {}, (photo) => update(photo.id, { first: true }));

/* Selection. */
let last = null;
const boxes = () => [...tiles.querySelectorAll(".pick input")];
const chosen = () => boxes().filter((box) => box.checked).map((box) => box.value);

function total() {
  if (!picked) return;
  const count = chosen().length;
  picked.hidden = count === 0;
  tiles.classList.toggle("picking", count > 0);
  picked.querySelector("[data-total]").textContent = ngettext("{count} selected", "{count} selected", count);
}

function clear() {
  for (const box of boxes()) box.checked = false;
  total();
}

if (picked) {
  tiles.addEventListener("click", (event) => {
    const box = event.target.closest(".pick input");
    if (!box) return;
    const all = boxes();
    if (event.shiftKey && last && all.includes(last)) {
      const [from, to] = [all.indexOf(last), all.indexOf(box)].sort((a, b) => a - b);
      for (const one of all.slice(from, to + 1)) one.checked = box.checked;
    }
    last = box;
    total();
  });
  addEventListener("keydown", (event) => {
    if (event.target.closest("dialog, details[open]") || event.target.matches("input:not([type=checkbox]), textarea, select")) return;
    if (event.key === "Escape" && chosen().length) clear();
    if (event.key === "a" && (event.ctrlKey || event.metaKey) && boxes().length) {
      event.preventDefault();
      for (const box of boxes()) box.checked = true;
      total();
    }
    if (tiles.contains(document.activeElement) && !event.ctrlKey && !event.metaKey) {
      if (event.key === "x") document.activeElement.closest(".tile")?.querySelector(".pick input").click();
      if (event.key === "r" && chosen().length) picked.querySelector("[data-restore]").click();
    }
    arrows(event);
  });
  picked.querySelector("[data-clear]").addEventListener("click", clear);
  picked.querySelector("[data-restore]").addEventListener("click", () => {
    const photos = chosen();
    askAndRestore({ photos }, plural(photos.length), started);
  });
  picked.querySelector("[data-move]").addEventListener("click", () => open("move"));
  picked.querySelector("[data-delete]").addEventListener("click", () => {
    const count = chosen().length;
    open("delete-photos").querySelector("[data-subject]").textContent = ngettext("Delete {count} photo?", "Delete {count} photos?", count);
  });
  total();
}

/* Arrow keys go from photo to photo, also up and down. */
function arrows(event) {
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(), ArrowDown: columns() }[event.key];
  const here = document.activeElement?.closest?.(".tile");
  if (!step || !here || !tiles.contains(here)) return;
  const links = [...tiles.querySelectorAll(".tile > a")];
  const target = links[links.indexOf(here.querySelector("a")) + step];
  if (!target) return;
  event.preventDefault();
  target.focus();
}

function columns() {
  return getComputedStyle(tiles).gridTemplateColumns.split(" ").length;
}

function started(jobs) {
  clear();
  for (const job of jobs) update(job.photo_id);
  toast(ngettext("{count} photo is being restored.", "{count} photos are being restored.", jobs.length), { symbol: "restore", key: "jobs", link: { href: "/jobs", text: _("Follow") } });
}

document.querySelector("[data-restore-all]")?.addEventListener("click", async (event) => {
  const button = event.currentTarget;
  if (button.dataset.album) {
    askAndRestore({ album: button.dataset.album }, document.getElementById("album-name").textContent, started);
    return;
  }
  button.disabled = true;
  try {
    const photos = await allPhotos();
    const subject = photos.length < MOST ? plural(photos.length) : _("The newest {count} photos", { count: MOST });
    askAndRestore({ photos }, subject, started);
  } catch (error) {
    toast(error.message, { tone: "bad" });
  } finally {
    button.disabled = false;
  }
});

/* All photos that can be restored, as many as a request takes. */
async function allPhotos() {
  const photos = [];
  let cursor = "";
  do {
    const part = await api("GET", `/photos?limit=200${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
    photos.push(...part.items.filter((photo) => photo.state !== "broken").map((photo) => photo.id));
    cursor = part.next;
  } while (cursor && photos.length < MOST);
  return photos.slice(0, MOST);
}

/* Moving and deleting the selection. */
whenSent("move", async (fields) => {
  const album = await move(chosen(), fields);
  location.assign(album ? `/albums/${album}` : "/");
});
whenSent("delete-photos", async () => {
  const photos = chosen();
  for (const part of parts(photos)) await api("POST", "/photos/delete", { photos: part });
  for (const id of photos) {
    asked.delete(id);
    tileOf(id)?.remove();
  }
  total();
  toast(ngettext("{count} photo deleted.", "{count} photos deleted.", photos.length));
  if (!tiles.querySelector("[data-photo]")) location.reload();
});
