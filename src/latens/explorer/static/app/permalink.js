// The state of the page as the part of its address behind "#", and back. Names from data are never in it: rows, columns
// and units are numbers. What does not fit is left out, so that an old or a mistyped link opens the page as it begins.

const AXIS = /^(u|c|p)(\d{1,6})$/; // a unit, a column, a principal axis
const PICK = /^([+-])(?:c(\d{1,6})\.(\d{1,6})|([ucp]\d{1,6}),([ucp]\d{1,6}),(.*))$/; // a level of a column, or a lasso
const FILTER = /^([cu]\d{1,6}|elbo|log_likelihood|kl)(?:((?:\.\d{1,6})+)|:([^,]+),([^,]+))$/; // levels, or a range
const GIVEN = /^(\d{1,6})(?:\.(\d{1,6})|:([\w .:+-]{1,60}))$/; // a column and the code of a name, or a number or a date
const MOST_PICKS = 64;
const COLOUR = /^(none|elbo|log_likelihood|kl|(u|c)\d{1,6})$/;

const number = (text) => {
  const value = Number(text);
  return text.trim() !== "" && Number.isFinite(value) ? value : undefined;
};
const positive = (text) => (number(text) > 0 && number(text) <= 4 ? number(text) : undefined);
const flag = (text) => (text === "1" ? true : undefined);
const whole = (text) => (/^\d{1,9}$/.test(text) ? Number(text) : undefined);
const numbers = (text) => {
  const values = text.split(",").map(number);
  return values.length && values.every((v) => v !== undefined) ? values : undefined;
};
const one =
  (...words) =>
  (text) =>
    words.includes(text) ? text : undefined;
const short = (v) => String(Number(v.toPrecision(6)));

// "+c2.3" adds the level 3 of column 2 to what is picked, "-u0,u1,x,y,x,y,x,y" takes a lasso over two axes out of it.
function readPick(text) {
  const [, sign, column, level, x, y, corners] = PICK.exec(text) ?? [];
  if (!sign) return undefined;
  const one = { sign: sign === "+" ? 1 : -1 };
  if (column) return { ...one, column: Number(column), level: Number(level) };
  const v = numbers(corners);
  if (!v || v.length < 6 || v.length % 2) return undefined;
  return { ...one, x, y, polygon: Array.from({ length: v.length / 2 }, (_, i) => [v[2 * i], v[2 * i + 1]]) };
}

function writePick({ sign, column, level, x, y, polygon }) {
  const corners = polygon?.map(([px, py]) => `${short(px)},${short(py)}`).join(",");
  return `${sign > 0 ? "+" : "-"}${polygon ? `${x},${y},${corners}` : `c${column}.${level}`}`;
}

// "c0.1.3": of column 0 the levels 1 and 3; "elbo:-120,-90": from there to there.
function readFilter(text) {
  const [, key, levels, from, to] = FILTER.exec(text) ?? [];
  if (levels) return { key, levels: levels.slice(1).split(".").map(Number) };
  const [low, high] = [number(from ?? ""), number(to ?? "")];
  return low === undefined || high === undefined ? undefined : { key, low, high };
}

// "2.1": column 2 is fixed to its name 1; "3:2021-05-01": column 3 to that date.
function readGiven(text) {
  const [, column, code, words] = GIVEN.exec(text) ?? [];
  return column && { column: Number(column), value: code === undefined ? words : Number(code) };
}

const listOf = (read, write) => ({
  read: (text) => {
    const found = text.split(";").slice(0, MOST_PICKS).map(read);
    return found.includes(undefined) ? undefined : found;
  },
  write: (all) => all.slice(0, MOST_PICKS).map(write).join(";"),
});

const FIELDS = {
  x: { read: (t) => (AXIS.test(t) ? t : undefined), write: String },
  y: { read: (t) => (AXIS.test(t) ? t : undefined), write: String },
  colour: { read: (t) => (COLOUR.test(t) ? t : undefined), write: String },
  z: { read: numbers, write: (v) => Array.from(v, short).join(",") },
  row: { read: whole, write: String },
  a: { read: whole, write: String },
  b: { read: whole, write: String },
  c: { read: whole, write: String },
  via: listOf(whole, String),
  label: { read: whole, write: String },
  tab: { read: one("point", "paths", "rows", "table", "selection", "units", "whatif", "training", "about"), write: String },
  mode: { read: one("decode", "lasso", "pan"), write: String },
  path: { read: one("linear", "spherical"), write: String },
  unit: { read: whole, write: String },
  view: { read: (t) => (numbers(t)?.length === 4 ? numbers(t) : undefined), write: (v) => v.map(short).join(",") },
  picks: listOf(readPick, writePick),
  filters: listOf(readFilter, ({ key, levels, low, high }) =>
    levels ? `${key}.${levels.join(".")}` : `${key}:${short(low)},${short(high)}`,
  ),
  given: listOf(readGiven, ({ column, value }) => `${column}${typeof value === "number" ? "." : ":"}${value}`),
  size: { read: positive, write: short },
  opacity: { read: positive, write: short },
  contours: { read: flag, write: Number },
  names: { read: flag, write: Number },
  equal: { read: flag, write: Number },
  search: { read: (t) => t.slice(0, 80), write: String },
  theme: { read: one("light", "dark"), write: String },
};

export function writeLink(state) {
  const parts = [];
  for (const [name, { write }] of Object.entries(FIELDS)) {
    const value = state[name];
    if (value !== undefined && value !== null) parts.push(`${name}=${encodeURIComponent(write(value))}`);
  }
  return parts.join("&");
}

export function readLink(hash) {
  const state = {};
  for (const part of hash.replace(/^#/, "").split("&")) {
    const at = part.indexOf("=");
    const field = Object.hasOwn(FIELDS, part.slice(0, at)) ? FIELDS[part.slice(0, at)] : undefined;
    if (at < 1 || !field) continue;
    let value;
    try {
      value = field.read(decodeURIComponent(part.slice(at + 1)));
    } catch {
      continue;
    }
    if (value !== undefined) state[part.slice(0, at)] = value;
  }
  return state;
}

// At most `most` of the corners of a drawn line, evenly chosen.
export function thinned(polygon, most = 80) {
  if (polygon.length <= most) return polygon;
  return Array.from({ length: most }, (_, i) => polygon[Math.floor((i * polygon.length) / most)]);
}
