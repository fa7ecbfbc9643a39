/* Shows one or two pictures of the same scene, with one zoom and one position for both. */
const LARGEST = 8; /* screen pixels for a pixel of the result */
const TINY = 28; /* a face of fewer screen pixels shows its number only when it is chosen */
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

export class Viewer {
  /** `stage` holds #view with two panes, and #divider. */
  constructor(stage) {
    this.stage = stage;
    this.view = stage.querySelector("#view");
    this.divider = stage.querySelector("#divider");
    this.panes = [...stage.querySelectorAll(".pane")];
    Object.assign(this, { zoom: 1, x: 0.5, y: 0.5, split: 0.5, width: 1, height: 1, full: 1, faces: [], chosen: -1 });
    this.pointers = new Map();
    this.listen();
    new ResizeObserver(() => this.draw()).observe(this.view);
  }

  /** The size of the pictures; `full` is the width of the largest of them, before it was made
      smaller for showing. Keeps the position when `keep`. */
  size(width, height, full, keep = false) {
    Object.assign(this, { width, height, full });
    if (!keep) this.fit();
    else this.draw();
  }

  /** Faces as {box, restored}, and the size of the original, whose pixels boxes count. If it has
      another shape than the pictures, they show its largest central part. */
  mark(faces, width, height) {
    const unit = Math.max(this.width / width, this.height / height);
    const start = [(this.width - width * unit) / 2, (this.height - height * unit) / 2];
    this.faces = faces.map((face) => ({ ...face, box: face.box.map((side, index) => start[index % 2] + side * unit) }));
    for (const pane of this.panes) {
      pane.querySelector(".boxes").replaceChildren(...faces.map((face, index) => {
        const box = document.createElement("i");
        box.dataset.number = index + 1;
        if (!face.restored) box.className = "left";
        return box;
      }));
    }
    this.chosen = -1;
    this.draw();
  }

  /** Zooms to a face. */
  face(index) {
    this.chosen = index;
    const [x1, y1, x2, y2] = this.faces[index].box;
    const pane = this.pane();
    const scale = (0.45 * Math.min(pane.width, pane.height)) / Math.max(x2 - x1, y2 - y1);
    this.x = (x1 + x2) / 2 / this.width;
    this.y = (y1 + y2) / 2 / this.height;
    this.zoom = scale / this.smallest();
    this.draw();
  }

  set mode(mode) {
    this.stage.dataset.mode = mode;
    this.draw();
  }

  get mode() { return this.stage.dataset.mode; }

  pane() { return this.panes[this.mode === "after" ? 1 : 0].getBoundingClientRect(); }

  smallest() {
    const pane = this.pane();
    return Math.min(pane.width / this.width, pane.height / this.height) || 1;
  }

  largest() { return Math.max(LARGEST * this.full / this.width / this.smallest(), 4); }

  fit() { this.zoom = 1; this.x = this.y = 0.5; this.draw(); }

  /** Zooms by a factor; the point (x, y) of the window stays where it is. */
  scale(factor, x = null, y = null) {
    const pane = this.paneAt(x);
    const [dx, dy] = x === null ? [0, 0] : [x - pane.left - pane.width / 2, y - pane.top - pane.height / 2];
    const before = this.smallest() * this.zoom;
    this.zoom = clamp(this.zoom * factor, 1, this.largest());
    const after = this.smallest() * this.zoom;
    this.x += (dx / before - dx / after) / this.width;
    this.y += (dy / before - dy / after) / this.height;
    this.draw();
  }

  paneAt(x) {
    const [, second] = this.panes.map((pane) => pane.getBoundingClientRect());
    const inSecond = this.mode === "beside" && x !== null && x >= second.left;
    return inSecond ? second : this.pane();
  }

  pan(dx, dy) {
    const scale = this.smallest() * this.zoom;
    this.x -= dx / scale / this.width;
    this.y -= dy / scale / this.height;
    this.draw();
  }

  divide(split) {
    this.split = clamp(split, 0, 1);
    this.draw();
  }

  draw() {
    const pane = this.pane();
    this.zoom = clamp(this.zoom, 1, this.largest());
    const scale = this.smallest() * this.zoom;
    const halfX = pane.width / 2 / (this.width * scale);
    const halfY = pane.height / 2 / (this.height * scale);
    this.x = halfX >= 0.5 ? 0.5 : clamp(this.x, halfX, 1 - halfX);
    this.y = halfY >= 0.5 ? 0.5 : clamp(this.y, halfY, 1 - halfY);
    const left = pane.width / 2 - this.x * this.width * scale;
    const top = pane.height / 2 - this.y * this.height * scale;
    for (const one of this.panes) this.place(one, left, top, scale);
    const slides = this.mode === "slider";
    const cut = 100 * this.split;
    this.panes[0].style.clipPath = slides ? `inset(0 ${100 - cut}% 0 0)` : "";
    this.panes[1].style.clipPath = slides ? `inset(0 0 0 ${cut}%)` : "";
    this.divider.style.left = `${cut}%`;
    this.divider.setAttribute("aria-valuenow", Math.round(cut));
    this.stage.dispatchEvent(new CustomEvent("zoomed", { detail: (scale * this.width) / this.full }));
  }

  place(pane, left, top, scale) {
    const image = pane.querySelector("img");
    image.style.width = `${this.width}px`;
    image.style.height = `${this.height}px`;
    image.style.transform = `translate(${left}px, ${top}px) scale(${scale})`;
    [...pane.querySelector(".boxes").children].forEach((box, index) => {
      const [x1, y1, x2, y2] = this.faces[index].box.map((side) => side * scale);
      Object.assign(box.style, { left: `${left + x1}px`, top: `${top + y1}px`, width: `${x2 - x1}px`, height: `${y2 - y1}px` });
      box.classList.toggle("chosen", index === this.chosen);
      box.classList.toggle("tiny", x2 - x1 < TINY);
    });
  }

  listen() {
    const { view, divider, pointers } = this;
    view.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      view.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, [event.clientX, event.clientY]);
      view.classList.add("moving");
    });
    view.addEventListener("pointermove", (event) => { if (pointers.has(event.pointerId)) this.moved(event); });
    for (const end of ["pointerup", "pointercancel"]) {
      view.addEventListener(end, (event) => {
        pointers.delete(event.pointerId);
        view.classList.toggle("moving", pointers.size > 0);
      });
    }
    view.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.scale(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), event.clientX, event.clientY);
    }, { passive: false });
    view.addEventListener("dblclick", (event) => {
      if (this.zoom > 1.01) this.fit();
      else this.scale(3, event.clientX, event.clientY);
    });
    view.addEventListener("keydown", (event) => this.key(event));
    divider.addEventListener("pointerdown", (event) => divider.setPointerCapture(event.pointerId));
    divider.addEventListener("pointermove", (event) => {
      if (divider.hasPointerCapture(event.pointerId)) this.divideAt(event.clientX);
    });
    divider.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 0.1 : 0.02;
      const goal = { ArrowLeft: this.split - step, ArrowDown: this.split - step, ArrowRight: this.split + step, ArrowUp: this.split + step, PageDown: this.split - 0.2, PageUp: this.split + 0.2, Home: 0, End: 1 }[event.key];
      if (goal === undefined) return;
      event.preventDefault();
      this.divide(goal);
    });
  }

  divideAt(x) {
    const stage = this.stage.getBoundingClientRect();
    this.divide((x - stage.left) / stage.width);
  }

  moved(event) {
    const { pointers } = this;
    const [x, y] = pointers.get(event.pointerId);
    const others = [...pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
    if (others.length) {
      const [ox, oy] = others[0];
      const factor = Math.hypot(event.clientX - ox, event.clientY - oy) / Math.max(1, Math.hypot(x - ox, y - oy));
      this.scale(factor, (event.clientX + ox) / 2, (event.clientY + oy) / 2);
      this.pan((event.clientX - x) / 2, (event.clientY - y) / 2);
    } else if (this.mode === "slider" && this.zoom <= 1.001) {
      this.divideAt(event.clientX);
    } else {
      this.pan(event.clientX - x, event.clientY - y);
    }
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = 60;
    const actions = {
      ArrowLeft: () => this.pan(step, 0),
      ArrowRight: () => this.pan(-step, 0),
      ArrowUp: () => this.pan(0, step),
      ArrowDown: () => this.pan(0, -step),
      "+": () => this.scale(1.25),
      "=": () => this.scale(1.25),
      "-": () => this.scale(0.8),
      0: () => this.fit(),
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  }
}
