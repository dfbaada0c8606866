// The age of every table against its maximum; refreshed every half minute while the page is visible.

import { clock, count, duration, element, now, query } from "./format.js";
import "./nav.js";

const REFRESH_S = 30;
const WELL = { fresh: "fresh", idle: "idle" };
const COLUMNS = ["Table", "State", "Age", "Max. age", "Rows", "Quarantined", "Blocked keys", "Last run"];
const FIGURES = ["Age", "Max. age", "Rows", "Quarantined", "Blocked keys", "Records"];
const $ = (id) => document.getElementById(id);

// The severity of a state, which sets its colour, and its text.
function state(table) {
  if (table.run?.state === "failed" && WELL[table.state]) return ["failed", "run failed"];
  if (WELL[table.state]) return ["fresh", table.state];
  if (table.state === "late") return ["late", table.age_s === null ? "not created yet" : "late"];
  return ["failed", table.state];
}

const MARKS = { fresh: "✓", late: "!", failed: "✗" };

function badge(kind, text) {
  return element("span", { className: `state ${kind}` }, element("span", { ariaHidden: "true" }, MARKS[kind]), ` ${text}`);
}

function head(names) {
  return element("thead", {}, element("tr", {}, ...names.map((name) => element("th", { scope: "col", className: FIGURES.includes(name) ? "figure" : "" }, name))));
}

const figure = (value, isQuiet = false) => element("td", { className: `figure${isQuiet ? " quiet" : ""}` }, value);

function row(table, hasHelp) {
  const [kind, text] = state(table);
  const since = table.since ? element("small", {}, ` since ${clock(table.since)}`) : null;
  const run = table.run ? element("a", { href: table.run.url, target: "_top" }, `${clock(table.run.ended_at)}, ${duration(table.run.duration_s)}`) : element("span", { className: "none" }, "–");
  const age = figure(table.age_s === null ? "–" : duration(table.age_s));
  if (table.age_s !== null) {
    age.classList.add("meter", kind);
    age.style.setProperty("--share", `${Math.min(100, (100 * table.age_s) / table.allowed_age_s)}%`);
  }
  const node = element("tr", { id: table.name },
    element("th", { scope: "row" }, table.name), element("td", {}, badge(kind, text), since),
    age, figure(duration(table.allowed_age_s), true), figure(count(table.rows)), figure(count(table.quarantined), !table.quarantined), figure(count(table.blocked), !table.blocked),
    element("td", {}, run), hasHelp ? element("td", {}, table.help ? element("code", {}, table.help) : "") : null);
  if (location.hash === `#${table.name}`) node.className = "wanted";
  return node;
}

// One entry per cause: the state, since when, the affected tables, and the next step.
function causes(tables) {
  const found = new Map();
  for (const table of tables) {
    const [kind, text] = state(table);
    if (kind === "fresh") continue;
    const key = `${text} ${table.help}`;
    const cause = found.get(key) ?? { kind, text, help: table.help, since: table.since, names: [] };
    if (table.since && (!cause.since || table.since < cause.since)) cause.since = table.since;
    cause.names.push(table.name);
    found.set(key, cause);
  }
  return [...found.values()].map((cause) => element("article", { className: `cause ${cause.kind}` },
    element("h2", {}, badge(cause.kind, cause.text), cause.since ? element("small", {}, ` since ${clock(cause.since)}`) : null),
    element("p", {}, cause.names.length > 4 ? `${cause.names.slice(0, 3).join(", ")} and ${cause.names.length - 3} more tables` : cause.names.join(", ")),
    cause.help ? element("p", {}, "Next step: ", element("code", {}, cause.help)) : null));
}

function waitingRow(entry) {
  return element("tr", {},
    element("th", { scope: "row" }, entry.source_table), element("td", {}, entry.reason),
    figure(count(entry.waiting)), element("td", {}, clock(entry.since)), element("td", {}, element("code", {}, entry.help)));
}

function delays(found) {
  const { median_s: median, p95_s: p95, changes } = found.to_bronze;
  const bronze = changes ? `median ${duration(median)}, p95 ${duration(p95)} (${count(changes)} changes in the last 10 minutes)` : "no change in the last 10 minutes";
  const pairs = [["bronze.changes", bronze], ...found.to_gold.map((each) => [each.table, `${duration(each.seconds)} from the newest commit it contains to its last write`])];
  return pairs.flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)]);
}

async function refresh() {
  const found = await query("/api/freshness");
  const hasHelp = found.tables.some((table) => table.help);
  $("tables").replaceChildren(head(hasHelp ? [...COLUMNS, "Next step"] : COLUMNS), element("tbody", {}, ...found.tables.map((table) => row(table, hasHelp))));
  const nothing = element("tbody", {}, element("tr", {}, element("td", {}, badge("fresh", "empty"))));
  $("waiting").replaceChildren(...(found.waiting.length ? [head(["Table", "Reason", "Records", "Since", "Next step"]), element("tbody", {}, ...found.waiting.map(waitingRow))] : [nothing]));
  $("causes").replaceChildren(...causes(found.tables));
  const wrong = found.tables.filter((table) => state(table)[0] !== "fresh").length;
  $("about").textContent = (wrong ? `${wrong} of ${found.tables.length} tables need attention.` : `All ${found.tables.length} tables are within their maximum age.`) + (found.is_airflow_away ? " Last runs are unknown: Airflow is not available." : "");
  $("about").className = `about ${wrong ? "late" : ""}`;
  $("delays").replaceChildren(...delays(found));
  $("age").textContent = `As of ${now()}`;
  $("pulse").textContent = `Refreshes every ${REFRESH_S} s`;
  document.body.dataset.ready = "1";
}

async function loop() {
  for (;;) {
    if (document.hidden) await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
    await refresh().catch((error) => {
      $("about").textContent = `No data: ${error.message}`;
      $("about").className = "about failed";
    });
    await new Promise((resolve) => setTimeout(resolve, REFRESH_S * 1000));
  }
}

loop();
