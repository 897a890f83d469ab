// Rows of the data that match the fixed values, compared with the predictions of the model.

import { count3, format, fixed as decimals } from "./dom.js";

const FEWEST = 5; // rows that have the very numbers from which on no others are taken
const NEAR = 0.05; // part of the range of a number within which a row is near it, where fewer have it
const SURE = 3; // standard errors from which on rows and model part
export const MOST_NAMED = 6; // names of a column of which one is counted
export const SELDOM = 10; // rows like those that are asked for below which an answer is a guess

// The rows that have what is fixed, {rows, near}: near where some have its numbers only nearly; null where the page
// cannot say.
export async function rowsAlike(model, asked, given) {
  if (!model.n || !given.length) return null;
  const tests = [];
  for (const { column, value } of given) {
    const place = model.manifest.columns.findIndex((one) => one.cell === column);
    const { input = "", levels, step } = asked[column];
    const date = input.startsWith("date");
    const wanted = date ? Date.parse(`${value}${value.includes("T") ? "Z" : ""}`) / 864e5 : Number(value);
    if (place < 0 || Number.isNaN(wanted) || input === "text") return null;
    const values = await model.column(place);
    const [least, most] = levels ? [0, 0] : values.reduce(([a, b], v) => (v <= a ? [v, b] : v > b ? [a, v] : [a, b]), [Infinity, -Infinity]);
    const within = levels ? 0 : date ? 0.5 : step / 2;
    tests.push({ values, wanted, within, wide: levels ? 0 : Math.max(within, NEAR * (most - least)) });
  }
  const rowsBy = (key) => {
    const rows = [];
    for (let i = 0; i < model.n; i++) if (tests.every((one) => Math.abs(one.values[i] - one.wanted) <= one[key])) rows.push(i);
    return rows;
  };
  const same = rowsBy("within");
  if (same.length >= FEWEST) return { rows: same, near: false };
  const near = rowsBy("wide");
  return near.length > same.length ? { rows: near, near: true } : { rows: same, near: false };
}

// What a column is in these rows, {count, value, error}: the mean of a number, or the share of one name, with its
// standard error; null where they say nothing.
export async function inRows(model, column, place, alike, level) {
  const stored = model.manifest.columns.findIndex((one) => one.cell === place);
  if (stored < 0) return null;
  const all = await model.column(stored);
  const values = alike.rows.map((row) => all[row]).filter((v) => (column.levels ? v >= 0 : Number.isFinite(v)));
  const count = values.length;
  if (count < 2) return null;
  if (column.levels) {
    const own = values.filter((v) => v === level).length;
    // Of the share under a flat prior, so that none of few rows is not surely none of all.
    return { count, own, value: own / count, error: Math.sqrt(((own + 1) * (count - own + 1)) / ((count + 2) ** 2 * (count + 3))) };
  }
  const value = values.reduce((a, b) => a + b, 0) / count;
  return { count, value, error: Math.sqrt(values.reduce((sum, v) => sum + (v - value) ** 2, 0) / (count - 1) / count) };
}

// A mean with its standard error, to as many places as that has; a share in percent.
export function sureText(column, { value, error }) {
  if (column.levels) return `${decimals(100 * value, 0)} % ± ${decimals(100 * error, 0)} %`;
  const places = error > 0 ? Math.min(6, Math.max(0, 1 - Math.floor(Math.log10(error)))) : 0;
  const [middle, sure] = error > 0 ? [decimals(value, places), decimals(error, places)] : [format(value), "0"];
  return `${middle} ± ${sure}`;
}

// Whether what the model says is further from the rows than chance explains.
export const isFar = (found, said) => found.count >= SELDOM && found.error > 0 && Math.abs(found.value - said) > SURE * found.error;

// The same in words; "" where the rows say nothing. said: what the model says of it.
export async function besideText(model, column, place, alike, level, said) {
  if (column.levels ? column.levels.length > MOST_NAMED : column.input !== "number") return "";
  const found = await inRows(model, column, place, alike, level);
  if (!found) return "";
  const which = `${count3(found.count)} ${alike.near ? "similar" : "matching"} rows`;
  const far = isFar(found, said) ? ", significantly different from the model" : "";
  const sure = sureText(column, found);
  return column.levels
    ? `${column.levels[level]} in ${count3(found.own)} of ${which} (${sure})${far}`
    : `mean of ${which}: ${sure}${far}`;
}

// How many rows an answer can be held against.
export function alikeText(alike, of) {
  const { rows: { length: count }, near } = alike;
  const few = count < SELDOM ? " With so few rows, the predictions are unreliable." : "";
  const which = near ? `${count === 1 ? "has" : "have"} similar values (numbers within 5 % of their range)` : `${count === 1 ? "matches" : "match"}`;
  if (!count) return "No row matches: the predictions are unreliable. ";
  return `${count3(count)} of ${count3(of)} rows ${which}. Each prediction shows their mean or share ± standard error.${few} `;
}
