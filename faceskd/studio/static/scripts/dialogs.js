/* Dialogs and menus, opened by data attributes. */

/** Opens a dialog by its id. */
export function open(id) {
  const dialog = document.getElementById(id);
  for (const menu of document.querySelectorAll("details.menu[open]")) menu.open = false;
  say(dialog, "");
  dialog.showModal();
  return dialog;
}

/** Shows what went wrong in a dialog; an empty text hides it. */
export function say(dialog, text) {
  const place = dialog.querySelector("[data-problem]");
  if (!place) return;
  place.hidden = !text;
  place.querySelector("span").textContent = text;
}

/** Calls `action` with the fields when the form of a dialog is sent; closes it, or says what is wrong. */
export function whenSent(id, action) {
  const dialog = document.getElementById(id);
  dialog?.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    event.submitter.disabled = true;
    try {
      await action(new FormData(event.target));
      dialog.close();
    } catch (error) {
      say(dialog, error.message);
    } finally {
      event.submitter.disabled = false;
    }
  });
}

/* Whether a click is beside the dialog; one that ends there after selecting text also counts as on it. */
function outside({ target, clientX, clientY }) {
  const { left, right, top, bottom } = target.getBoundingClientRect();
  return clientX < left || clientX > right || clientY < top || clientY > bottom;
}

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-open]");
  if (opener) open(opener.dataset.open);
  if (event.target.closest("[data-close]")) event.target.closest("dialog").close();
  if (event.target.localName === "dialog" && outside(event)) event.target.close();
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target) || event.target.closest(".item")) menu.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  const menu = event.target.closest?.("details.menu[open]");
  if (!menu) return;
  const items = [...menu.querySelectorAll(".item:not([hidden])")];
  const here = items.indexOf(document.activeElement);
  if (event.key === "Escape") {
    menu.open = false;
    menu.querySelector("summary").focus();
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    const step = event.key === "ArrowDown" ? 1 : -1;
    items[here < 0 ? (step > 0 ? 0 : items.length - 1) : (here + step + items.length) % items.length]?.focus();
  } else return;
  event.preventDefault();
  event.stopPropagation();
});
