/* A restored face under a cover: what the model saw of it. Three ways to uncover it. */
import { _ } from "./texts.js";

const SIDE = 512;
const SEEN = 32; /* pixels across what the model sees */
const DONE = 0.94;
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** Draws the `area` {x, y, side} of an image as the model sees it, on a square canvas. */
export function drawSeen(canvas, image, area) {
  const paint = canvas.getContext("2d");
  paint.imageSmoothingQuality = "high";
  paint.drawImage(image, area.x, area.y, area.side, area.side, 0, 0, canvas.width, canvas.height);
}

export class Uncovering {
  /** `root` is the section with the surface, the size and the share that is uncovered. */
  constructor(root) {
    this.root = root;
    this.surface = root.querySelector("#surface");
    this.result = this.surface.querySelector(".after");
    this.canvas = this.surface.querySelector("canvas");
    this.canvas.width = this.canvas.height = SIDE;
    this.paint = this.canvas.getContext("2d", { willReadFrequently: true });
    this.track = root.querySelector("#track");
    this.share = root.querySelector("#uncovered");
    this.sizes = root.querySelector("#size");
    this.help = root.querySelector("#way-help");
    this.seen = document.createElement("canvas");
    this.seen.width = this.seen.height = SEEN;
    this.at = [0.5, 0.5];
    this.listen();
  }

  /** Covers a result: two images of the same face, loaded. */
  cover(before, after) {
    drawSeen(this.seen, before, { x: 0, y: 0, side: Math.min(before.naturalWidth, before.naturalHeight) });
    this.result.src = after.src;
    this.again();
  }

  again() {
    this.surface.classList.remove("open");
    this.at = [0.5, 0.5];
    this.paint.globalCompositeOperation = "source-over";
    this.paint.imageSmoothingQuality = "high";
    this.paint.clearRect(0, 0, SIDE, SIDE);
    /* Enlarged step by step, the pixels run into each other softly. */
    let picture = this.seen;
    for (let side = 2 * SEEN; side < SIDE; side *= 2) {
      const next = new OffscreenCanvas(side, side);
      const paint = next.getContext("2d");
      paint.imageSmoothingQuality = "high";
      paint.drawImage(picture, 0, 0, side, side);
      picture = next;
    }
    this.paint.drawImage(picture, 0, 0, SIDE, SIDE);
    this.measure();
    this.place();
    this.scrolled();
  }

  open() {
    this.surface.classList.add("open");
    this.show(1);
    this.help.textContent = _("All uncovered.");
  }

  get way() { return this.root.dataset.way; }

  set way(way) {
    this.root.dataset.way = way;
    this.root.querySelector("#size-row").hidden = way === "scroll";
    this.share.hidden = way === "lens";
    this.sizes.value = way === "lens" ? 36 : 22;
    this.again();
    this.help.textContent = {
      scratch: _("Drag over the face to scratch it free. On a keyboard: arrow keys, plus and minus for the size."),
      lens: _("Move the lens over the face. On a keyboard: arrow keys, plus and minus for the size."),
      scroll: _("Scroll down: the face appears from the top."),
    }[way];
  }

  get radius() { return Number(this.sizes.value) / 200; }

  place() {
    const [x, y] = this.at;
    const { style } = this.surface;
    style.setProperty("--x", `${100 * x}%`);
    style.setProperty("--y", `${100 * y}%`);
    style.setProperty("--radius", `${this.radius * this.surface.clientWidth}px`);
  }

  /* Goes to a point of the surface, 0 to 1, and scratches on the way there. */
  go(x, y, scratches) {
    const [fromX, fromY] = this.at;
    this.at = [clamp(x, 0, 1), clamp(y, 0, 1)];
    if (scratches && this.way === "scratch" && !this.surface.classList.contains("open")) this.scratch(fromX, fromY, ...this.at);
    this.place();
  }

  scratch(fromX, fromY, x, y) {
    const radius = this.radius * SIDE;
    const steps = Math.max(1, Math.ceil((Math.hypot(x - fromX, y - fromY) * SIDE) / (radius / 4)));
    this.paint.globalCompositeOperation = "destination-out";
    for (let step = 1; step <= steps; step += 1) {
      const [cx, cy] = [(fromX + ((x - fromX) * step) / steps) * SIDE, (fromY + ((y - fromY) * step) / steps) * SIDE];
      const soft = this.paint.createRadialGradient(cx, cy, 0.6 * radius, cx, cy, radius);
      soft.addColorStop(0, "#000");
      soft.addColorStop(1, "transparent");
      this.paint.fillStyle = soft;
      this.paint.beginPath();
      this.paint.arc(cx, cy, radius, 0, 2 * Math.PI);
      this.paint.fill();
    }
    this.wanted ??= requestAnimationFrame(() => { this.wanted = null; this.measure(); });
  }

  measure() {
    const cells = 32;
    this.gauge ??= new OffscreenCanvas(cells, cells).getContext("2d", { willReadFrequently: true });
    this.gauge.clearRect(0, 0, cells, cells);
    this.gauge.drawImage(this.canvas, 0, 0, cells, cells);
    const { data } = this.gauge.getImageData(0, 0, cells, cells);
    let free = 0;
    for (let index = 3; index < data.length; index += 4) free += data[index] < 128;
    const share = free / cells ** 2;
    this.show(share);
    if (this.way === "scratch" && share > DONE && !this.surface.classList.contains("open")) this.open();
  }

  show(share) {
    this.share.textContent = _("{percent} % uncovered", { percent: Math.round(100 * share) });
  }

  scrolled() {
    if (this.way !== "scroll") return;
    /* From where the face is pinned to where it is let go, or to the end of the page. */
    const pinned = this.track.firstElementChild;
    const start = this.track.getBoundingClientRect().top + scrollY - parseFloat(getComputedStyle(pinned).top);
    const last = document.documentElement.scrollHeight - innerHeight - 2;
    const end = Math.min(start + this.track.offsetHeight - pinned.offsetHeight, last);
    const open = this.surface.classList.contains("open") || end <= start;
    const share = open ? 1 : clamp((scrollY - start) / (end - start), 0, 1);
    this.surface.style.setProperty("--shown", `${112 * share}%`);
    this.show(share);
  }

  listen() {
    const { surface } = this;
    const point = (event) => {
      const place = surface.getBoundingClientRect();
      const above = this.way === "lens" && event.pointerType === "touch" ? this.radius * 0.9 : 0;
      return [(event.clientX - place.left) / place.width, (event.clientY - place.top) / place.height - above];
    };
    surface.addEventListener("pointerdown", (event) => {
      if (event.button || this.way === "scroll") return;
      surface.setPointerCapture(event.pointerId);
      this.at = point(event);
      this.go(...this.at, true);
    });
    surface.addEventListener("pointermove", (event) => {
      if (this.way === "scroll") return;
      const all = event.getCoalescedEvents?.() ?? [];
      for (const one of all.length ? all : [event]) this.go(...point(one), surface.hasPointerCapture(event.pointerId));
    });
    surface.addEventListener("keydown", (event) => {
      if (this.way === "scroll" || event.ctrlKey || event.metaKey || event.altKey) return;
      const step = event.shiftKey ? 0.1 : 0.035;
      const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
      if (move) this.go(this.at[0] + move[0], this.at[1] + move[1], true);
      else if (event.key === " ") this.go(...this.at, true);
      else if (["+", "=", "-"].includes(event.key)) {
        this.sizes.value = Number(this.sizes.value) + (event.key === "-" ? -4 : 4);
        this.place();
      } else return;
      event.preventDefault();
    });
    this.sizes.addEventListener("input", () => this.place());
    addEventListener("scroll", () => this.scrolled(), { passive: true });
    new ResizeObserver(() => { this.place(); this.scrolled(); }).observe(surface);
  }
}
