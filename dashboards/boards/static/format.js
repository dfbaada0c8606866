// Formatting of numbers, times and column names, in English and UTC.

export const isMoney = (name, unit) => name.endsWith("_usd") || unit === "usd";
export const label = (name) => name.replace(/_usd$/, "").replaceAll("_", " ");
export const count = (value) => value.toLocaleString("en-US");

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const today = () => new Date().toISOString().slice(0, 10);
const day = (text) => `${Number(text.slice(8, 10))} ${MONTHS[Number(text.slice(5, 7)) - 1]}`;

export function money(value) {
  return value.toLocaleString("en-US", { style: "currency", currency: "USD", minimumFractionDigits: Math.abs(value) >= 10000 ? 0 : 2, maximumFractionDigits: Math.abs(value) >= 10000 ? 0 : 2 });
}

// Decimal places of a column: those of its most precise value, at most two.
export function decimals(found, i) {
  return Math.max(0, ...found.rows.map((row) => (typeof row[i] === "number" ? (String(row[i]).split(".")[1] ?? "").slice(0, 2).length : 0)));
}

export function figure(value, name, unit, digits = 0) {
  if (value === null) return "–";
  if (typeof value !== "number") return moment(String(value));
  return isMoney(name, unit) ? money(value) : value.toLocaleString("en-US", { minimumFractionDigits: digits });
}

// A day as 23 Nov, with the year if it is not the current one; a timestamp of today as its time only.
export function moment(text) {
  if (!/^\d{4}-\d\d-\d\d(T|$)/.test(text)) return text;
  const year = text.slice(0, 4) === today().slice(0, 4) ? "" : ` ${text.slice(0, 4)}`;
  if (text.length === 10) return day(text) + year;
  return text.slice(0, 10) === today() ? text.slice(11, 19) : `${day(text)}${year}, ${text.slice(11, 16)}`;
}

export const isToday = (text) => String(text).slice(0, 10) === today();
export const clock = (at) => (isToday(at) ? `${at.slice(11, 19)} UTC` : `${moment(at)} UTC`);
export const now = () => `${new Date().toISOString().slice(11, 19)} UTC`;

export function duration(seconds) {
  const s = Math.max(0, seconds);
  if (s < 120) return `${s < 10 && s % 1 ? s.toFixed(1) : Math.round(s)} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  return s < 172800 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86400)} days`;
}

export function element(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children.filter((child) => child !== null));
  return node;
}

export async function query(path) {
  let answer;
  try {
    answer = await fetch(path, { signal: AbortSignal.timeout(60000) });
  } catch (error) {
    throw new Error(error.name === "TimeoutError" ? "the server did not respond within a minute" : "the server cannot be reached: `make status` shows whether it is running");
  }
  const found = await answer.json().catch(() => ({ detail: `the server responded with status ${answer.status}` }));
  if (!answer.ok) throw new Error(found.detail);
  return found;
}
