/* Short notices at the edge of the page. */
import { _ } from "./texts.js";

/** An icon of the sprite. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  svg.classList.add("icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `${document.body.dataset.icons}#${name}`);
  svg.append(use);
  return svg;
}

/** Shows a notice; errors stay until they are closed. `key` replaces an earlier notice.
    `link` is {href, text}. */
export function toast(text, { tone = "", symbol = "check", link = null, key = null } = {}) {
  const list = document.getElementById("toasts");
  if (key) list.querySelector(`[data-key="${key}"]`)?.remove();
  const item = document.createElement("div");
  item.className = `toast ${tone}`;
  if (key) item.dataset.key = key;
  const words = document.createElement("p");
  words.textContent = text;
  item.append(icon(tone === "bad" ? "alert" : symbol), words);
  if (link) {
    const open = document.createElement("a");
    open.href = link.href;
    open.textContent = link.text;
    open.className = "button bare small";
    item.append(open);
  }
  const close = document.createElement("button");
  close.type = "button";
  close.className = "button bare round";
  close.setAttribute("aria-label", _("Close"));
  close.append(icon("close"));
  close.addEventListener("click", () => item.remove());
  item.append(close);
  list.append(item);
  if (tone !== "bad") fade(item);
  return item;
}

function fade(item) {
  const later = () => setTimeout(() => (item.matches(":hover, :focus-within") ? later() : item.remove()), 7000);
  later();
}
