/* What photos cost on machines whose price is entered. Entries stay in this browser. */
const KEY = "machines";
const MONTH = 30 * 24 * 3600;
const seconds = Number(document.getElementById("cost").dataset.seconds);
const body = document.getElementById("machines");
const FIELDS = ["name", "price", "speed", "workers"];
const number = new Intl.NumberFormat(document.documentElement.lang, { maximumFractionDigits: 0 });
const money = new Intl.NumberFormat(document.documentElement.lang, { maximumSignificantDigits: 3 });

function add(machine) {
  const row = document.getElementById("machine").content.firstElementChild.cloneNode(true);
  for (const field of FIELDS) row.querySelector(`[data-${field}]`).value = machine[field] ?? "";
  row.querySelector("[data-remove]").addEventListener("click", () => {
    row.remove();
    keep();
    document.getElementById("add-machine").focus();
  });
  body.append(row);
  count(row);
  return row;
}

function read(row) {
  return Object.fromEntries(FIELDS.map((field) => [field, row.querySelector(`[data-${field}]`).value]));
}

function count(row) {
  const { price, speed, workers } = read(row);
  const photos = seconds > 0 ? (MONTH / seconds) * Number(speed) * Number(workers) : NaN;
  row.querySelector("[data-photos]").textContent = photos > 0 ? number.format(Math.floor(photos)) : "–";
  row.querySelector("[data-each]").textContent = photos > 0 && price !== "" ? money.format((1000 * Number(price)) / photos) : "–";
}

function keep() {
  localStorage.setItem(KEY, JSON.stringify([...body.rows].map(read)));
}

body.addEventListener("input", (event) => {
  count(event.target.closest("tr"));
  keep();
});
document.getElementById("add-machine").addEventListener("click", () => {
  add({ speed: 1, workers: 1 }).querySelector("[data-name]").focus();
  keep();
});
let kept = [];
try { kept = JSON.parse(localStorage.getItem(KEY)) ?? []; } catch { /* an entry that cannot be read is no entry */ }
for (const machine of kept.length ? kept : [{ speed: 1, workers: 1 }]) add(machine);
