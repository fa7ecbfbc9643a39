/* What every page does: theme, times, forms that need no reload, notices of finished work. */
import { api, refresh } from "./api.js";
import "./dialogs.js";
import * as events from "./events.js";
import { _ } from "./texts.js";
import { toast } from "./toasts.js";
import { start as startNotices } from "./notices.js";

document.querySelector("[data-theme-form]")?.addEventListener("submit", (event) => {
  event.preventDefault();
  const chosen = event.submitter;
  document.documentElement.dataset.theme = chosen.value;
  for (const button of event.target.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button === chosen));
  }
  fetch("/preferences", { method: "POST", redirect: "manual", body: new URLSearchParams({ theme: chosen.value, next: "/" }) });
});

/* Times are written by the server in UTC; here they are shown in the reader's time zone. */
function localTimes(root = document) {
  const style = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
  for (const time of root.querySelectorAll("time[data-time]")) {
    time.textContent = style.format(new Date(time.dateTime));
  }
}
localTimes();
document.addEventListener("refreshed", (event) => localTimes(event.target));

/* Buttons of jobs: the same request by the API, then the region is shown anew. */
document.addEventListener("submit", async (event) => {
  const form = event.target.closest("[data-send]");
  if (!form) return;
  event.preventDefault();
  event.submitter.disabled = true;
  const region = form.closest("[data-refresh]");
  try {
    await api(form.dataset.send.toUpperCase(), form.dataset.api);
    if (region) await refresh(`#${region.id}`);
  } catch (error) {
    toast(error.message, { tone: "bad" });
    event.submitter.disabled = false;
  }
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.querySelector(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent);
    toast(_("Copied."));
  } catch {
    getSelection().selectAllChildren(source);
    toast(_("Selected. Press Ctrl and C to copy."));
  }
});

for (const demo of document.querySelectorAll("[data-demo]")) {
  demo.querySelector("input").addEventListener("input", (event) => demo.style.setProperty("--split", `${event.target.value}%`));
}

/* Progress of jobs, wherever the page shows it. */
const STEPS = { reading: _("Reading the photo"), searching: _("Looking for faces"), restoring: _("Restoring"), writing: _("Saving") };
events.on("job", (job) => {
  for (const place of document.querySelectorAll(`[data-job="${job.id}"]`)) {
    const bar = place.querySelector("progress");
    if (bar) bar.value = job.progress;
    const step = place.querySelector("[data-step]");
    if (step && STEPS[job.step]) step.textContent = STEPS[job.step];
    const percent = place.querySelector("[data-percent]");
    if (percent) percent.textContent = `${Math.floor(100 * job.progress)} %`;
  }
});
startNotices();
