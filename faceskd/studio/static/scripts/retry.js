/* The database is away: ask now and then, and come back by itself. */
const PAUSE = 3000;
async function ask() {
  const answer = await fetch("/readyz").catch(() => null);
  if (answer?.ok) location.reload();
  else setTimeout(ask, PAUSE);
}
setTimeout(ask, PAUSE);
