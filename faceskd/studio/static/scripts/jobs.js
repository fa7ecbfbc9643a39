/* The page of all jobs: a list that follows events. */
import { refresh } from "./api.js";
import * as events from "./events.js";

let timer = null;
/* Events come in swarms; the list is asked for at most every 400 ms. */
function soon() {
  timer ??= setTimeout(async () => {
    timer = null;
    await refresh("#jobs").catch(() => {});
  }, 400);
}

events.on("job", (job) => {
  const row = document.querySelector(`#jobs [data-job="${job.id}"]`);
  if (!row || row.dataset.state !== job.state) soon();
});
events.on("job-deleted", soon);
events.on("again", soon);
