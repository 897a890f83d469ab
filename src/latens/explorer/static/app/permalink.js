// The state of the page as the part of its address behind "#", and back. Names from data are never in it: rows, columns
// and units are numbers. What does not fit is left out, so that an old or a mistyped link opens the page as it begins.

const AXIS = /^(u|c|p)(\d{1,6})$/; // a unit, a column, a principal axis
const LEVEL = /^c\d{1,6}\.\d{1,6}$/; // a column, and which of its levels
const COLOUR = /^(none|elbo|log_likelihood|kl|(u|c)\d{1,6})$/;

const number = (text) => {
  const value = Number(text);
  return text.trim() !== "" && Number.isFinite(value) ? value : undefined;
};
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

const FIELDS = {
  x: { read: (t) => (AXIS.test(t) ? t : undefined), write: String },
  y: { read: (t) => (AXIS.test(t) ? t : undefined), write: String },
  colour: { read: (t) => (COLOUR.test(t) ? t : undefined), write: String },
  z: { read: numbers, write: (v) => Array.from(v, short).join(",") },
  row: { read: whole, write: String },
  a: { read: whole, write: String },
  b: { read: whole, write: String },
  c: { read: whole, write: String },
  label: { read: whole, write: String },
  step: { read: whole, write: String },
  tab: { read: one("point", "paths", "rows", "selection", "units", "training", "about"), write: String },
  mode: { read: one("decode", "lasso", "pan"), write: String },
  path: { read: one("linear", "spherical"), write: String },
  unit: { read: whole, write: String },
  view: { read: (t) => (numbers(t)?.length === 4 ? numbers(t) : undefined), write: (v) => v.map(short).join(",") },
  lasso: {
    read: (t) => {
      const v = numbers(t);
      if (!v || v.length < 6 || v.length % 2) return undefined;
      return Array.from({ length: v.length / 2 }, (_, i) => [v[2 * i], v[2 * i + 1]]);
    },
    write: (polygon) => polygon.map(([x, y]) => `${short(x)},${short(y)}`).join(","),
  },
  level: { read: (t) => (LEVEL.test(t) ? t : undefined), write: String },
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
