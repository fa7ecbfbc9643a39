/* The page of one photo: its results, compared with the original. */
import { api, refresh } from "./api.js";
import { whenSent } from "./dialogs.js";
import * as events from "./events.js";
import { move } from "./moving.js";
import { askAndRestore } from "./restoring.js";
import { _ } from "./texts.js";
import { toast } from "./toasts.js";
import { Viewer } from "./viewer.js";

const photo = document.querySelector(".viewer").dataset.photo;
const stage = document.getElementById("stage");
const name = document.getElementById("photo-name").textContent;
const viewer = stage.querySelector("#view") ? new Viewer(stage) : null;
const [before, after] = stage.querySelectorAll(".pane img");
const [original, height] = [Number(stage.dataset.width), Number(stage.dataset.height)];
let shown = null; /* the job whose result is on the stage */
let wanted = null; /* the one that was asked for last */
let faces = true;

const jobs = () => JSON.parse(document.querySelector(".jobs-data").textContent).filter((job) => !job.crop);
const finished = () => jobs().filter((job) => job.state === "done" && job.result);

function load(source) {
  return new Promise((resolve, reject) => {
    const next = new Image();
    next.onload = () => resolve(next);
    next.onerror = () => reject(new Error(_("The picture cannot be loaded. Try again.")));
    next.src = source;
  });
}

/* Shows a job's result beside the original. */
async function show(job) {
  wanted = job.id;
  try {
    const pictures = await Promise.all([load(job.result.before), load(job.result.preview)]);
    if (wanted !== job.id) return;
    const keep = shown !== null;
    shown = job.id;
    [before.src, after.src] = pictures.map((picture) => picture.src);
    after.hidden = false;
    stage.dataset.result = job.id;
    viewer.divider.hidden = false;
    document.querySelector("[data-results]").hidden = false;
    if (!keep) viewer.mode = "slider";
    viewer.size(pictures[1].naturalWidth, pictures[1].naturalHeight, job.result.width, keep);
    viewer.mark(job.result.faces, original, height);
    select();
  } catch (error) {
    if (wanted === job.id) wanted = shown;
    toast(error.message, { tone: "bad" });
  }
}

/* Marks in the panel what the stage shows. */
function select() {
  const job = jobs().find((one) => one.id === shown);
  for (const card of document.querySelectorAll(".result")) card.classList.toggle("shown", card.dataset.job === shown);
  for (const button of document.querySelectorAll("[data-show]")) button.setAttribute("aria-pressed", String(button.dataset.show === shown));
  for (const list of document.querySelectorAll("[data-faces-of]")) list.hidden = list.dataset.facesOf !== shown;
  const download = document.getElementById("download-result");
  download.hidden = !job;
  if (job) download.href = job.result.file;
  const marks = document.querySelector("[data-faces]");
  if (marks) marks.hidden = !job?.result.faces.length;
}

function showNewest() {
  const linked = new URLSearchParams(location.search).get("job");
  const done = finished();
  const job = (shown === null && done.find((one) => one.id === linked)) || done[0];
  if (job && job.id !== wanted) show(job);
  else if (!job && shown) location.reload();
  else select();
}

if (viewer) {
  const ready = () => viewer.size(before.naturalWidth, before.naturalHeight, original || before.naturalWidth);
  viewer.mode = "before";
  if (before.complete && before.naturalWidth) ready();
  else before.addEventListener("load", ready, { once: true });
  const percent = document.getElementById("scale");
  stage.addEventListener("zoomed", ({ detail }) => { percent.textContent = `${Math.round(100 * detail)} %`; });
  document.querySelector(".tools").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.mode) {
      viewer.mode = button.dataset.mode;
      for (const one of document.querySelectorAll(".tool[data-mode]")) one.setAttribute("aria-pressed", String(one === button));
    } else if (button.dataset.zoom) {
      ({ in: () => viewer.scale(1.5), out: () => viewer.scale(1 / 1.5), fit: () => viewer.fit() })[button.dataset.zoom]();
    } else if ("faces" in button.dataset) {
      faces = !faces;
      stage.classList.toggle("plain", !faces);
      button.setAttribute("aria-pressed", String(faces));
    }
  });
  showNewest();
}

document.getElementById("results").parentElement.addEventListener("click", (event) => {
  const result = event.target.closest("[data-show]");
  if (result && result.dataset.show !== wanted) show(jobs().find((job) => job.id === result.dataset.show));
  const face = event.target.closest("[data-face]");
  if (face && viewer) {
    viewer.face(Number(face.dataset.face));
    stage.scrollIntoView({ block: "nearest", behavior: "smooth" });
    for (const one of document.querySelectorAll("[data-face]")) one.setAttribute("aria-pressed", String(one === face));
  }
});
document.addEventListener("refreshed", (event) => { if (event.target.id === "results") showNewest(); });

document.querySelector("[data-open=restore]")?.addEventListener("click", () => {
  askAndRestore({ photos: [photo] }, name, () => refresh("#results"));
});
whenSent("move", async (fields) => {
  await move([photo], fields);
  location.reload();
});
whenSent("delete-photos", async () => {
  await api("DELETE", `/photos/${photo}`);
  location.assign(document.querySelector(".about .up").href);
});
const subject = document.querySelector("#delete-photos [data-subject]");
if (subject) subject.textContent = _("Delete {name}?", { name });

let timer = null;
const soon = () => { timer ??= setTimeout(() => { timer = null; refresh("#results").catch(() => {}); }, 200); };
events.on("job", (job) => {
  const card = document.querySelector(`.result[data-job="${job.id}"]`);
  if (job.photo_id === photo && !job.crop && card?.dataset.state !== job.state) soon();
});
events.on("job-deleted", ({ id }) => { if (document.querySelector(`.result[data-job="${id}"]`)) soon(); });
events.on("photo", (changed) => { if (changed.id === photo && changed.state !== stage.dataset.state) location.reload(); });
events.on("again", async () => {
  if (!stage.querySelector(":scope > .blank")) soon();
  else if ((await api("GET", `/photos/${photo}`)).state !== stage.dataset.state) location.reload();
});

/* With nothing in focus, arrow keys go to the photos beside this one. */
addEventListener("keydown", (event) => {
  if (document.activeElement !== document.body || event.ctrlKey || event.metaKey || event.altKey) return;
  const side = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
  const link = side && document.querySelector(`.stage a[rel=${side}]`);
  if (link) location.assign(link.href);
});
