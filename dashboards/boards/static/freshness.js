// Every table's age against what its declaration allows; asked again every half minute while somebody looks.

const REFRESH_S = 30;
const FIGURES = ["Age", "Allowed", "Rows", "Quarantined", "Blocked keys"];
const $ = (id) => document.getElementById(id);

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

const seconds = (s) => (s === null ? "–" : s < 120 ? `${s.toFixed(s < 10 ? 1 : 0)} s` : s < 7200 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`);
const count = (n) => n.toLocaleString("en-US");

const WELL = { fresh: "✓ fresh", idle: "✓ idle" };
const clock = (at) => (at.slice(0, 10) === new Date().toISOString().slice(0, 10) ? `${at.slice(11, 19)} UTC` : `${at.slice(0, 16).replace("T", " ")} UTC`);

function state(table) {
  const since = table.since ? ` since ${clock(table.since)}` : "";
  if (WELL[table.state]) return table.run?.state === "failed" ? ["failed", "✗ run failed"] : ["fresh", WELL[table.state] + since];
  if (table.state !== "late") return ["failed", `✗ ${table.state}${since}`];
  return table.age_s === null ? ["late", "not made yet"] : ["late", `! late${since}`];
}

function head(names, isFigure) {
  return element("thead", {}, element("tr", {}, ...names.map((name) => element("th", { scope: "col", textContent: name, className: isFigure(name) ? "figure" : "" }))));
}

function waitingRow(entry) {
  return element("tr", {},
    element("th", { scope: "row", textContent: entry.source_table }), element("td", { textContent: entry.reason }),
    element("td", { className: "figure", textContent: count(entry.waiting) }), element("td", { textContent: clock(entry.since) }),
    element("td", {}, element("code", { textContent: entry.help })));
}

function row(table) {
  const [kind, text] = state(table);
  const run = table.run ? element("a", { href: table.run.url, target: "_top", textContent: `${table.run.ended_at.slice(11, 19)} UTC, ${seconds(table.run.duration_s)}` }) : "–";
  const figure = (value) => element("td", { className: "figure", textContent: value });
  const made = element("tr", { id: table.name },
    element("th", { scope: "row", textContent: table.name }), element("td", { className: kind, textContent: text }),
    figure(seconds(table.age_s)), figure(seconds(table.allowed_age_s)), figure(count(table.rows)), figure(count(table.quarantined)), figure(count(table.blocked)),
    element("td", {}, run), element("td", {}, table.help ? element("code", { textContent: table.help }) : ""));
  if (location.hash === `#${table.name}`) made.className = "wanted";
  return made;
}

async function refresh() {
  const answer = await fetch("/api/freshness", { signal: AbortSignal.timeout(60000) });
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.detail);
  const names = ["Table", "State", "Age", "Allowed", "Rows", "Quarantined", "Blocked keys", "Last run", "What helps"];
  $("tables").replaceChildren(head(names, (name) => FIGURES.includes(name)), element("tbody", {}, ...found.tables.map(row)));
  const waiting = found.waiting.length ? found.waiting.map(waitingRow) : [element("tr", {}, element("td", { colSpan: 5, className: "fresh", textContent: "✓ nothing waits" }))];
  $("waiting").replaceChildren(head(["Table", "Reason", "Records", "Since", "What helps"], (name) => name === "Records"), element("tbody", {}, ...waiting));
  const wrong = found.tables.filter((table) => state(table)[0] !== "fresh").length;
  const airflow = found.is_airflow_away ? " Runs are unknown: Airflow does not answer." : "";
  $("about").textContent = `${wrong ? `${wrong} of ${found.tables.length} tables need a look.` : `All ${found.tables.length} tables are as fresh as declared.`}${airflow} ${new Date().toISOString().slice(11, 19)} UTC, again every ${REFRESH_S} s.`;
  $("about").className = wrong ? "late" : "";
  const { median_s: median, p95_s: p95, changes } = found.to_bronze;
  const bronze = changes ? `to bronze: median ${seconds(median)}, 95 of 100 within ${seconds(p95)} (${count(changes)} changes of the last 10 minutes)` : "to bronze: no change in the last 10 minutes";
  $("delays").replaceChildren(element("li", { textContent: bronze }), ...found.to_gold.map((each) => element("li", { textContent: `to ${each.table}: written ${seconds(each.seconds)} after the newest commit it is complete to` })));
  document.body.dataset.ready = "1";
}

async function loop() {
  for (;;) {
    if (!document.hidden) await refresh().catch((error) => { $("about").textContent = `No figures: ${error.message}`; $("about").className = "failed"; });
    await new Promise((resolve) => setTimeout(resolve, REFRESH_S * 1000));
  }
}

loop();
