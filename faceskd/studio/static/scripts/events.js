/* What happens on the server, told as it happens. Of all tabs one holds the connection, because a
   browser opens only six to one server; the others hear of it through a channel. */
const heard = new EventTarget();
const { user } = document.body.dataset;
const shared = `faceskd-events-${user}`; /* other tabs may be of another user */
const channel = new BroadcastChannel(shared);
let greeted = false;
const NAMES = ["job", "photo", "photo-deleted", "job-deleted"];

/** Calls `action` with the data of every event `name`. "again" comes after a lost connection. */
export function on(name, action) {
  heard.addEventListener(name, (event) => action(event.detail));
}

function tell(name, data) {
  heard.dispatchEvent(new CustomEvent(name, { detail: data }));
}

function connect() {
  const source = new EventSource("/api/v1/events");
  const pass = (name, data) => {
    tell(name, data);
    channel.postMessage({ name, data });
  };
  source.addEventListener("hello", () => {
    if (greeted) pass("again", null);
    greeted = true;
  });
  for (const name of NAMES) {
    source.addEventListener(name, (event) => pass(name, JSON.parse(event.data)));
  }
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 5000);
  });
  addEventListener("pagehide", () => source.close(), { once: true });
}
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

if (user) {
  channel.addEventListener("message", ({ data }) => tell(data.name, data.data));
  if (navigator.locks) navigator.locks.request(shared, () => { connect(); return new Promise(() => {}); });
  else connect();
  /* What changed between the making of this page and the first event is asked for once. */
  if (document.querySelector("progress, .tile .blank, .stage > .blank, [data-unready]")) setTimeout(() => tell("again", null), 1500);
}
