// What each column of a mixed table may be, of the outputs of a decoder: the share of every name, or of every segment of
// a number's grid. Columns do not depend on one another given the latents.

import { arrayOf, softplus } from "./networks.js";

const LOG_GAP = 80; // the largest logarithm of a gap between two cuts

function normalised(values) {
  let top = -Infinity;
  for (const value of values) if (value > top) top = value;
  let sum = 0;
  for (const value of values) sum += Math.exp(value - top);
  const whole = top + Math.log(sum);
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
        read: READ[kind],
      };
      at += outputs;
    });
  }
  return { columns, outputs: at };
}

// read(outputs, from) takes what a decoder says of one row; after it
//   means(out, at) writes the mean of every column (without an order, its likeliest name), in stored cells.
export function tableHead(spec, arrays) {
  const { columns, outputs } = columnsOf(spec, arrays);
  const head = { columns, outputs, read, means };

  function read(values, from = 0) {
    for (const column of columns) {
      column.read(column, values, from + column.at);
      normalised(column.found);
    }
    return head;
  }

  function means(out, at) {
    columns.forEach(({ ordered: inOrder, starts, widths, found }, i) => {
      const shares = found.map(Math.exp);
      out[at + i] = inOrder ? meanOf(starts, widths, shares) : starts[likeliest(shares, widths)];
    });
  }

  return head;
}

const meanOf = (starts, widths, shares) =>
  shares.reduce((sum, share, s) => sum + share * (starts[s] + 0.5 * (widths[s] - 1)), 0);

// Of a segment of several names each has its part.
function likeliest(shares, widths) {
  let best = 0;
  for (let s = 1; s < shares.length; s++) if (shares[s] / widths[s] > shares[best] / widths[best]) best = s;
  return best;
}
