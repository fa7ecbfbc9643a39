/* The dialog that starts a restoration. */
import { api } from "./api.js";
import { open, say } from "./dialogs.js";
import { follow } from "./notices.js";

const dialog = document.getElementById("restore");
const form = dialog?.querySelector("form");
let target = null;
let started = null;

/** Asks how to restore `body` ({photos} or {album}); then starts the jobs and calls `done(jobs)`. */
export function askAndRestore(body, subject, done) {
  target = body;
  started = done;
  dialog.querySelector("[data-subject]").textContent = subject;
  open("restore");
}

function options(kind) {
  const own = `option.${kind}.`;
  const fields = [...form.querySelectorAll(`[name^="${own}"]:not([type=hidden])`)];
  return Object.fromEntries(fields.map((field) => [field.name.slice(own.length), value(field)]));
}

function value(field) {
  if (field.type === "checkbox") return field.checked;
  return field.type === "number" ? Number(field.value) : field.value;
}

/* Without scripts, the options of all kinds are shown. */
function showOptions() {
  const kind = new FormData(form).get("kind");
  for (const set of form.querySelectorAll("[data-kind]")) set.hidden = set.disabled = set.dataset.kind !== kind;
}
form?.addEventListener("change", showOptions);
if (form) showOptions();
for (const pair of form?.querySelectorAll("[data-number]") ?? []) {
  const [slider, number] = [pair.querySelector("[type=range]"), pair.querySelector("[type=number]")];
  slider.addEventListener("input", () => { number.value = slider.value; });
  number.addEventListener("input", () => { slider.value = number.value; });
}
form?.addEventListener("submit", async (event) => {
  if (!target) return;
  event.preventDefault();
  const kind = new FormData(form).get("kind");
  event.submitter.disabled = true;
  try {
    const { items } = await api("POST", "/jobs", { ...target, kind, options: options(kind) });
    dialog.close();
    follow(items);
    started(items);
  } catch (error) {
    say(dialog, error.message);
  } finally {
    event.submitter.disabled = false;
  }
});
