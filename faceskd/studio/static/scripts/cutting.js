/* A square that is cut out of a photo, by pointer or keyboard. */
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

export class Cutter {
  /** `box` holds the image and the square; the square is told in pixels of the photo, of
      `width` x `height`. `changed`, if it is set, is called after each change. */
  constructor(box, width, height) {
    Object.assign(this, { box, width, height, changed: null });
    this.image = box.querySelector("img");
    this.square = box.querySelector(".square");
    this.smallest = Math.min(24, width, height);
    this.side = Math.max(this.smallest, Math.round(0.5 * Math.min(width, height)));
    this.x = Math.round((width - this.side) / 2);
    this.y = Math.round((height - this.side) / 2);
    this.image.style.setProperty("--ratio", width / height);
    this.listen();
    new ResizeObserver(() => this.draw()).observe(this.image);
    this.draw();
  }

  /** The square as {x, y, side}. */
  get crop() { return { x: this.x, y: this.y, side: this.side }; }

  set(x, y, side) {
    this.side = Math.round(clamp(side, this.smallest, Math.min(this.width, this.height)));
    this.x = Math.round(clamp(x, 0, this.width - this.side));
    this.y = Math.round(clamp(y, 0, this.height - this.side));
    this.draw();
  }

  /** Changes the size, the middle stays. */
  grow(factor) {
    const side = clamp(Math.max(1, Math.round(Math.abs(this.side * (factor - 1)))) * Math.sign(factor - 1) + this.side, this.smallest, Math.min(this.width, this.height));
    this.set(this.x + (this.side - side) / 2, this.y + (this.side - side) / 2, side);
  }

  get scale() { return this.image.clientWidth / this.width || 1; }

  draw() {
    const { scale } = this;
    Object.assign(this.square.style, {
      left: `${this.image.offsetLeft + this.x * scale}px`,
      top: `${this.image.offsetTop + this.y * scale}px`,
      width: `${this.side * scale}px`,
      height: `${this.side * scale}px`,
    });
    this.square.classList.toggle("tiny", this.side * scale < 60);
    this.changed?.();
  }

  point(event) {
    const place = this.image.getBoundingClientRect();
    return [clamp((event.clientX - place.left) / this.scale, 0, this.width), clamp((event.clientY - place.top) / this.scale, 0, this.height)];
  }

  /* A corner is dragged; the one across stays. */
  stretch([fromX, fromY], [x, y]) {
    const [right, down] = [x >= fromX, y >= fromY];
    const room = Math.min(right ? this.width - fromX : fromX, down ? this.height - fromY : fromY);
    const side = clamp(Math.max(Math.abs(x - fromX), Math.abs(y - fromY)), this.smallest, Math.max(room, this.smallest));
    this.set(right ? fromX : fromX - side, down ? fromY : fromY - side, side);
  }

  listen() {
    let drag = null;
    this.box.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      event.preventDefault();
      this.square.focus({ preventScroll: true });
      this.box.setPointerCapture(event.pointerId);
      const corner = event.target.dataset.corner;
      const [x, y] = this.point(event);
      const { x: left, y: top, side } = this;
      if (corner) {
        const [west, north] = [corner[1] === "w", corner[0] === "n"];
        drag = { fixed: [west ? left + side : left, north ? top + side : top], beside: [(west ? left : left + side) - x, (north ? top : top + side) - y] };
      } else if (event.target === this.square) drag = { offset: [x - left, y - top] };
      else drag = { fixed: [x, y], beside: [0, 0] };
    });
    this.box.addEventListener("pointermove", (event) => {
      if (!drag) return;
      const [x, y] = this.point(event);
      if (drag.fixed) this.stretch(drag.fixed, [x + drag.beside[0], y + drag.beside[1]]);
      else this.set(x - drag.offset[0], y - drag.offset[1], this.side);
    });
    for (const end of ["pointerup", "pointercancel"]) this.box.addEventListener(end, () => { drag = null; });
    this.square.addEventListener("keydown", (event) => {
      const step = Math.max(1, Math.round((event.shiftKey ? 0.08 : 0.015) * Math.min(this.width, this.height)));
      const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
      if (move) this.set(this.x + move[0], this.y + move[1], this.side);
      else if (event.key === "+" || event.key === "=") this.grow(1.08);
      else if (event.key === "-") this.grow(0.92);
      else return;
      event.preventDefault();
    });
  }
}
