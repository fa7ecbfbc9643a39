/* Uploading: by button, by dropping, by pasting; three files at a time, each with its progress. */
import { problem } from "./api.js";
import { _, ngettext } from "./texts.js";
import { icon, toast } from "./toasts.js";

const AT_ONCE = 3;
const PREVIEW = /\.(jpe?g|png|webp|avif)$/i;

/** Takes files of this page. `uploaded(photo)` is called for each that arrived.
    `input` is the field of the files; `fields` are sent with each. */
export class Uploader {
  constructor(input, fields, uploaded) {
    Object.assign(this, { input, fields, uploaded, waiting: [], running: 0, total: 0, arrived: 0, failed: 0 });
    this.suffixes = input.accept.toLowerCase().split(",").filter((part) => part.startsWith("."));
    this.limit = Number(input.dataset.limit);
    input.addEventListener("change", () => { this.add([...input.files]); input.value = ""; });
    this.listen();
  }

  listen() {
    let depth = 0;
    let veil = null;
    const carries = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    const end = () => { depth = 0; veil?.remove(); veil = null; };
    addEventListener("dragenter", (event) => {
      if (!carries(event)) return;
      event.preventDefault();
      depth += 1;
      if (veil) return;
      veil = document.createElement("div");
      veil.className = "veil";
      veil.append(icon("upload"), _("Drop to upload"));
      document.body.append(veil);
    });
    addEventListener("dragover", (event) => { if (carries(event)) event.preventDefault(); });
    addEventListener("dragleave", (event) => { if (carries(event) && --depth <= 0) end(); });
    addEventListener("drop", async (event) => {
      if (!carries(event)) return;
      event.preventDefault();
      end();
      this.add(await dropped(event.dataTransfer));
    });
    addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (!files.length) return;
      event.preventDefault();
      const time = new Date().toISOString().slice(0, 19).replace("T", " ").replaceAll(":", "-");
      const name = _("Pasted {time}", { time });
      this.add(files.map((file) => (/^image\.\w+$/.test(file.name)
        ? new File([file], `${name}.${file.name.split(".").pop()}`, { type: file.type }) : file)));
    });
    addEventListener("beforeunload", (event) => { if (this.running) event.preventDefault(); });
  }

  add(files) {
    if (!files.length) return;
    this.show();
    for (const file of files) {
      const row = this.row(file);
      this.total += 1;
      const refusal = this.refusal(file);
      if (refusal) this.fail(row, refusal);
      else this.waiting.push({ file, row });
    }
    this.next();
  }

  refusal(file) {
    if (this.limit && file.size > this.limit) {
      return _("Larger than {limit} MB.", { limit: Math.floor(this.limit / 1e6) });
    }
    if (file.size === 0) return _("The file is empty.");
    const name = file.name.toLowerCase();
    const known = file.type.startsWith("image/") || this.suffixes.some((suffix) => name.endsWith(suffix));
    return known ? "" : _("Not a photo. Choose JPEG, PNG, WebP, TIFF, AVIF or HEIC.");
  }

  next() {
    while (this.running < AT_ONCE && this.waiting.length) {
      this.running += 1;
      this.send(this.waiting.shift()).finally(() => { this.running -= 1; this.next(); });
    }
    this.title();
  }

  send({ file, row }) {
    return new Promise((resolve) => {
      const request = new XMLHttpRequest();
      const body = new FormData();
      for (const [name, value] of Object.entries(this.fields)) body.append(name, value);
      body.append("file", file, file.name);
      request.open("POST", "/api/v1/photos");
      request.setRequestHeader("Idempotency-Key", row.key); /* tried again, it is still one photo */
      request.responseType = "json";
      request.upload.addEventListener("progress", (event) => { if (event.lengthComputable) row.bar.value = event.loaded / event.total; });
      request.addEventListener("load", () => {
        if (request.status === 201) this.succeed(row, request.response);
        else this.fail(row, problem(request.response), { file, row });
        resolve();
      });
      request.addEventListener("error", () => {
        this.fail(row, _("The connection was lost."), { file, row });
        resolve();
      });
      request.addEventListener("abort", resolve);
      row.stop.hidden = false;
      row.stop.onclick = () => { request.abort(); this.fail(row, _("Cancelled."), { file, row }); };
      request.send(body);
    });
  }

  succeed(row, photo) {
    this.arrived += 1;
    row.bar.replaceWith(note("good", _("Uploaded")));
    row.stop.replaceWith(icon("check"));
    row.item.classList.add("arrived");
    this.title();
    this.uploaded(photo);
  }

  fail(row, text, again = null) {
    this.failed += 1;
    this.show();
    row.bar.hidden = true;
    const words = note("problem", text);
    words.setAttribute("role", "alert");
    row.bar.after(words);
    row.stop.hidden = !again;
    if (again) {
      row.stop.replaceChildren(icon("retry"));
      row.stop.setAttribute("aria-label", _("Try {name} again", { name: again.file.name }));
      row.stop.onclick = () => {
        this.failed -= 1;
        words.remove();
        row.bar.hidden = false;
        row.bar.value = 0;
        this.stopButton(row.stop, again.file);
        this.waiting.push(again);
        this.next();
      };
    }
    this.title();
  }

  stopButton(button, file) {
    button.replaceChildren(icon("close"));
    button.setAttribute("aria-label", _("Cancel {name}", { name: file.name }));
  }

  show() {
    if (!this.panel) this.build();
    if (!this.panel.isConnected) document.body.append(this.panel);
  }

  build() {
    this.panel = document.createElement("section");
    this.panel.className = "uploads";
    this.panel.setAttribute("aria-label", _("Uploads"));
    const head = document.createElement("header");
    this.heading = document.createElement("h2");
    this.heading.setAttribute("role", "status");
    const close = document.createElement("button");
    close.type = "button";
    close.className = "button bare round";
    close.setAttribute("aria-label", _("Close"));
    close.append(icon("close"));
    close.addEventListener("click", () => this.hide());
    this.list = document.createElement("ul");
    head.append(this.heading, close);
    this.panel.append(head, this.list);
  }

  /* While files are on their way, only the panel goes: it comes back if one fails. */
  hide() {
    this.panel?.remove();
    if (this.running || this.waiting.length) return;
    this.panel = null;
    this.total = this.arrived = this.failed = 0;
  }

  row(file) {
    const item = document.createElement("li");
    const picture = document.createElement(PREVIEW.test(file.name) ? "img" : "span");
    if (picture.localName === "img") {
      picture.alt = "";
      picture.src = URL.createObjectURL(file);
      picture.onload = picture.onerror = () => URL.revokeObjectURL(picture.src);
    } else {
      picture.className = "blank";
      picture.append(icon("photo"));
    }
    const middle = document.createElement("div");
    middle.className = "stack tight";
    const name = note("name", file.name);
    const bar = document.createElement("progress");
    bar.max = 1;
    bar.value = 0;
    bar.setAttribute("aria-label", _("Upload of {name}", { name: file.name }));
    middle.append(name, bar);
    const stop = document.createElement("button");
    stop.type = "button";
    stop.className = "button bare round";
    stop.hidden = true;
    this.stopButton(stop, file);
    item.append(picture, middle, stop);
    this.list.append(item);
    return { item, bar, stop, key: randomKey() };
  }

  title() {
    if (!this.panel) return;
    const left = this.total - this.arrived - this.failed;
    if (left > 0) {
      this.heading.textContent = ngettext("Uploading {count} photo", "Uploading {count} photos", left);
      return;
    }
    this.heading.textContent = this.failed
      ? ngettext("{count} file was not uploaded", "{count} files were not uploaded", this.failed)
      : ngettext("{count} photo uploaded", "{count} photos uploaded", this.arrived);
    clearTimeout(this.timer);
    if (!this.failed) this.timer = setTimeout(() => { if (this.total === this.arrived) this.hide(); }, 4000);
  }
}

function randomKey() {
  return [...crypto.getRandomValues(new Uint32Array(4))].map((part) => part.toString(36)).join("");
}

function note(style, text) {
  const element = document.createElement("span");
  element.className = style;
  element.textContent = text;
  return element;
}

/* Files that were dropped, also those in folders; says which cannot be read. */
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  const [files, unread] = [[], []];
  for (const entry of entries) await collect(entry, files, unread);
  if (unread.length) toast(_("Cannot be read: {names}", { names: unread.join(", ") }), { tone: "bad" });
  else if (!files.length) toast(_("The folder is empty."), { tone: "bad" });
  return files;
}

async function collect(entry, files, unread) {
  try {
    if (entry.isFile) {
      const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
      if (!file.name.startsWith(".")) files.push(file);
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!part.length) return;
      for (const inner of part) await collect(inner, files, unread);
    }
  } catch {
    unread.push(entry.name);
  }
}
