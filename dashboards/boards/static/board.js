// One board: all its tiles are asked for at once, drawn, and asked for again; nothing here knows SQL.

import { draw as drawChart } from "./charts.js";
import { ask, duration, element, now } from "./format.js";
import "./nav.js";
import { number, table } from "./tiles.js";

const place = document.getElementById("tiles");
const form = document.getElementById("filters");
const board = place.dataset.board;
const refresh_s = Number(place.dataset.refresh);
const UNKNOWN_AGAIN_S = 3;
const tiles = new Map();
let round = 0;

for (const made of place.querySelectorAll(".tile")) {
  const tile = { chart: made.dataset.chart, title: made.querySelector("h2").textContent, filters: made.dataset.filters.split(" ").filter(Boolean), empty: made.dataset.empty };
  tiles.set(made.id, { tile, made, body: made.querySelector(".body"), note: made.querySelector(".note"), chart: null, found: null, at: 0 });
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
  entry.made.classList.toggle("is-empty", !found.rows.length);
  if (!found.rows.length) {
    const isFiltered = chosen().some(([name]) => tile.filters.includes(name));
    const text = found.note ?? (isFiltered ? "Nothing here with these filters." : tile.empty || "Nothing here now.");
    return clear(entry, message(found.note ? "empty waiting" : "empty", text[0].toUpperCase() + text.slice(1)));
  }
  if (kind === "number") return clear(entry, ...number(found, tile.chart));
  if (kind !== "table") return drawChart(entry, found);
  const scroll = element("div", { className: "scroll", role: "group", ariaLabel: tile.title, tabIndex: 0 }, table(found, tile.chart));
  return clear(entry, scroll);
}

function fail(entry, reason) {
  entry.found = null;
  entry.made.classList.remove("is-empty");
  clear(entry, message("failed", `No figures: ${reason}`));
}

async function show(entry, found, mine) {
  if (found.later) {
    // Seconds, in Spark: the others are drawn meanwhile.
    const set = chosen().filter(([name]) => entry.tile.filters.includes(name));
    found = await ask(`/api/boards/${board}/${entry.made.id}?${new URLSearchParams(set)}`).catch((error) => ({ error: error.message }));
    if (mine !== round) return;
  }
  if (found.error) fail(entry, found.error);
  else {
    entry.found = found;
    entry.at = Date.now();
    await draw(entry, found).catch((error) => fail(entry, error.message));
  }
  entry.made.removeAttribute("aria-busy");
}

// What a reader of this tile must know beside its figures; most tiles need nothing.
function notes({ tile, found, at }) {
  if (!found) return [];
  const said = [];
  const ignored = chosen().map(([name]) => name).filter((name) => !tile.filters.includes(name));
  if (ignored.length) said.push(`Not filtered by ${ignored.join(", ")}`);
  if (found.note && found.rows.length) said.push(found.note[0].toUpperCase() + found.note.slice(1));
  const age_s = found.age_s === null ? null : found.age_s + (Date.now() - at) / 1000;
  if (age_s > found.allowed_age_s) said.push(`${duration(age_s)} old: later than the ${duration(found.allowed_age_s)} promised`);
  return said;
}

function tick() {
  const ages = [];
  let took_ms = 0;
  for (const entry of tiles.values()) {
    const said = notes(entry);
    entry.note.textContent = said.join(" · ");
    entry.note.hidden = !said.length;
    entry.note.classList.toggle("late", said.some((text) => text.includes("promised")));
    if (!entry.found) continue;
    took_ms += entry.found.took_ms;
    ages.push(entry.found.age_s === null ? null : entry.found.age_s + (Date.now() - entry.at) / 1000);
  }
  const oldest = ages.length && !ages.includes(null) ? Math.max(...ages) : null;
  const age = document.getElementById("age");
  age.classList.toggle("is-known", oldest !== null);
  age.textContent = !ages.length ? "No figures" : oldest === null ? "How old the figures are is not known yet" : `Figures are ${duration(oldest)} old`;
  return { isKnown: oldest !== null, took_ms };
}

async function refreshAll() {
  const mine = ++round;
  let found;
  try {
    found = await ask(`/api/answers/${board}?${new URLSearchParams(chosen())}`);
  } catch (error) {
    found = Object.fromEntries([...tiles.keys()].map((name) => [name, { error: error.message }]));
  }
  if (mine !== round) return;
  await Promise.all([...tiles].map(([name, entry]) => show(entry, found[name], mine)));
  if (mine !== round) return;
  const { took_ms } = tick();
  document.getElementById("pulse").textContent = `Asked at ${now()} in ${took_ms} ms, again every ${refresh_s} s`;
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
    // A page nobody sees asks nothing; it asks when it is seen again.
    if (document.hidden) await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
    await refreshAll();
    const again_s = tick().isKnown || round > 3 ? refresh_s : UNKNOWN_AGAIN_S;
    await new Promise((resolve) => setTimeout(resolve, again_s * 1000));
  }
}

follow();
setInterval(tick, 1000);
const redraw = () => tiles.forEach((entry) => entry.chart && entry.found && draw(entry, entry.found));
addEventListener("resize", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
loop();
