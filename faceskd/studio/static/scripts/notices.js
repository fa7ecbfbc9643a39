/* Tells that work is finished: a notice in the page, and one of the browser if this tab is hidden
   and the user allowed it. Jobs that finish together are told together. */
import { api } from "./api.js";
import * as events from "./events.js";
import { _, ngettext, problem } from "./texts.js";
import { toast } from "./toasts.js";

const QUIET = 900;
const active = new Set(JSON.parse(sessionStorage.getItem("active-jobs") ?? "[]"));
let finished = [];
let timer = null;

/** Follows all jobs of the user. */
export async function start() {
  if (!document.body.dataset.user) return;
  offer();
  events.on("job", note);
  events.on("job-deleted", ({ id }) => { active.delete(id); count(); });
  events.on("again", load);
  await load();
}

/* Asks which jobs are open, and tells those that ended unheard: of the newest jobs, by name. */
async function load() {
  const before = [...active];
  try {
    const [newest, ...lists] = await Promise.all(["", "state=queued&", "state=running&"].map((state) => api("GET", `/jobs?${state}limit=200`)));
    newest.items.forEach(note);
    const open = lists.flatMap((list) => list.items);
    if (lists.every((list) => !list.next)) {
      const ids = new Set(open.map((job) => job.id));
      for (const id of before) if (!ids.has(id)) active.delete(id);
    }
    follow(open);
  } catch { /* the next event counts again */ }
}

/** Tells when these jobs, just made, are finished. */
export function follow(jobs) {
  for (const job of jobs) active.add(job.id);
  count();
}

function note(job) {
  const busy = job.state === "queued" || job.state === "running";
  const known = active.has(job.id);
  if (busy) active.add(job.id);
  else active.delete(job.id);
  count();
  if (busy || !known || job.state === "cancelled") return;
  finished.push(job);
  clearTimeout(timer);
  timer = setTimeout(tell, QUIET);
}

function count() {
  sessionStorage.setItem("active-jobs", JSON.stringify([...active]));
  const place = document.getElementById("active-jobs");
  if (!place) return;
  place.hidden = active.size === 0;
  place.textContent = active.size;
}

function tell() {
  const jobs = finished;
  finished = [];
  const good = jobs.filter((job) => job.state === "done");
  const bad = jobs.filter((job) => job.state === "failed");
  const parts = [];
  if (good.length === 1) parts.push(_("{name} is restored.", { name: good[0].photo_name }));
  else if (good.length) parts.push(ngettext("{count} photo is restored.", "{count} photos are restored.", good.length));
  if (bad.length === 1) parts.push(_("{name}: {reason}", { name: bad[0].photo_name, reason: problem(bad[0].error) }));
  else if (bad.length) parts.push(ngettext("{count} photo failed.", "{count} photos failed.", bad.length));
  const text = parts.join(" ");
  const href = jobs.length === 1 && jobs[0].photo_id
    ? `${jobs[0].crop ? "/uncover/" : "/photos/"}${jobs[0].photo_id}?job=${jobs[0].id}` : "/jobs";
  const here = href.split("?")[0] === location.pathname;
  if (!here || document.body.dataset.page !== "uncover") toast(text, { tone: bad.length ? "bad" : "good", link: here ? null : { href, text: _("Open") }, key: "jobs" });
  if (document.hidden && globalThis.Notification?.permission === "granted") {
    notify(text, href);
  }
}

function notify(text, href) {
  try {
    const message = new Notification("faceskd studio", { body: text, tag: "faceskd-jobs" });
    message.onclick = () => { focus(); location.assign(href); message.close(); };
  } catch { /* browsers of phones have no such notifications; the notice in the page is there */ }
}

/* Browsers ask for permission only after a click, so there is a button. */
function offer() {
  const buttons = document.querySelectorAll("[data-ask-notices]");
  const show = () => buttons.forEach((button) => { button.hidden = globalThis.Notification?.permission !== "default"; });
  show();
  buttons.forEach((button) => button.addEventListener("click", async () => {
    const answer = await Notification.requestPermission();
    show();
    if (answer === "granted") toast(_("You will be told when photos are ready, also while this tab is in the background."));
    else toast(_("Notifications stay off. You can allow them in the settings of the browser."));
  }));
}
