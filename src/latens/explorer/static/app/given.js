// What columns of a mixed table may be where others are fixed, by the page itself: draws of z are weighed by what is
// fixed, half of them from the prior and half from the encoder's q(z | what is fixed). Given z all is exact.

import { breathe } from "./dom.js";
import { numberAt, placeAt } from "./grid.js";
import { arrayOf, networkOf, softplus } from "./networks.js";
import { limitOf, meanOf, tableHead } from "./tables.js";

const AT_ONCE = 50; // draws of each half between two looks at the clock and the reader
const ENOUGH = 1000; // effective draws
const QUANTILES = [0.05, 0.25, 0.5, 0.75, 0.95];
const CACHE = 16 << 20; // numbers of the decoder's outputs that are kept from question to question
const LOG_2PI = Math.log(2 * Math.PI);

// Numbers between 0 and 1, the same ones every time (mulberry32, by T. Ettinger), and from them standard Normals.
function normals(seed) {
  let state = seed;
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 4294967296;
  };
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

function logNormal(z, loc, logScale, at = 0) {
  let log = 0;
  for (let i = 0; i < z.length; i++) log -= logScale[at + i] + 0.5 * ((z[i] - loc[at + i]) / Math.exp(logScale[at + i])) ** 2 + 0.5 * LOG_2PI;
  return log;
}

const logAdd = (a, b) => Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b)));

function logPrior(spec, arrays, size) {
  const zeros = new Float64Array(size);
  if (spec.kind === "normal") return (z) => logNormal(z, zeros, zeros);
  const [logits, loc, scale] = ["logits", "loc", "log_scale"].map((name) => arrayOf(arrays, `${spec.path}.${name}`).data);
  const whole = logits.reduce((sum, logit) => logAdd(sum, logit), -Infinity);
  return (z) => logits.reduce((sum, logit, k) => logAdd(sum, logit - whole + logNormal(z, loc, scale, k * size)), -Infinity);
}

// q(z | what is fixed) as {loc, logScale}; `cells` holds a stored cell of every column, NaN where none is known.
export function encoderOf(spec, arrays, size) {
  const network = networkOf(spec.network, arrays);
  const blocks = spec.blocks.map((block) => ({
    places: block.places,
    ...Object.fromEntries(["starts", "widths", "scores", "atoms"].map((name) => [name, block[name] && arrayOf(arrays, block[name])])),
  }));
  return (cells) => {
    const seen = Array.from(cells, (cell) => (Number.isNaN(cell) ? -0.5 : 0.5));
    for (const { places, starts, widths, scores, atoms } of blocks) {
      const wide = starts.shape[1];
      const segment = places.map((place, m) => {
        const of = (array, s) => array.data[m * wide + s];
        return [...Array(wide).keys()].findIndex((s) => cells[place] >= of(starts, s) && cells[place] < of(starts, s) + of(widths, s));
      });
      if (!scores) segment.forEach((own) => seen.push(...Array.from({ length: wide }, (_, s) => Number(s === own))));
      else {
        const among = atoms.shape[1];
        seen.push(...segment.map((own, m) => (own < 0 ? 0 : scores.data[m * wide + own])));
        segment.forEach((own, m) => {
          for (let k = 0; k < among; k++) seen.push(own < 0 ? 0 : atoms.data[(m * among + k) * wide + own]);
        });
      }
    }
    const outputs = network.run(Float64Array.from(seen));
    const logScale = Float64Array.from({ length: size }, (_, i) => {
      const raw = outputs[size + i];
      if (spec.scale === "softplus") return Math.log(softplus(raw) + spec.floor);
      return spec.scale === "log-variance" ? raw / 2 : raw;
    });
    return { loc: Float64Array.from(outputs.subarray(0, size)), logScale };
  };
}

// --- what a reader types, and what is told ---

const decimalsOf = (step) => [...Array(16).keys()].find((d) => Number(step.toFixed(d)) === step && step * 10 ** d > 0.999) ?? 15;
const nearest = (values, value) => values.reduce((best, one, k) => (Math.abs(one - value) < Math.abs(values[best] - value) ? k : best), 0);

// A cell of a number or a date in words.
export function wordsOf(column, grid, cell) {
  const place = Math.min(Math.max(Math.round(cell), 0), grid.size - 1);
  if (!grid.plain) return grid.words?.[place] ?? column.choices[nearest(grid.choices, place)];
  const number = numberAt(grid, place);
  if (column.kind === "date") {
    const days = grid.counts === "days";
    return new Date(1000 * Math.round(number) * (days ? 86400 : 1)).toISOString().slice(0, days ? 10 : 19);
  }
  if (Number.isInteger(grid.low) && Number.isInteger(grid.step)) return String(Math.round(number));
  const text = String(Number(number.toFixed(decimalsOf(grid.step))));
  return /^-?\d+$/.test(text) ? `${text}.0` : text;
}

// The cell that was typed or chosen.
export function cellOf(column, grid, value) {
  if (column.levels) return value;
  const no = () => {
    const unit = grid.counts ? ` ${grid.counts}` : "";
    const steps = `${Number(grid.step.toFixed(decimalsOf(grid.step)))}${unit}`;
    const [low, high] = grid.plain ? [0, grid.size - 1].map((cell) => wordsOf(column, grid, cell)) : [column.choices[0], column.choices.at(-1)];
    return new Error(`${column.name} cannot be that: it goes from ${low} to ${high}${grid.plain ? ` in steps of ${steps}` : ", by its slider"}.`);
  };
  if (!grid.plain) {
    const k = column.choices.indexOf(value);
    if (k < 0) throw no();
    return grid.choices[k];
  }
  const time = Date.parse(/T/.test(value) ? `${value}Z` : value) / 1000;
  const number = column.kind === "date" ? time / (grid.counts === "days" ? 86400 : 1) : Number(value);
  const place = placeAt(grid, number);
  if (!(Math.abs(place - Math.round(place)) <= 1e-3 && place > -0.5 && place < grid.size - 0.5)) throw no();
  return Math.round(place);
}

// The probability of each bar, where all cells of a segment are alike.
function masses(shares, { starts, widths }, edges) {
  const upTo = (edge) => shares.reduce((sum, share, s) => sum + share * Math.min(Math.max((edge - starts[s]) / widths[s], 0), 1), 0);
  const sums = edges.map(upTo);
  return sums.slice(1).map((sum, k) => sum - sums[k]);
}

// The first cell up to which there is a probability of q, as far as single precision says.
function quantile(shares, { starts, widths }, q) {
  const whole = shares.reduce((a, b) => a + b, 0);
  let before = 0;
  for (let s = 0; s < shares.length; s++) {
    const above = before + shares[s] / whole;
    if (above < q - 1e-6 && s < shares.length - 1) {
      before = above;
      continue;
    }
    const inside = Math.ceil(((q - before) / Math.max(above - before, 1e-300)) * widths[s] - 1e-6) - 1;
    return starts[s] + Math.min(Math.max(inside, 0), widths[s] - 1);
  }
}

export function told(column, grid, part, shares) {
  if (column.levels) return { shares: Array.from(shares).flatMap((share, s) => Array(part.widths[s]).fill(share / part.widths[s])) };
  const mean = meanOf(part, shares) / shares.reduce((a, b) => a + b, 0);
  return {
    shares: masses(shares, part, grid.edges),
    mean: column.kind === "number" ? grid.low + mean * grid.step : wordsOf(column, grid, mean),
    quantiles: QUANTILES.map((q) => wordsOf(column, grid, quantile(shares, part, q))),
  };
}

// --- the questions ---

// spec: what the manifest says under `given`; columns: under `what_if`; draws: of the prior, one after another;
// outputs: what the decoder says of the first of them, where the page does not compute it.
export function givenInPage(spec, columns, arrays, draws, size, outputs = null) {
  const table = tableHead(spec.head, arrays);
  const network = outputs ? null : networkOf(spec.network, arrays);
  const count = outputs ? outputs.length / table.outputs : draws.length / size;
  const density = spec.encoder && logPrior(spec.prior, arrays, size);
  const encoder = spec.encoder && encoderOf(spec.encoder, arrays, size);
  const kept = outputs ?? (count * table.outputs <= CACHE ? new Float32Array(count * table.outputs) : null);
  const known = new Uint8Array(outputs ? 0 : count);

  // Reads what the decoder says of a draw of the prior.
  function read(k) {
    const at = k * table.outputs;
    if (!outputs && !(kept && known[k])) {
      const values = network.run(draws.subarray(k * size, (k + 1) * size));
      if (!kept) return table.read(values);
      kept.set(values, at);
      known[k] = 1;
    }
    return table.read(kept, at);
  }

  // What each column may be where `cells` (NaN: anything) are fixed.
  async function shares(cells) {
    const limits = table.columns.map((part, i) => (Number.isNaN(cells[i]) ? null : limitOf(part, cells[i], cells[i])));
    const posterior = encoder?.(cells);
    const normal = normals(1);
    const sums = table.columns.map((part) => new Float64Array(part.found.length));
    let [top, total, squares, seen] = [-Infinity, 0, 0, 0];
    const take = (z) => {
      let log = table.logGiven(limits);
      if (posterior) {
        const prior = density(z);
        log += prior - logAdd(prior, logNormal(z, posterior.loc, posterior.logScale)) + Math.LN2;
      }
      seen++;
      if (log > top) {
        const by = Math.exp(top - log);
        [total, squares] = [total * by, squares * by * by];
        for (const sum of sums) for (let s = 0; s < sum.length; s++) sum[s] *= by;
        top = log;
      }
      const weight = Math.exp(log - top);
      total += weight;
      squares += weight * weight;
      if (weight < 1e-9) return;
      table.shares().forEach((own, i) => {
        for (let s = 0; s < own.length; s++) sums[i][s] += weight * own[s];
      });
    };
    const z = new Float64Array(size);
    for (let k = 0; k < count; k++) {
      read(k);
      take(draws.subarray(k * size, (k + 1) * size));
      if (posterior) {
        for (let i = 0; i < size; i++) z[i] = posterior.loc[i] + Math.exp(posterior.logScale[i]) * normal();
        table.read(network.run(z));
        take(z);
      }
      if (k % AT_ONCE === AT_ONCE - 1) {
        if (total ** 2 >= ENOUGH * squares) break;
        await breathe();
      }
    }
    return {
      columns: sums.map((sum) => sum.map((value) => value / total)),
      effective: total ** 2 / squares,
      draws: seen,
      probability: Math.exp(top) * (total / seen),
    };
  }

  async function answer({ given, row = null }) {
    const fixed = new Map(given.map(([place, value]) => [place, cellOf(columns[place], spec.columns[place], value)]));
    const cells = Float64Array.from(table.columns, (_, i) => Math.round(row?.[i] ?? NaN));
    const changed = cells.map((cell, i) => fixed.get(i) ?? cell);
    const found = await shares(changed);
    const was = row && fixed.size ? await shares(cells) : found;
    const free = [...columns.keys()].filter((i) => !fixed.has(i));
    return {
      effective: found.effective,
      draws: found.draws,
      probability: found.probability,
      columns: free.map((i) => {
        const say = (one) => told(columns[i], spec.columns[i], table.columns[i], one.columns[i]);
        const now = say(found);
        if (!row) return { column: i, ...now };
        const moved = 0.5 * found.columns[i].reduce((sum, share, s) => sum + Math.abs(share - was.columns[i][s]), 0);
        const own = Number.isNaN(cells[i]) ? "" : (columns[i].levels?.[cells[i]] ?? wordsOf(columns[i], spec.columns[i], cells[i]));
        return { column: i, ...now, was: say(was), moved, own };
      }),
    };
  }

  return answer;
}
