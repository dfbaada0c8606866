// One board: queries all its tiles in one request, draws them, and refreshes them periodically.

import { draw as drawChart } from "./charts.js";
import { duration, element, now, query } from "./format.js";
import "./nav.js";
import { number, table } from "./tiles.js";

const place = document.getElementById("tiles");
const form = document.getElementById("filters");
const board = place.dataset.board;
const refresh_s = Number(place.dataset.refresh);
const RETRY_UNKNOWN_AGE_S = 3;
const tiles = new Map();
let round = 0;

for (const node of place.querySelectorAll(".tile")) {
  const tile = { chart: node.dataset.chart, title: node.querySelector("h2").textContent, filters: node.dataset.filters.split(" ").filter(Boolean), empty: node.dataset.empty };
  tiles.set(node.id, { tile, node, body: node.querySelector(".body"), note: node.querySelector(".note"), chart: null, found: null, at: 0 });
}

const chosen = () => (form ? [...new FormData(form)].filter(([, value]) => value) : []);

function clear(entry, ...children) {
  entry.chart?.dispose();
  entry.chart = null;
  entry.body.replaceChildren(...children);
}

function message(kind, text) {
  return element("p", { className: kind }, element("span", { className: "mark", ariaHidden: "true" }, kind === "failed" ? "!" : "✓"), element("span", {}, text));
}

async function draw(entry, found) {
  const { tile } = entry;
  const kind = tile.chart.split(":")[0];
  entry.node.classList.toggle("is-empty", !found.rows.length);
  if (!found.rows.length) {
    const isFiltered = chosen().some(([name]) => tile.filters.includes(name));
    const text = found.note ?? (isFiltered ? "No data for these filters." : tile.empty || "No data yet.");
    return clear(entry, message(found.note ? "empty waiting" : "empty", text[0].toUpperCase() + text.slice(1)));
  }
  if (kind === "number") return clear(entry, ...number(found, tile.chart));
  if (kind !== "table") return drawChart(entry, found);
  const scroll = element("div", { className: "scroll", role: "group", ariaLabel: tile.title, tabIndex: 0 }, table(found, tile.chart));
  return clear(entry, scroll);
}

function fail(entry, reason) {
  entry.found = null;
  entry.node.classList.remove("is-empty");
  clear(entry, message("failed", `No data: ${reason}`));
}

async function show(entry, found, mine) {
  if (found.later) {
    // Takes seconds in Spark; the other tiles are drawn meanwhile.
    const set = chosen().filter(([name]) => entry.tile.filters.includes(name));
    found = await query(`/api/boards/${board}/${entry.node.id}?${new URLSearchParams(set)}`).catch((error) => ({ error: error.message }));
    if (mine !== round) return;
  }
  if (found.error) fail(entry, found.error);
  else {
    entry.found = found;
    entry.at = Date.now();
    await draw(entry, found).catch((error) => fail(entry, error.message));
  }
  entry.node.removeAttribute("aria-busy");
}

// Notes below a tile's figures: ignored filters, the server's note, an exceeded age.
function notes({ tile, found, at }) {
  if (!found) return { texts: [], isLate: false };
  const texts = [];
  const ignored = chosen().map(([name]) => name).filter((name) => !tile.filters.includes(name));
  if (ignored.length) texts.push(`Not filtered by ${ignored.join(", ")}`);
  if (found.note && found.rows.length) texts.push(found.note[0].toUpperCase() + found.note.slice(1));
  const age_s = found.age_s === null ? null : found.age_s + (Date.now() - at) / 1000;
  const isLate = age_s > found.allowed_age_s;
  if (isLate) texts.push(`${duration(age_s)} old, maximum ${duration(found.allowed_age_s)}`);
  return { texts, isLate };
}

function tick() {
  const ages = [];
  let took_ms = 0;
  for (const entry of tiles.values()) {
    const { texts, isLate } = notes(entry);
    entry.note.textContent = texts.join(" · ");
    entry.note.hidden = !texts.length;
    entry.note.classList.toggle("late", isLate);
    if (!entry.found) continue;
    took_ms += entry.found.took_ms;
    ages.push(entry.found.age_s === null ? null : entry.found.age_s + (Date.now() - entry.at) / 1000);
  }
  const oldest = ages.length && !ages.includes(null) ? Math.max(...ages) : null;
  const age = document.getElementById("age");
  age.classList.toggle("is-known", oldest !== null);
  age.textContent = !ages.length ? "No data" : oldest === null ? "Age of the data not known yet" : `Data is ${duration(oldest)} old`;
  return { isKnown: oldest !== null, took_ms };
}

async function refreshAll() {
  const mine = ++round;
  let found;
  try {
    found = await query(`/api/answers/${board}?${new URLSearchParams(chosen())}`);
  } catch (error) {
    found = Object.fromEntries([...tiles.keys()].map((name) => [name, { error: error.message }]));
  }
  if (mine !== round) return;
  await Promise.all([...tiles].map(([name, entry]) => show(entry, found[name], mine)));
  if (mine !== round) return;
  const { took_ms } = tick();
  document.getElementById("pulse").textContent = `Queried at ${now()} in ${took_ms} ms · refreshes every ${refresh_s} s`;
  document.body.dataset.ready = String(mine);
}

function follow() {
  if (!form) return;
  const reset = form.querySelector("button");
  const changed = () => {
    reset.hidden = !chosen().length;
    history.replaceState(null, "", chosen().length ? `?${new URLSearchParams(chosen())}` : location.pathname);
    refreshAll();
  };
  form.addEventListener("change", changed);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    for (const field of form.elements) field.value = "";
    changed();
  });
  reset.hidden = !chosen().length;
}

async function loop() {
  for (;;) {
    // A hidden page does not refresh until it is visible again.
    if (document.hidden) await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
    await refreshAll();
    const wait_s = tick().isKnown || round > 3 ? refresh_s : RETRY_UNKNOWN_AGE_S;
    await new Promise((resolve) => setTimeout(resolve, wait_s * 1000));
  }
}

follow();
setInterval(tick, 1000);
const redraw = () => tiles.forEach((entry) => entry.chart && entry.found && draw(entry, entry.found));
addEventListener("resize", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
loop();
