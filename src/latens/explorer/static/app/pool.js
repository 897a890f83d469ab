// What columns are in new rows that have what is fixed. These follow lines, sums of effects, and names drawn by all other
// columns together, which the model alone knows too little of.

import { cellOf, told } from "./given.js";

const FEWEST = 100; // new rows that have the fixed names, below which they say nothing
const NEAREST = 800; // new rows nearest to fixed numbers that are counted
const FAR = 1; // standard deviations from a fixed number up to which a row counts as near it
const LEAST = 0.003; // nats that another column says, below which it says nothing
const RIDGE = 1e-3; // of the lines along fixed numbers, in variances
const SURE = 3; // standard errors of a slope below which it is none

// The cells of a column, from `rows` as columns one after another.
const cellsOf = (rows, { shape: [, n] }, column) => rows.subarray(column * n, (column + 1) * n);

function spread(cells, empty) {
  let [count, sum, squares] = [0, 0, 0];
  for (const cell of cells) if (cell !== empty) [count, sum, squares] = [count + 1, sum + cell, squares + cell * cell];
  return count ? Math.sqrt(Math.max(squares / count - (sum / count) ** 2, 1e-12)) : 1;
}

// The new rows that have the fixed names and are nearest to the fixed numbers, with how far they are from each of
// these in standard deviations; null where there are too few.
export function nearestRows(rows, spec, columns, fixed) {
  const { shape: [, n], empty } = spec;
  const parts = fixed.map(([column, wanted]) => ({ cells: cellsOf(rows, spec, column), wanted, named: Boolean(columns[column].levels) }));
  const numbers = parts.filter((one) => !one.named).map((one) => ({ ...one, wide: spread(one.cells, empty) }));
  const names = parts.filter((one) => one.named);
  const found = [];
  for (let i = 0; i < n; i++) {
    if (!names.every((one) => one.cells[i] === one.wanted) || numbers.some((one) => one.cells[i] === empty)) continue;
    const away = numbers.map((one) => (one.cells[i] - one.wanted) / one.wide);
    found.push({ row: i, away, far: away.reduce((sum, x) => sum + x * x, 0) });
  }
  if (numbers.length) found.sort((a, b) => a.far - b.far || a.row - b.row);
  let count = numbers.length ? Math.min(NEAREST, found.length) : found.length;
  while (numbers.length && count < found.length && found[count].far === 0) count++;
  const kept = found.slice(0, count);
  return kept.length < FEWEST || kept[FEWEST - 1].far > FAR * FAR ? null : kept.filter((one) => one.far <= FAR * FAR);
}

// The slopes of values along how far the rows are from each fixed number, by least squares.
export function slopes(values, near) {
  const size = near[0].away.length;
  const mean = (of) => near.reduce((sum, one, k) => sum + of(one, k), 0) / near.length;
  const middle = Array.from({ length: size }, (_, i) => mean((one) => one.away[i]));
  const level = mean((_, k) => values[k]);
  const centred = (one, i) => one.away[i] - middle[i];
  const rows = middle.map((_, i) => [
    ...middle.map((_, j) => mean((one) => centred(one, i) * centred(one, j)) + RIDGE * Number(i === j)),
    mean((one, k) => centred(one, i) * (values[k] - level)),
  ]);
  rows.forEach((pivot, i) => {
    const by = pivot[i];
    pivot.forEach((value, j) => (pivot[j] = value / by));
    rows.forEach((other, k) => {
      const times = other[i];
      if (k !== i) other.forEach((value, j) => (other[j] = value - times * pivot[j]));
    });
  });
  const found = rows.map((row) => row.at(-1));
  const left = values.map((value, k) => value - level - found.reduce((sum, by, i) => sum + by * centred(near[k], i), 0));
  const noise = mean((_, k) => left[k] ** 2) / near.length;
  const wide = middle.map((_, i) => mean((one) => centred(one, i) ** 2) + RIDGE);
  return found.map((by, i) => (by ** 2 * wide[i] > SURE ** 2 * noise ? by : 0));
}

// A number's cells as they would be at the fixed numbers themselves, of those that new rows have, sorted.
function moved(cells, near, own, empty) {
  if (!near[0].away.length) return cells.sort((a, b) => a - b);
  const among = [...new Set(own)].filter((cell) => cell !== empty).sort((a, b) => a - b);
  const along = slopes(cells, near);
  const at = (cell, { away }) => cell - away.reduce((sum, x, i) => sum + along[i] * x, 0);
  return cells.map((cell, k) => nearestOf(among, at(cell, near[k]))).sort((a, b) => a - b);
}

// Of sorted values the one nearest to a number.
function nearestOf(sorted, value) {
  let [low, high] = [0, sorted.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low > 0 && value - sorted[low - 1] < sorted[low] - value ? sorted[low - 1] : sorted[low];
}

// The standard error of a mean.
function errorOf(cells) {
  const mean = cells.reduce((a, b) => a + b, 0) / cells.length;
  return Math.sqrt(cells.reduce((sum, cell) => sum + (cell - mean) ** 2, 0)) / cells.length;
}

// The answer with columns counted in new rows: those that follow others, or all where one of these is fixed.
export function countedInNewRows(rows, spec, columns, given, answer) {
  const { empty, columns: grids, counted } = spec;
  let fixed;
  try {
    fixed = given.map(([column, value]) => [column, cellOf(columns[column], grids[column], value)]);
  } catch {
    return answer; // a date between those of the slider, which only the model reads
  }
  const whole = nearestRows(rows, spec, columns, fixed);
  const all = fixed.some(([column]) => columns[column].follows);
  // Where too few rows have all that is fixed, a column is counted in those that have what says anything about it.
  const nearOf = (place) => {
    const { follows, says } = columns[place];
    if (whole || all || !follows) return whole;
    const matters = (name) => follows.includes(name) || says[name] > LEAST;
    return nearestRows(rows, spec, columns, fixed.filter(([column]) => matters(columns[column].name)));
  };
  let fewest = Infinity;
  const inNewRows = (one) => {
    const { column: place, exact } = one;
    const near = exact !== undefined || !(all || counted.includes(place)) ? null : nearOf(place);
    if (!near) return one;
    fewest = Math.min(fewest, near.length);
    const [column, own] = [columns[place], cellsOf(rows, spec, place)];
    const there = near.filter(({ row }) => own[row] !== empty);
    if (!there.length) return one;
    const cells = there.map(({ row }) => own[row]);
    if (!column.levels) {
      const made = moved(cells, there, own, empty);
      return { ...one, ...told(column, grids[place], null, null, made), exact: undefined, error: errorOf(made) * grids[place].step };
    }
    const shares = new Array(column.levels.length).fill(0);
    for (const cell of cells) shares[cell] += 1 / cells.length;
    return { ...one, shares, errors: shares.map((share) => Math.sqrt((share * (1 - share)) / cells.length)) };
  };
  const every = answer.columns.map(inNewRows);
  return Number.isFinite(fewest) ? { ...answer, columns: every, counted: fewest } : answer;
}

// Which columns say most about one, where new rows know more than the model.
export function saidInNewRows(columns, answer) {
  const { says } = columns[answer.target];
  if (!says) return answer;
  const explained = answer.explained.map((one) => (one.name in says ? { ...one, nats: says[one.name], error: 0 } : one));
  return { ...answer, explained: explained.sort((a, b) => b.nats - a.nats) };
}
