// What each column of a mixed table may be, of the outputs of a decoder: the share of every name, or of every segment of
// a number's grid. Columns do not depend on one another given the latents.

import { arrayOf, softplus } from "./networks.js";

const NEVER = -1e4; // the log probability of what is ruled out: its exponential is 0, and differences stay finite
const LOG_GAP = 80; // the largest logarithm of a gap between two cuts

function logSum(values, from, n) {
  let top = -Infinity;
  for (let i = from; i < from + n; i++) if (values[i] > top) top = values[i];
  let sum = 0;
  for (let i = from; i < from + n; i++) sum += Math.exp(values[i] - top);
  return top + Math.log(sum);
}

function normalised(values) {
  const whole = logSum(values, 0, values.length);
  for (let i = 0; i < values.length; i++) values[i] -= whole;
}

// log P(x <= j) of a logistic seen through cuts, from its location and the logarithms of the gaps between them.
function ordinal(column, outputs, at) {
  const { found, cuts } = column;
  let cut = cuts[0] - outputs[at];
  found[0] = -softplus(-cut);
  for (let j = 1; j < cuts.length; j++) {
    const gap = Math.exp(Math.min(Math.max(cuts[j] + outputs[at + j], -LOG_GAP), LOG_GAP));
    found[j] = -softplus(-(cut + gap)) - softplus(cut) + Math.log(-Math.expm1(-gap));
    cut += gap;
  }
  found[cuts.length] = -softplus(cut);
}

// A smooth function along the grid that tilts the shares of the segments.
function ordered(column, outputs, at) {
  const { found, shares, basis } = column;
  found.set(shares);
  basis.forEach((values, k) => {
    const r = outputs[at + k];
    for (let s = 0; s < found.length; s++) found[s] += r * values[s];
  });
}

function free(column, outputs, at) {
  for (let s = 0; s < column.found.length; s++) column.found[s] = column.shares[s] + outputs[at + s];
}

const READ = { free, ordered, ordinal };

// The columns in their order: where their outputs begin, their segments, and what makes shares of them.
function columnsOf(spec, arrays) {
  const columns = [];
  let at = 0;
  for (const { kind, places, path, ordered: inOrder } of spec.blocks) {
    const part = (name) => arrayOf(arrays, `${path}.${name}.value`);
    const [starts, widths] = [part("starts"), part("widths")];
    const shares = kind === "ordinal" ? null : part("log_shares");
    const cuts = kind === "ordinal" ? part("cuts") : null;
    const basis = kind === "ordered" ? part("basis") : null;
    const wide = starts.shape[1];
    const outputs = basis?.shape[1] ?? cuts?.shape[1] ?? wide;
    places.forEach((place, m) => {
      const row = (array, n = wide) => array.data.subarray(m * n, (m + 1) * n);
      const count = row(widths).filter((width) => width > 0).length;
      columns[place] = {
        at,
        ordered: inOrder[m],
        starts: row(starts).subarray(0, count),
        widths: row(widths).subarray(0, count),
        shares: shares && row(shares).subarray(0, count),
        cuts: cuts && row(cuts, outputs),
        basis: basis && Array.from({ length: outputs }, (_, k) => basis.data.subarray((m * outputs + k) * wide).subarray(0, count)),
        found: new Float64Array(count), // log shares of the row that was read
        kept: new Float64Array(count), // the shares themselves
        read: READ[kind],
      };
      at += outputs;
    });
  }
  return { columns, outputs: at };
}

// read(outputs, from) takes what a decoder says of one row; after it
//   means(out, at) writes the mean of every column (without an order, its likeliest name), in stored cells;
//   logGiven(limits) is the log probability that every column lies within its limits;
//   shares() gives the shares of every column, which do not depend on the others.
// limits: of each column null, or of each segment the log share of its cells that are allowed (see limitOf).
export function tableHead(spec, arrays) {
  const { columns, outputs } = columnsOf(spec, arrays);
  const head = { columns, outputs, read, logGiven, shares, means };

  function read(values, from = 0) {
    for (const column of columns) {
      column.read(column, values, from + column.at);
      normalised(column.found);
    }
    return head;
  }

  function logGiven(limits) {
    let sum = 0;
    limits.forEach((limit, i) => {
      if (limit) sum += Math.max(logSum(columns[i].found.map((value, s) => value + limit[s]), 0, limit.length), NEVER);
    });
    return sum;
  }

  function shares() {
    return columns.map(({ kept, found }) => (found.forEach((value, s) => (kept[s] = Math.exp(value))), kept));
  }

  function means(out, at) {
    shares().forEach((kept, i) => {
      const { ordered: inOrder, starts, widths } = columns[i];
      out[at + i] = inOrder ? meanOf(columns[i], kept) : starts[likeliest(kept, widths)];
    });
  }

  return head;
}

export const meanOf = ({ starts, widths }, shares) =>
  shares.reduce((sum, share, s) => sum + share * (starts[s] + 0.5 * (widths[s] - 1)), 0);

// Of a segment of several names each has its part.
function likeliest(shares, widths) {
  let best = 0;
  for (let s = 1; s < shares.length; s++) if (shares[s] / widths[s] > shares[best] / widths[best]) best = s;
  return best;
}

// Of each segment the log share of its cells from `low` to `high`.
export function limitOf({ starts, widths }, low, high) {
  return Float64Array.from(starts, (start, s) => {
    const kept = Math.min(start + widths[s] - 1, high) - Math.max(start, low) + 1;
    return Math.log(Math.max(kept, 0)) - Math.log(widths[s]);
  });
}
