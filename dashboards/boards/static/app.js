// One board: its tiles are asked for by name, drawn, and asked again; nothing here knows SQL.

const board = location.pathname.split("/").pop();
const $ = (id) => document.getElementById(id);
const dark = matchMedia("(prefers-color-scheme: dark)");
const tiles = new Map();
let about = null;
let round = 0;

const words = (name) => name.replace(/_usd$/, " ($)").replaceAll("_", " ");
const isMoney = (name, unit) => name.endsWith("_usd") || unit === "usd";

function figure(value, name, unit) {
  if (value === null) return "–";
  if (typeof value !== "number") return moment(value);
  if (isMoney(name, unit)) return value.toLocaleString("en-US", { style: "currency", currency: "USD", maximumFractionDigits: Math.abs(value) >= 10000 ? 0 : 2 });
  return value.toLocaleString("en-US") + (name.startsWith("week_") && !name.includes("units") ? " %" : "");
}

function moment(text) {
  if (!/^\d{4}-\d\d-\d\dT/.test(text)) return String(text);
  return text.slice(0, 10) === new Date().toISOString().slice(0, 10) ? text.slice(11, 19) : text.slice(0, 16).replace("T", " ");
}

function age(seconds) {
  if (seconds === null) return "age not known yet";
  const s = Math.max(0, Math.round(seconds));
  return s < 120 ? `${s} s old` : s < 7200 ? `${Math.round(s / 60)} min old` : `${Math.round(s / 3600)} h old`;
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

async function ask(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(60000) });
  const found = await answer.json().catch(() => ({ detail: `the boards answered ${answer.status}` }));
  if (!answer.ok) throw new Error(found.detail);
  return found;
}

function table(found) {
  const isFigure = found.columns.map((name, i) => !name.endsWith("_id") && found.rows.every((row) => row[i] === null || typeof row[i] === "number"));
  const cell = (tag, text, i) => element(tag, { className: isFigure[i] ? "figure" : "", textContent: text });
  const head = element("tr", {}, ...found.columns.map((name, i) => Object.assign(cell("th", words(name), i), { scope: "col" })));
  // A number that names something is no amount: it gets no thousands separator.
  const shown = (value, i) => (found.columns[i].endsWith("_id") ? String(value) : figure(value, found.columns[i]));
  const rows = found.rows.map((row) => element("tr", {}, ...row.map((value, i) => cell("td", shown(value, i), i))));
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
}

function number(found, chart) {
  const unit = (chart.split(":")[1] || "").split(",")[0].trim();
  const value = found.rows[0][0];
  const made = element("div", { className: "number", textContent: figure(value, found.columns[0], unit) });
  const i = found.columns.indexOf("before");
  const before = i < 0 ? null : found.rows[0][i];
  if (before) {
    const change = (100 * (value - before)) / before;
    const way = change >= 0 ? "up" : "down";
    made.append(element("span", { className: `change ${way}`, textContent: `${change >= 0 ? "▲" : "▼"} ${Math.abs(change).toFixed(1)} % against ${figure(before, found.columns[0], unit)} before` }));
  } else if (i >= 0) made.append(element("span", { className: "change", textContent: "nothing to compare with before" }));
  return made;
}

function options(found, tile, width) {
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink"), soft = style.getPropertyValue("--soft"), line = style.getPropertyValue("--line");
  const [kind, rest = ""] = tile.chart.split(": ");
  const asLine = rest.match(/^(\w+) as line$/)?.[1];
  const names = found.columns.slice(1);
  // A line of another unit than its bars has an axis of its own.
  const hasTwo = Boolean(asLine) && names.some((name) => name !== asLine && isMoney(name) !== isMoney(asLine));
  // Names that would not fit side by side are read down the side.
  const longest = Math.max(...found.rows.map((row) => String(row[0]).length));
  const isLong = kind === "bar" && longest * 8 * found.rows.length > width;
  const labels = { type: "category", data: found.rows.map((row) => (found.columns[0] === "minute" ? row[0].slice(11, 16) : moment(String(row[0])))), inverse: isLong, axisLabel: { color: soft, hideOverlap: true, interval: kind === "bar" ? 0 : undefined }, axisLine: { lineStyle: { color: line } }, axisTick: { show: false } };
  const amounts = () => ({ type: "value", axisLabel: { color: soft, formatter: (v) => v.toLocaleString("en-US", { notation: "compact" }) }, splitLine: { lineStyle: { color: line } }, splitNumber: 4 });
  const axes = hasTwo ? [amounts(), { ...amounts(), splitLine: { show: false } }] : amounts();
  return {
    animation: false,
    aria: { enabled: true, label: { description: `${tile.title}: ${found.rows.length} values` } },
    color: dark.matches ? ["#8ab4ff", "#f2bd6d", "#6fd698", "#e59cf0"] : ["#1d4ed8", "#c2570c", "#11703a", "#86198f"],
    textStyle: { fontFamily: "system-ui, sans-serif", color: ink },
    grid: { left: 4, right: 8, top: names.length > 1 ? 30 : 10, bottom: 8, containLabel: true },
    legend: names.length > 1 ? { top: 0, left: 0, textStyle: { color: ink }, formatter: words } : undefined,
    tooltip: { trigger: "axis", confine: true, valueFormatter: undefined, formatter: (points) => [window.echarts.format.encodeHTML(points[0].axisValueLabel), ...points.map((p) => `${p.marker} ${words(p.seriesName)}: <b>${figure(p.value, p.seriesName)}</b>`)].join("<br>") },
    xAxis: isLong ? axes : labels,
    yAxis: isLong ? labels : axes,
    series: names.map((name, i) => ({ name, type: name === asLine ? "line" : "bar", stack: kind === "stacked" ? "all" : undefined, yAxisIndex: hasTwo && name === asLine ? 1 : 0, showSymbol: false, barMaxWidth: 40, data: found.rows.map((row) => row[i + 1]) })),
  };
}

function draw(entry, found) {
  const { tile, body } = entry;
  const kind = tile.chart.split(":")[0];
  if (!found.rows.length) return clear(entry, element("p", { className: "empty", textContent: about.filters.length ? "No rows for these filters." : "Nothing here now." }));
  if (kind === "number") return clear(entry, number(found, tile.chart));
  if (kind === "table") return clear(entry, table(found));
  if (!entry.chart) {
    clear(entry);
    const place = element("div", { className: "chart", role: "img", ariaLabel: tile.title });
    body.append(place);
    entry.chart = window.echarts.init(place, null, { renderer: "svg" });
  }
  entry.chart.setOption(options(found, tile, body.clientWidth), true);
}

function clear(entry, ...children) {
  entry.chart?.dispose();
  entry.chart = null;
  entry.body.replaceChildren(...children);
}

async function refresh(entry, mine) {
  const { tile } = entry;
  const set = [...new FormData($("filters"))].filter(([name, value]) => value && tile.filters.includes(name));
  try {
    const found = await ask(`/api/boards/${board}/${tile.question}?${new URLSearchParams(set)}`);
    if (mine !== round) return;
    entry.found = found;
    entry.at = Date.now();
    draw(entry, found);
  } catch (error) {
    if (mine !== round) return;
    entry.found = null;
    clear(entry, element("p", { className: "failed", textContent: `No figures: ${error.message}` }));
  }
  tick();
}

function tick() {
  for (const { tile, note, found, at } of tiles.values()) {
    if (!found) { note.textContent = ""; continue; }
    const seconds = found.age_s === null ? null : found.age_s + (Date.now() - at) / 1000;
    const ignored = [...new FormData($("filters"))].filter(([name, value]) => value && !tile.filters.includes(name)).map(([name]) => name);
    note.textContent = `${ignored.length ? `not filtered by ${ignored.join(", ")} · ` : ""}${age(seconds)}${seconds > found.allowed_age_s ? ", late" : ""} · asked in ${found.took_ms} ms`;
    note.classList.toggle("late", seconds > found.allowed_age_s);
  }
}

async function refreshAll() {
  const mine = ++round;
  $("pulse").textContent = "asking …";
  await Promise.all([...tiles.values()].map((entry) => refresh(entry, mine)));
  if (mine !== round) return;
  $("pulse").textContent = `${new Date().toISOString().slice(11, 19)} UTC, again every ${about.refresh_s} s`;
  document.body.dataset.ready = String(mine);
}

async function filters() {
  const given = new URLSearchParams(location.search);
  for (const name of about.filters) {
    let field;
    if (name === "from" || name === "to") field = element("input", { type: "date", name });
    else {
      const values = await ask(`/api/choices/${name}`).catch(() => []);
      field = element("select", { name }, new Option("all", ""), ...values.map((value) => new Option(value, value)));
    }
    field.value = given.get(name) ?? "";
    $("filters").append(element("label", {}, name, field));
  }
  if (!about.filters.length) return;
  $("filters").append(element("button", { type: "reset", textContent: "Reset" }));
  const changed = () => {
    const set = new URLSearchParams([...new FormData($("filters"))].filter(([, value]) => value));
    history.replaceState(null, "", `?${set}`);
    refreshAll();
  };
  $("filters").addEventListener("change", changed);
  $("filters").addEventListener("reset", () => setTimeout(changed));
  $("filters").addEventListener("submit", (event) => event.preventDefault());
}

async function loop() {
  for (;;) {
    // A page nobody sees asks nothing.
    if (!document.hidden) await refreshAll();
    await new Promise((resolve) => setTimeout(resolve, about.refresh_s * 1000));
  }
}

async function start() {
  const [listed, described] = await Promise.all([ask("/api/boards"), ask(`/api/boards/${board}`)]);
  about = described;
  $("nav").append(...listed.map((b) => {
    const link = element("a", { href: `/boards/${b.name}`, textContent: b.title });
    if (b.name === board) link.setAttribute("aria-current", "page");
    return link;
  }));
  $("nav").append(element("a", { href: "/freshness", textContent: "Freshness" }));
  document.title = `${about.title} · EBAP`;
  $("title").textContent = about.title;
  $("about").textContent = about.about;
  for (const tile of about.tiles) {
    const body = element("div", { className: "body", tabIndex: 0 });
    body.setAttribute("role", "group");
    body.setAttribute("aria-label", tile.title);
    const note = element("p", { className: "age" });
    const made = element("section", { className: `tile${tile.chart.startsWith("number") ? " is-number" : ""}`, id: tile.question, title: tile.audience }, element("h2", { textContent: tile.title }), body, note);
    for (const [name, value] of Object.entries({ column: tile.column + 1, row: tile.row + 1, width: tile.width, height: tile.height })) made.style.setProperty(`--${name}`, value);
    body.append(element("p", { className: "empty", textContent: "asking …" }));
    $("tiles").append(made);
    tiles.set(tile.question, { tile, body, note, chart: null, found: null, at: 0 });
  }
  await filters();
  setInterval(tick, 1000);
  addEventListener("resize", () => tiles.forEach((entry) => { entry.chart?.resize(); if (entry.chart) draw(entry, entry.found); }));
  dark.addEventListener("change", () => tiles.forEach((entry) => entry.found && draw(entry, entry.found)));
  await loop();
}

start().catch((error) => {
  $("about").textContent = `The board could not be loaded: ${error.message}`;
  $("about").className = "failed";
});
