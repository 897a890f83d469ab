// What colours the points: a category by its ten colours, a number along the ramp between its 1st and 99th percentile.

import { breathe } from "./dom.js";
import { further, ramp, rgb, theme, themeName } from "./theme.js";

const SLICE = 125000;

// What a number of a row is called: its words are those of the manifest.
export const nameOf = (model, name) => `${model.words[name]} (nats)`;

export const columnGroup = (column) => (column.role === "cell" ? "columns" : "labels and splits");

export function colourChoices(app) {
  const { model } = app;
  const { columns, arrays } = model.manifest;
  const choices = [["none", "nothing"]];
  columns.forEach((column, i) =>
    choices.push([`c${i}`, column.name, columnGroup(column)]),
  );
  for (const name of Object.keys(model.words))
    if (arrays[name]) choices.push([name, nameOf(model, name), "parts of the ELBO"]);
  for (const unit of model.order) choices.push([`u${unit}`, `unit ${unit}`, "latent units"]);
  return choices;
}

// {kind: "none" | "category" | "number", name, values, place, levels} for the rows shown; place of the column.
export async function colourValues(app, key) {
  const { model } = app;
  if (key === "none") return { kind: "none", name: "" };
  const place = Number(key.slice(1));
  if (key[0] === "u" && /^u\d+$/.test(key)) {
    return { kind: "number", name: `unit ${place}`, values: model.unitValues(place) };
  }
  const column = /^c\d+$/.test(key) ? model.manifest.columns[place] : null;
  const values = column ? await app.coordinates(key) : await app.array(key);
  if (column?.kind === "category") return { kind: "category", name: column.name, values, place, levels: column.levels };
  return { kind: "number", name: column ? column.name : nameOf(model, key), values, column };
}

export function limits(values) {
  const step = Math.max(1, Math.floor(values.length / 20000));
  const some = [];
  for (let i = 0; i < values.length; i += step) if (Number.isFinite(values[i])) some.push(values[i]);
  some.sort((a, b) => a - b);
  if (!some.length) return [0, 1];
  const at = (q) => some[Math.min(some.length - 1, Math.floor(q * some.length))];
  return at(0.01) < at(0.99) ? [at(0.01), at(0.99)] : [some[0], some.at(-1)];
}

export function levelColour(i) {
  const { classes } = theme();
  return i < classes.length ? rgb(classes[i]) : further(i - classes.length);
}

const pack = ([r, g, b], a) => ((a << 24) | (b << 16) | (g << 8) | r) >>> 0; // little-endian RGBA

// One 32-bit colour a point, in the order in which they are drawn; those outside the selection (a mask, or null) fade.
// Many points are done in slices, and the page answers in between.
export async function pointColours(found, order, alpha, selected) {
  const n = order.length;
  const out = new Uint32Array(n);
  const [strong, weak] = [Math.round(255 * alpha), Math.round(255 * Math.min(alpha, 0.12))];
  const name = themeName();
  let colours = [rgb(theme().first)];
  let place = () => 0;
  if (found.kind === "number") {
    const [low, high] = limits(found.values);
    found.limits = [low, high];
    const { values } = found;
    const scale = 255 / (high - low || 1);
    colours = Array.from({ length: 256 }, (_, k) => ramp(name, k / 255));
    place = (i) => (values[i] === values[i] ? Math.min(255, Math.max(0, Math.round((values[i] - low) * scale))) : 256);
  } else if (found.kind === "category") {
    const { values, levels } = found;
    colours = levels.map((_, i) => levelColour(i));
    place = (i) => (values[i] >= 0 && values[i] < levels.length ? values[i] : levels.length);
  }
  // The last of each: no value.
  const muted = rgb(theme().muted);
  const bright = Uint32Array.from([...colours.map((c) => pack(c, strong)), pack(muted, strong >> 1)]);
  const faded = Uint32Array.from([...colours, muted].map((c) => pack(c, weak)));
  for (let from = 0; from < n; from += SLICE) {
    for (let k = from; k < Math.min(n, from + SLICE); k++) {
      const i = order[k];
      out[k] = (selected && !selected[i] ? faded : bright)[place(i)];
    }
    if (n > SLICE) await breathe();
  }
  return out;
}
