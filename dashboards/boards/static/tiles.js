// Tiles that show a number or a table.

import { count, decimals, element, figure, isMoney, label, money } from "./format.js";

const STATUSES = ["placed", "paid", "shipped", "delivered", "cancelled", "returned"];
const UNITS = { seconds: "s", units: "units", accounts: "accounts" };

// The change against the previous value: arrow, percent and text, so that it is readable without the colour.
export function change(value, before, text = "") {
  if (before === null || value === null) return element("span", { className: "change" }, "No previous value");
  if (before === 0) return element("span", { className: "change" }, value === 0 ? "Also 0 before" : "0 before");
  const percent = (100 * (value - before)) / Math.abs(before);
  const size = Math.abs(percent) >= 1000 ? count(Math.round(Math.abs(percent))) : Math.abs(percent).toFixed(1);
  if (size === "0.0") return element("span", { className: "change" }, element("b", {}, "± 0.0 %"), text && ` from ${text}`);
  const way = percent > 0 ? "up" : "down";
  const chip = element("b", {}, element("span", { ariaHidden: "true" }, way === "up" ? "▲ " : "▼ "), `${size} %`);
  return element("span", { className: `change ${way}` }, chip, element("span", { className: text ? "" : "sr-only" }, ` ${way === "up" ? "more" : "less"}${text && ` than ${text}`}`));
}

export function number(found, chart) {
  const unit = (chart.split(":")[1] || "").split(",")[0].trim();
  const value = found.rows[0][0];
  const node = element("div", { className: "number" }, figure(value, found.columns[0], unit));
  if (UNITS[unit] && value !== null) node.append(element("span", { className: "unit" }, ` ${UNITS[unit]}`));
  const i = found.columns.indexOf("before");
  if (i < 0) return [node];
  const before = found.rows[0][i];
  return [node, element("p", { className: "against" }, change(value, before, `${figure(before, found.columns[0], unit)} before`))];
}

// The column of the same row that a value is compared with: old_x with new_x, x_before with x_after.
function partner(columns, i) {
  const name = columns[i];
  if (name.startsWith("new_")) return columns.indexOf(`old_${name.slice(4)}`);
  return name.endsWith("_after") ? columns.indexOf(`${name.slice(0, -6)}_before`) : -1;
}

// A percentage as a shade behind its value; the text stays readable on every shade.
function share(cell, value) {
  cell.classList.add("share");
  cell.style.setProperty("--share", `${Math.min(100, value)}%`);
}

export function table(found, chart) {
  const isPercent = chart === "table: percent";
  const isFigure = found.columns.map((name, i) => !name.endsWith("_id") && found.rows.every((row) => row[i] === null || typeof row[i] === "number") && found.rows.some((row) => row[i] !== null || isPercent));
  const head = element("tr", {}, ...found.columns.map((name, i) => element("th", { scope: "col", className: isFigure[i] ? "figure" : "" }, label(name))));
  const cell = (value, i, row) => {
    const name = found.columns[i];
    const node = element(i ? "td" : "th", { className: isFigure[i] ? "figure" : "" });
    if (!i) node.scope = "row";
    const share_of = isPercent && name.startsWith("week_");
    if (value === null) node.append(element("span", { className: "none", ariaLabel: share_of ? "not yet" : "none", role: "img" }, share_of ? "" : "–"));
    // An identifier is not an amount: no thousands separator.
    else if (name.endsWith("_id")) node.append(String(value));
    else if (name === "status" && STATUSES.includes(value)) node.append(element("span", { className: `status ${value}` }, value));
    else if (share_of) node.append(`${value.toFixed(1)} %`);
    else if (isMoney(name)) node.append(money(value));
    else node.append(figure(value, name, undefined, decimals(found, i)));
    if (share_of && value !== null) share(node, value);
    const other = partner(found.columns, i);
    // No colour for prices: a lower price is neither good nor bad.
    if (other >= 0 && row[other] !== null && value !== null) node.append(" ", element("small", { className: isMoney(name) ? "plain" : "" }, change(value, row[other])));
    return node;
  };
  const rows = found.rows.map((row) => element("tr", {}, ...row.map((value, i) => cell(value, i, row))));
  return element("table", { className: isPercent ? "shares" : "" }, element("thead", {}, head), element("tbody", {}, ...rows));
}
