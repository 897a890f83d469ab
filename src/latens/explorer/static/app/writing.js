// Numbers and dates as the file of a table writes them: marks, units and the order of days.

import { format } from "./dom.js";

export const dayText = (days) => new Date(Math.round(864e5 * days)).toISOString();
// The same to the nearest minute: days are stored in single precision.
export const minuteText = (days) => new Date(6e4 * Math.round(1440 * days)).toISOString().slice(0, 16);

const pad = (number, digits = 2) => String(number).padStart(digits, "0");
const month = (date, length) => date.toLocaleString("en-US", { month: length, timeZone: "UTC" });
const twelve = (hours) => hours % 12 || 12;

// The letters of a date's pattern, as strftime has them.
const LETTERS = {
  Y: (date) => pad(date.getUTCFullYear(), 4),
  y: (date) => pad(date.getUTCFullYear() % 100),
  m: (date) => pad(date.getUTCMonth() + 1),
  "-m": (date) => date.getUTCMonth() + 1,
  d: (date) => pad(date.getUTCDate()),
  "-d": (date) => date.getUTCDate(),
  H: (date) => pad(date.getUTCHours()),
  "-H": (date) => date.getUTCHours(),
  I: (date) => pad(twelve(date.getUTCHours())),
  "-I": (date) => twelve(date.getUTCHours()),
  M: (date) => pad(date.getUTCMinutes()),
  S: (date) => pad(date.getUTCSeconds()),
  p: (date) => (date.getUTCHours() < 12 ? "AM" : "PM"),
  P: (date) => (date.getUTCHours() < 12 ? "am" : "pm"),
  b: (date) => month(date, "short"),
  B: (date) => month(date, "long"),
  q: (date) => Math.floor(date.getUTCMonth() / 3) + 1,
};

// A day or second as the file writes it; ISO 8601 where the pattern has a letter that is not here, such as a week.
export function dateText(days, pattern, plain) {
  // To the finest unit that is written: days are stored in single precision.
  const unit = /%S/.test(pattern) ? 1e3 : /%M/.test(pattern) ? 6e4 : 1;
  const date = new Date(unit * Math.round((864e5 * days) / unit));
  const parts = pattern ? pattern.split(/%(-?[a-zA-Z])/) : [];
  if (!parts.length || parts.some((part, i) => i % 2 && !LETTERS[part])) return plain;
  return parts.map((part, i) => (i % 2 ? LETTERS[part](date) : part)).join("");
}

// Seconds as minutes and seconds, with so many digits before the colon at the least.
function lap(seconds, digits, least) {
  const ticks = Math.round(seconds * 10 ** digits);
  const whole = Math.floor(ticks / (60 * 10 ** digits));
  const left = (ticks / 10 ** digits - 60 * whole).toFixed(digits);
  return `${pad(whole, least)}:${left.padStart(digits ? digits + 3 : 2, "0")}`;
}

// The digits of a number: as many decimals as the file has, or up to `digits` of them, or four digits in all.
function body(size, decimals, digits) {
  if (decimals >= 0) return size.toFixed(decimals);
  if (digits === undefined) return format(size);
  return digits ? size.toFixed(digits).replace(/\.?0+$/, "") : size.toFixed(0);
}

// A number with its marks and its unit, as the file writes it.
export function writtenText(number, writing, digits) {
  const { prefix = "", suffix = "", decimal = ".", thousands = "", decimals = -1, inside = false, plus = false } = writing;
  if (!Number.isFinite(number)) return format(number);
  if (writing.minutes) {
    const shown = lap(Math.abs(number), decimals >= 0 ? decimals : (digits ?? 0), writing.minutes).replace(".", decimal);
    return number < 0 ? `-${shown}` : shown;
  }
  const [whole, part = ""] = body(Math.abs(number), decimals, digits).split(".");
  if (!/^\d+$/.test(whole + part)) return format(number); // 1e12
  const groups = whole.replace(/\B(?=(\d{3})+$)/g, thousands) + (part ? decimal + part : "") + suffix;
  const below = number < 0 && /[1-9]/.test(whole + part);
  const minus = writing.minus ?? (digits === undefined ? "−" : "-");
  if (below && minus === "()") return `(${prefix}${groups})`;
  const sign = below ? minus : plus && number > 0 ? "+" : "";
  return inside ? prefix + sign + groups : sign + prefix + groups;
}

// A mean, with four digits and no fewer decimals than the file has; of money, with two or more, as many.
export function meanText(number, writing) {
  const own = writing.decimals ?? -1;
  const decimals = own >= 2 ? own : Math.max(own, (format(number).split(".")[1] ?? "").length);
  return writtenText(number, { ...writing, decimals }, decimals);
}

// The number of a text as the file writes it, or as a program does: 6,5 and 6.5 are the same. NaN where it is none.
export function numberOf(text, { prefix = "", suffix = "", decimal = ".", thousands = "", minutes = 0 } = {}) {
  const clock = /^(\d+):([0-5]\d(?:[.,]\d+)?)$/.exec(text.trim());
  if (minutes && clock) return 60 * Number(clock[1]) + Number(clock[2].replace(",", "."));
  let rest = text.trim();
  const below = /^\(.*\)$/.test(rest) || /[-−]/.test(rest);
  for (const unit of [prefix.trim(), suffix.trim()]) if (unit) rest = rest.replace(unit, "");
  rest = rest.replace(/^\((.*)\)$/, "$1").replace(/[\s'’]/g, "").replace(/^[-−+]/, "");
  const other = decimal === "," ? "." : ",";
  if (rest.includes(decimal) || thousands === other) {
    const grouped = new RegExp(`^\\d{1,3}(\\${other}\\d{3})+(\\${decimal}\\d*)?$`);
    if (grouped.test(rest)) rest = rest.replaceAll(other, "");
  }
  rest = rest.replace(/[.,]/, ".");
  return /^(\d+\.?\d*|\.\d+)$/.test(rest) ? (below ? -1 : 1) * Number(rest) : NaN;
}
