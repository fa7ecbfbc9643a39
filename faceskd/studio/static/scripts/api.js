/* Requests to this server. */
import { _ } from "./texts.js";

/** Sends a request to the API; gives what it answers.
    @throws {Error} with a message for the user */
export async function api(method, path, body) {
  let answer;
  try {
    answer = await fetch(`/api/v1${path}`, {
      method,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Error(_("The server cannot be reached. Check the connection and try again."));
  }
  if (answer.status === 204) return null;
  const content = await answer.json().catch(() => null);
  if (answer.ok) return content;
  if (answer.status === 401) location.assign(`/login?next=${encodeURIComponent(location.pathname)}`);
  throw new Error(problem(content));
}

/** How many photos a request takes. */
export const MOST = 1000;

/** A list of photos in parts that requests take. */
export function* parts(list) {
  for (let start = 0; start < list.length; start += MOST) yield list.slice(start, start + MOST);
}

/** What an answer says went wrong. */
export function problem(content) {
  return content?.error?.message ?? _("Something went wrong. Try again.");
}

/** Asks for a page and gives its document. */
export async function page(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(_("Something went wrong. Try again."));
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

/** Replaces elements of this page by what the server shows there now; focus stays where it was. */
export async function refresh(...selectors) {
  const now = await page(location.href);
  for (const selector of selectors) {
    const [old, fresh] = [document.querySelector(selector), now.querySelector(selector)];
    if (!old || !fresh) continue;
    const held = old.contains(document.activeElement) ? place(old, document.activeElement) : null;
    old.replaceWith(document.adoptNode(fresh));
    if (held) find(fresh, held)?.focus({ preventScroll: true });
    fresh.dispatchEvent(new CustomEvent("refreshed", { bubbles: true }));
  }
}

function place(root, element) {
  const owner = element.closest("[data-job]")?.dataset.job;
  const scope = owner ? root.querySelector(`[data-job="${owner}"]`) : root;
  return { owner, index: [...scope.querySelectorAll("a, button")].indexOf(element) };
}

function find(root, { owner, index }) {
  const scope = owner ? root.querySelector(`[data-job="${owner}"]`) : root;
  const controls = [...(scope?.querySelectorAll("a, button") ?? [])];
  return controls[Math.min(index, controls.length - 1)];
}
