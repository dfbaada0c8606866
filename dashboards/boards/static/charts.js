// Charts drawn by ECharts, with colours from the style sheet and a table of the values for screen readers.

import { count, decimals, element, figure, isMoney, isToday, label, moment } from "./format.js";
import { table } from "./tiles.js";

const FONT = "Inter, system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
const BAR_PX = 34;
const measure = document.createElement("canvas").getContext("2d");
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
// Orange marks series that need attention; the others use the remaining colours in order.
const isWarning = (name) => /risk|returned/.test(name);
function tones(names) {
  const left = ["series-1", "series-2", "series-3", "series-4"].filter((tone) => tone !== "series-2" || !names.some(isWarning));
  return names.map((name) => style(isWarning(name) ? "series-2" : left.shift()));
}
const compact = (value, isUsd) => value.toLocaleString("en-US", { notation: "compact", maximumFractionDigits: 1, ...(isUsd ? { style: "currency", currency: "USD", minimumFractionDigits: 0 } : {}) });

let loaded;
export function echarts() {
  loaded ??= new Promise((resolve, reject) => {
    if (window.echarts?.init) return resolve();
    const script = document.getElementById("charts-library");
    script.addEventListener("load", () => resolve());
    script.addEventListener("error", () => reject(new Error("the chart library could not be loaded: reload the page")));
  });
  return loaded;
}

function textWidth(text) {
  measure.font = `12px ${FONT}`;
  return measure.measureText(text).width;
}

const text = (found, row, i) => figure(row[i], found.columns[i], undefined, decimals(found, i)) + (found.columns[i].startsWith("percent") ? " %" : "");

function shared(found, chart) {
  const asLine = chart.match(/: (\w+) as line$/)?.[1];
  const names = found.columns.slice(1);
  const colours = tones(names);
  return { asLine, names, colours, kind: chart.split(":")[0], title: found.columns[0] };
}

// Categories along the side, sized for the longest name, and the value at the end of each bar.
function ofNames(found, chart, width) {
  const { names, colours } = shared(found, chart);
  const labels = found.rows.map((row) => String(row[0] ?? "none"));
  const texts = names.map((name, i) => found.rows.map((row) => text(found, row, i + 1)));
  const left = Math.min(Math.max(...labels.map(textWidth)), width * 0.4);
  const right = Math.max(...texts.flat().map(textWidth)) + 12;
  return {
    grid: { left: left + 14, right, top: names.length > 1 ? 34 : 2, bottom: 2 },
    xAxis: { type: "value", show: false, min: 0 },
    yAxis: { type: "category", inverse: true, data: labels, axisTick: { show: false }, axisLine: { show: false }, axisLabel: { color: style("ink"), fontSize: 12, width: left + 4, overflow: "truncate", interval: 0, margin: 10 } },
    series: names.map((name, i) => ({ name, type: "bar", barMaxWidth: names.length > 1 ? 12 : 18, barGap: "25%", itemStyle: { color: colours[i], borderRadius: 3 }, label: { show: true, position: "right", color: style("ink"), fontSize: 12, formatter: (point) => texts[i][point.dataIndex] }, data: found.rows.map((row) => row[i + 1]) })),
  };
}

function ofTime(found, chart) {
  const { asLine, names, colours, kind } = shared(found, chart);
  // A line with a different unit than the bars has its own axis.
  const hasTwo = Boolean(asLine) && names.some((name) => name !== asLine && isMoney(name) !== isMoney(asLine));
  const tickLabel = (text) => (String(text).includes("T") ? text.slice(11, 16) : moment(String(text)));
  const axis = (isUsd) => ({ type: "value", axisLabel: { color: style("soft"), fontSize: 12, formatter: (value) => compact(value, isUsd) }, splitLine: { lineStyle: { color: style("line") } }, splitNumber: 4, minInterval: isUsd ? 0 : 1 });
  const first = names.find((name) => name !== asLine) ?? names[0];
  const isFlat = kind === "stacked";
  const bar = (name, i, last) => ({ name, type: "bar", stack: isFlat ? "all" : undefined, barMaxWidth: 28, barCategoryGap: "22%", itemStyle: { color: colours[i], borderRadius: isFlat && !last ? 0 : [3, 3, 0, 0] } });
  const line = (name, i) => ({ name, type: "line", showSymbol: false, z: 3, yAxisIndex: hasTwo ? 1 : 0, lineStyle: { width: 2.5, color: colours[i] }, itemStyle: { color: colours[i] } });
  const data = (name, i) => found.rows.map((row) => (name !== asLine && row[0] && !String(row[0]).includes("T") && isToday(row[0]) ? { value: row[i + 1], itemStyle: { opacity: 0.5 } } : row[i + 1]));
  const room = (name) => Math.max(textWidth(compact(1.25 * Math.max(...found.rows.map((row) => row[names.indexOf(name) + 1] ?? 0), 1), isMoney(name))), 16) + 14;
  return {
    grid: { left: room(first), right: hasTwo ? room(asLine) : 12, top: names.length > 1 ? 40 : 10, bottom: 26 },
    xAxis: { type: "category", data: found.rows.map((row) => tickLabel(row[0])), axisTick: { show: false }, axisLine: { lineStyle: { color: style("line") } }, axisLabel: { color: style("soft"), fontSize: 12, hideOverlap: true, margin: 10 } },
    yAxis: hasTwo ? [axis(isMoney(first)), { ...axis(isMoney(asLine)), splitLine: { show: false } }] : axis(isMoney(first)),
    series: names.map((name, i) => ({ ...(name === asLine ? line(name, i) : bar(name, i, i === names.length - 1)), data: data(name, i) })),
  };
}

function tooltip(points, found) {
  const encode = window.echarts.format.encodeHTML;
  const first = String(found.rows[points[0].dataIndex][0] ?? "none");
  const head = first.includes("T") ? `${first.slice(11, 16)} UTC` : moment(first) + (isToday(first) ? ", so far" : "");
  return [`<b>${encode(head)}</b>`, ...points.map((point) => `${point.marker}${encode(label(point.seriesName))} <b>${encode(text(found, found.rows[point.dataIndex], point.seriesIndex + 1))}</b>`)].join("<br>");
}

function options(found, chart, width) {
  const isTime = /^\d{4}-\d\d-\d\d/.test(String(found.rows[0][0]));
  const { names } = shared(found, chart);
  const drawn = isTime ? ofTime(found, chart) : ofNames(found, chart, width);
  return {
    animation: false,
    textStyle: { fontFamily: FONT, color: style("ink") },
    legend: names.length > 1 ? { top: 3, left: 0, padding: 0, itemWidth: 12, itemHeight: 12, itemGap: 16, icon: "roundRect", textStyle: { color: style("soft"), fontSize: 12 }, formatter: label } : undefined,
    tooltip: { trigger: "axis", confine: true, backgroundColor: style("tile"), borderColor: style("line"), textStyle: { color: style("ink"), fontSize: 13 }, axisPointer: { type: isTime ? "line" : "none", lineStyle: { color: style("soft") } }, formatter: (points) => tooltip(points, found) },
    ...drawn,
  };
}

// Draws into the tile's body, reusing the chart of the previous refresh if there is one.
export async function draw(entry, found) {
  await echarts();
  const { body, tile } = entry;
  const isTime = /^\d{4}-\d\d-\d\d/.test(String(found.rows[0][0]));
  if (!entry.chart) {
    const place = element("div", { className: "chart", role: "img", ariaLabel: `Chart: ${tile.title}. A table with its ${count(found.rows.length)} values follows.` });
    entry.figures = element("div", { className: "sr-only" });
    body.replaceChildren(place, entry.figures);
    entry.place = place;
  }
  // Bar charts grow with their bars; time series have a fixed height.
  const series = found.columns.length - 1;
  entry.place.style.minHeight = isTime ? "" : `${found.rows.length * (series > 1 ? BAR_PX + 8 : BAR_PX) + (series > 1 ? 34 : 6)}px`;
  entry.place.classList.toggle("over-time", isTime);
  entry.chart ??= window.echarts.init(entry.place, null, { renderer: "svg" });
  entry.chart.resize();
  entry.chart.setOption(options(found, tile.chart, entry.place.clientWidth), true);
  entry.figures.replaceChildren(table(found, "table"));
}
