// What the rows of the data have that are as it was asked for, beside what the model says of such rows.

import { count3, format, fixed as decimals } from "./dom.js";
import { meanText } from "./writing.js";

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

// The mean of a number in these rows, or how many have one name, with its standard error; "" where they say nothing.
// said: what the model says of it.
export async function besideText(model, column, place, alike, level, said) {
  const stored = model.manifest.columns.findIndex((one) => one.cell === place);
  if (stored < 0 || (column.levels ? column.levels.length > MOST_NAMED : column.input !== "number")) return "";
  const all = await model.column(stored);
  const values = alike.rows.map((row) => all[row]).filter((v) => (column.levels ? v >= 0 : Number.isFinite(v)));
  const count = values.length;
  if (count < 2) return "";
  const which = `the ${count3(count)} rows ${alike.near ? "nearly so" : "that are so"}`;
  const far = (mean, error) => (count >= SELDOM && Math.abs(mean - said) > SURE * error ? ", further from it than by chance" : "");
  if (column.levels) {
    const own = values.filter((v) => v === level).length;
    // Of the share under a flat prior, so that none of few rows is not surely none of all.
    const error = Math.sqrt(((own + 1) * (count - own + 1)) / ((count + 2) ** 2 * (count + 3)));
    const share = `${decimals((100 * own) / count, 0)} % ± ${decimals(100 * error, 0)} %`;
    return `${column.levels[level]} in ${count3(own)} of ${which} (${share})${far(own / count, error)}`;
  }
  const mean = values.reduce((a, b) => a + b, 0) / count;
  const error = Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (count - 1) / count);
  const places = error > 0 ? Math.min(6, Math.max(0, 1 - Math.floor(Math.log10(error)))) : 0;
  const [middle, sure] = column.writing
    ? [meanText(mean, column.writing), meanText(error, { ...column.writing, plus: false })]
    : error > 0 ? [decimals(mean, places), decimals(error, places)] : [format(mean), "0"];
  return `${which}: mean ${middle} ± ${sure}${error > 0 ? far(mean, error) : ""}`;
}

// How many rows an answer can be held against.
export function alikeText(alike, of) {
  const { rows: { length: count }, near } = alike;
  const few = count < SELDOM ? ", so few that the answers are guesses" : "";
  const which = near ? "nearly so (numbers within a twentieth of their range)" : "so";
  if (!count) return "No row is so: the answers are guesses. ";
  return `${count3(count)} of ${count3(of)} rows ${count === 1 ? "is" : "are"} ${which}${few}; what they have, ± its standard error, stands beside each answer. `;
}
