/* The uncover page: cut a square out, restore it, uncover the result. */
import { api } from "./api.js";
import { Cutter } from "./cutting.js";
import * as events from "./events.js";
import { follow } from "./notices.js";
import { _, problem as problemOf } from "./texts.js";
import { toast } from "./toasts.js";
import { Uncovering, drawSeen } from "./uncovering.js";

const cut = document.getElementById("cut");
if (cut) begin();
else {
  const shown = document.querySelector("[data-unready]").dataset.unready;
  const check = (photo) => { if (location.pathname.endsWith(photo.id) && photo.state !== shown) location.reload(); };
  events.on("photo", check);
  events.on("again", async () => check(await api("GET", `/photos/${location.pathname.split("/").pop()}`)));
}

function begin() {
  const photo = cut.dataset.photo;
  const reveal = document.getElementById("reveal");
  const image = document.querySelector("#cutter img");
  const small = document.getElementById("small");
  const size = document.getElementById("square-size");
  const start = document.getElementById("start");
  const working = document.getElementById("cut-progress");
  const problem = document.getElementById("cut-problem");
  const jobs = new Map(JSON.parse(document.getElementById("jobs-data").textContent).map((job) => [job.id, job]));
  const [width, height] = [Number(cut.dataset.width), Number(cut.dataset.height)];
  let current = null;
  let started = Promise.reject(); /* the answer to the last job */
  started.catch(() => null);
  let poll = null;

  const cutter = new Cutter(document.getElementById("cutter"), width, height);
  function preview() {
    if (!image.naturalWidth) return;
    const unit = image.naturalWidth / width;
    const { x, y, side } = cutter.crop;
    drawSeen(small, image, { x: x * unit, y: y * unit, side: side * unit });
    size.textContent = _("The square has {side} × {side} pixels.", { side });
  }
  cutter.changed = preview;
  image.addEventListener("load", () => cutter.draw());
  if (cut.dataset.face) {
    const [x1, y1, x2, y2] = cut.dataset.face.split(",").map(Number);
    const side = 1.35 * Math.max(x2 - x1, y2 - y1);
    cutter.set((x1 + x2 - side) / 2, (y1 + y2 - side) / 2, side);
  }
  preview();

  const uncovering = new Uncovering(reveal);
  const tabs = [...reveal.querySelectorAll("[role=tab]")];
  function choose(tab, focus = false) {
    for (const one of tabs) {
      one.setAttribute("aria-selected", String(one === tab));
      one.tabIndex = one === tab ? 0 : -1;
    }
    document.getElementById("card").setAttribute("aria-labelledby", tab.id);
    uncovering.way = tab.dataset.way;
    scrollTo({ top: 0 });
    if (focus) tab.focus({ preventScroll: true });
  }
  reveal.querySelector("[role=tablist]").addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (tab) choose(tab);
  });
  reveal.querySelector("[role=tablist]").addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    choose(tabs[(tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length], true);
  });
  document.getElementById("again").addEventListener("click", () => { uncovering.way = uncovering.way; scrollTo({ top: 0 }); });
  document.getElementById("all").addEventListener("click", () => { uncovering.open(); uncovering.scrolled(); });
  document.getElementById("recut").addEventListener("click", () => { history.pushState(null, "", location.pathname); route(); document.getElementById("square").focus(); });

  function say(text) {
    problem.hidden = !text;
    problem.querySelector("span").textContent = text;
  }

  function busy(on) {
    working.hidden = !on;
    start.disabled = on;
    if (on) working.querySelector("progress").value = 0;
  }

  start.addEventListener("click", async () => {
    say("");
    busy(true);
    try {
      started = api("POST", "/jobs", { photos: [photo], kind: "face", crop: cutter.crop });
      const { items } = await started;
      [current] = items;
      working.dataset.job = current.id;
      follow(items);
      note(current);
      clearInterval(poll);
      poll = setInterval(ask, 4000); /* should the stream of events be held up on its way */
    } catch (error) {
      busy(false);
      say(error.message);
    }
  });

  async function ask() {
    if (current) note(await api("GET", `/jobs/${current.id}`).catch(() => current));
  }

  document.getElementById("cut-cancel").addEventListener("click", async () => {
    /* It may be clicked before the server has answered that the job was made. */
    const made = await started.catch(() => null);
    if (!made) return;
    try { note(await api("POST", `/jobs/${made.items[0].id}/cancel`)); } catch (error) { toast(error.message, { tone: "bad" }); }
  });

  function note(job) {
    if (job.id !== current?.id) return;
    if (job.state === "queued" || job.state === "running") return;
    clearInterval(poll);
    current = null;
    busy(false);
    jobs.set(job.id, job);
    if (job.state === "failed") say(problemOf(job.error));
    if (job.state !== "done") return;
    history.pushState(null, "", `?job=${job.id}`);
    route();
  }
  events.on("job", note);
  events.on("again", ask);

  document.querySelector(".earlier")?.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link) return;
    event.preventDefault();
    history.pushState(null, "", link.href);
    route();
  });

  /* The address says whether a result is uncovered, or a square is cut. */
  async function route() {
    const address = location.search;
    const job = jobs.get(new URLSearchParams(address).get("job"));
    const result = job?.state === "done" ? job.result : null;
    cut.hidden = Boolean(result);
    reveal.hidden = !result;
    if (!result) { cutter.draw(); return; }
    document.getElementById("save").href = result.file;
    try {
      const [before, after] = await Promise.all([load(result.before), load(result.preview)]);
      if (location.search !== address) return; /* another was chosen meanwhile */
      uncovering.cover(before, after);
      choose(tabs.find((tab) => tab.getAttribute("aria-selected") === "true"));
      uncovering.surface.focus({ preventScroll: true });
    } catch (error) {
      toast(error.message, { tone: "bad" });
    }
  }
  addEventListener("popstate", route);
  route();
}

async function load(source) {
  const image = new Image();
  image.src = source;
  try { await image.decode(); } catch { throw new Error(_("The picture cannot be loaded. Try again.")); }
  return image;
}
