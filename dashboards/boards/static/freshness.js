// Every table's age against what its declaration allows; asked again every half minute while somebody looks.

const REFRESH_S = 30;
const $ = (id) => document.getElementById(id);

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

const seconds = (s) => (s === null ? "–" : s < 120 ? `${s.toFixed(s < 10 ? 1 : 0)} s` : s < 7200 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`);
const count = (n) => n.toLocaleString("en-US");

function state(table) {
  if (table.run?.state === "failed") return ["failed", "✗ failed"];
  if (table.age_s === null) return ["late", "not made yet"];
  if (table.age_s > table.allowed_age_s) return ["late", "! late"];
  return ["fresh", "✓ fresh"];
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
  const head = element("thead", {}, element("tr", {}, ...names.map((name, i) => element("th", { scope: "col", textContent: name, className: i >= 2 && i <= 6 ? "figure" : "" }))));
  $("tables").replaceChildren(head, element("tbody", {}, ...found.tables.map(row)));
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
