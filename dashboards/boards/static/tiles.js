// A number or a table, drawn from an answer.

import { count, decimals, element, figure, isMoney, money, words } from "./format.js";

const STATUSES = ["placed", "paid", "shipped", "delivered", "cancelled", "returned"];
const UNITS = { seconds: "s", units: "units", accounts: "accounts" };

// What changed against before: arrow, percent, and words, for the colour alone says nothing to many.
export function change(value, before, text = "") {
  if (before === null || value === null) return element("span", { className: "change" }, "Nothing before to compare with");
  if (before === 0) return element("span", { className: "change" }, value === 0 ? "None before either" : "None before");
  const percent = (100 * (value - before)) / Math.abs(before);
  const size = Math.abs(percent) >= 1000 ? count(Math.round(Math.abs(percent))) : Math.abs(percent).toFixed(1);
  if (size === "0.0") return element("span", { className: "change" }, element("b", {}, "± 0.0 %"), text && ` as ${text}`);
  const way = percent > 0 ? "up" : "down";
  const chip = element("b", {}, element("span", { ariaHidden: "true" }, way === "up" ? "▲ " : "▼ "), `${size} %`);
  return element("span", { className: `change ${way}` }, chip, element("span", { className: text ? "" : "sr-only" }, ` ${way === "up" ? "more" : "less"}${text && ` than ${text}`}`));
}

export function number(found, chart) {
  const unit = (chart.split(":")[1] || "").split(",")[0].trim();
  const value = found.rows[0][0];
  const made = element("div", { className: "number" }, figure(value, found.columns[0], unit));
  if (UNITS[unit] && value !== null) made.append(element("span", { className: "unit" }, ` ${UNITS[unit]}`));
  const i = found.columns.indexOf("before");
  if (i < 0) return [made];
  const before = found.rows[0][i];
  return [made, element("p", { className: "against" }, change(value, before, `${figure(before, found.columns[0], unit)} before`))];
}

// The column that a figure is compared with within its row: old_x with new_x, x_before with x_after.
function partner(columns, i) {
  const name = columns[i];
  if (name.startsWith("new_")) return columns.indexOf(`old_${name.slice(4)}`);
  return name.endsWith("_after") ? columns.indexOf(`${name.slice(0, -6)}_before`) : -1;
}

// A share of 100 as a shade behind its figure; its ink stays readable on every shade.
function share(cell, value) {
  cell.classList.add("share");
  cell.style.setProperty("--share", `${Math.min(100, value)}%`);
}

export function table(found, chart) {
  const isPercent = chart === "table: percent";
  const isFigure = found.columns.map((name, i) => !name.endsWith("_id") && found.rows.every((row) => row[i] === null || typeof row[i] === "number") && found.rows.some((row) => row[i] !== null || isPercent));
  const head = element("tr", {}, ...found.columns.map((name, i) => element("th", { scope: "col", className: isFigure[i] ? "figure" : "" }, words(name))));
  const cell = (value, i, row) => {
    const name = found.columns[i];
    const made = element(i ? "td" : "th", { className: isFigure[i] ? "figure" : "" });
    if (!i) made.scope = "row";
    const share_of = isPercent && name.startsWith("week_");
    if (value === null) made.append(element("span", { className: "none", ariaLabel: share_of ? "not yet" : "none", role: "img" }, share_of ? "" : "–"));
    // A number that names something is no amount: it gets no thousands separator.
    else if (name.endsWith("_id")) made.append(String(value));
    else if (name === "status" && STATUSES.includes(value)) made.append(element("span", { className: `status ${value}` }, value));
    else if (share_of) made.append(`${value.toFixed(1)} %`);
    else if (isMoney(name)) made.append(money(value));
    else made.append(figure(value, name, undefined, decimals(found, i)));
    if (share_of && value !== null) share(made, value);
    const other = partner(found.columns, i);
    // A lower price is neither good nor bad; what it sold is.
    if (other >= 0 && row[other] !== null && value !== null) made.append(" ", element("small", { className: isMoney(name) ? "plain" : "" }, change(value, row[other])));
    return made;
  };
  const rows = found.rows.map((row) => element("tr", {}, ...row.map((value, i) => cell(value, i, row))));
  return element("table", { className: isPercent ? "shares" : "" }, element("thead", {}, head), element("tbody", {}, ...rows));
}
