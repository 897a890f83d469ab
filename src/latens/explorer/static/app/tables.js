// What each column of a mixed table may be, of the outputs of a decoder: the share of every name, or of every segment of
// a number's grid. Columns depend on one another along a tree, through bins of their cells; sums over it are exact.

import { arrayOf, softplus } from "./networks.js";

const NEVER = -1e4; // the log weight of what is ruled out: its exponential is 0, and differences stay finite
const LEAST = 1e-37; // the least probability of a bin
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

// The columns in their order: where their outputs begin, their segments and the bin of each, and what makes shares of them.
function columnsOf(spec, arrays) {
  const columns = [];
  let at = 0;
  for (const { kind, places, path, ordered: inOrder, bins } of spec.blocks) {
    const part = (name) => arrayOf(arrays, `${path}.${name}.value`);
    const [starts, widths] = [part("starts"), part("widths")];
    const shares = kind === "ordinal" ? null : part("log_shares");
    const cuts = kind === "ordinal" ? part("cuts") : null;
    const basis = kind === "ordered" ? part("basis") : null;
    const wide = starts.shape[1];
    const outputs = basis?.shape[1] ?? cuts?.shape[1] ?? wide;
    const own = bins ? arrayOf(arrays, bins).data : new Int32Array(starts.data.length);
    places.forEach((place, m) => {
      const row = (array, n = wide) => array.data.subarray(m * n, (m + 1) * n);
      const count = row(widths).filter((width) => width > 0).length;
      columns[place] = {
        at,
        ordered: inOrder,
        starts: row(starts).subarray(0, count),
        widths: row(widths).subarray(0, count),
        bins: own.subarray(m * wide, m * wide + count),
        shares: shares && row(shares).subarray(0, count),
        cuts: cuts && row(cuts, outputs),
        basis: basis && Array.from({ length: outputs }, (_, k) => basis.data.subarray((m * outputs + k) * wide).subarray(0, count)),
        found: new Float64Array(count), // log shares of the row that was read
        kept: new Float64Array(count), // shares given the others
        read: READ[kind],
      };
      at += outputs;
    });
  }
  return { columns, outputs: at };
}

// The tree: the parent of each column (a root's own is itself), an order in which parents come first, and the log ratios
// of the bins of a parent and its child. Without a tree all columns are roots.
function treeOf(spec, arrays, count) {
  if (!spec.tree) return { parents: Int32Array.from({ length: count }, (_, i) => i), order: Int32Array.from({ length: count }, (_, i) => i), ratios: null, bins: 1 };
  const part = (name) => arrayOf(arrays, `${spec.tree.path}.${name}`);
  const [parents, order] = [part("parents.value").data, part("order.value").data];
  const [counted, more] = [part("counted.value"), part("more").data];
  const each = counted.data.length / count;
  const ratios = Float64Array.from(counted.data, (ratio, i) => {
    const c = Math.floor(i / each);
    return ratio + (parents[c] === c ? 0 : spec.tree.pace * more[i]);
  });
  return { parents, order, ratios, bins: counted.shape[1] };
}

// read(outputs, from) takes what a decoder says of one row; after it
//   means(out, at) writes the mean of every column (without an order, its likeliest name), in stored cells;
//   logGiven(limits) is the log probability that every column lies within its limits;
//   given(limits) gives of every column the shares under the limits of the others, its own too.
// limits: of each column null, or of each segment the log share of its cells that are allowed (see limitOf).
export function tableHead(spec, arrays) {
  const { columns, outputs } = columnsOf(spec, arrays);
  const { parents, order, ratios, bins: B } = treeOf(spec, arrays, columns.length);
  const c = columns.length;
  const [alone, seen, below, message, joint, tilt] = Array.from({ length: 6 }, () => new Float64Array(c * B));
  const steps = new Float64Array(c * B * B);
  const line = new Float64Array(B);
  const mass = new Float64Array(B);

  function binned(values, bins, limit, out, at) {
    mass.fill(0);
    for (let s = 0; s < values.length; s++) mass[bins[s]] += Math.exp(values[s] + (limit ? limit[s] : 0));
    for (let b = 0; b < B; b++) out[at + b] = mass[b];
  }

  function read(values, from = 0) {
    columns.forEach((column, i) => {
      column.read(column, values, from + column.at);
      normalised(column.found);
      binned(column.found, column.bins, null, alone, i * B);
      for (let b = 0; b < B; b++) alone[i * B + b] = Math.log(Math.max(alone[i * B + b], LEAST));
      for (let a = 0; a < B; a++) {
        const at = (i * B + a) * B;
        for (let b = 0; b < B; b++) steps[at + b] = alone[i * B + b] + (ratios ? ratios[at + b] : 0);
        const whole = logSum(steps, at, B);
        for (let b = 0; b < B; b++) steps[at + b] -= whole;
      }
    });
    return head;
  }

  // From the leaves to the roots: what each column says to its parent of its own limit and those below it.
  function upwards(limits) {
    below.fill(0);
    for (let i = 0; i < c; i++) {
      const limit = limits[i];
      if (!limit) seen.fill(0, i * B, (i + 1) * B);
      else {
        binned(columns[i].found, columns[i].bins, limit, seen, i * B);
        for (let b = 0; b < B; b++) {
          const at = i * B + b;
          seen[at] = seen[at] > 0 ? Math.log(seen[at]) - alone[at] : NEVER;
        }
      }
    }
    let log = 0;
    for (let k = c - 1; k >= 0; k--) {
      const i = order[k];
      for (let a = 0; a < B; a++) {
        for (let b = 0; b < B; b++) line[b] = steps[(i * B + a) * B + b] + seen[i * B + b] + below[i * B + b];
        message[i * B + a] = logSum(line, 0, B);
      }
      if (parents[i] === i) log += message[i * B];
      else for (let a = 0; a < B; a++) below[parents[i] * B + a] += message[i * B + a];
    }
    return log;
  }

  // From the roots to the leaves: the bins of each column given all limits, and (in `tilt`) given those of the others.
  function downwards() {
    for (let k = 0; k < c; k++) {
      const i = order[k];
      const [own, up] = [i * B, parents[i] * B];
      for (let b = 0; b < B; b++) {
        const here = seen[own + b] + below[own + b];
        if (parents[i] === i) {
          joint[own + b] = steps[own * B + b] + here - message[own];
          tilt[own + b] = steps[own * B + b];
        } else {
          for (let a = 0; a < B; a++) line[a] = joint[up + a] + steps[(own + a) * B + b] + here - message[own + a];
          joint[own + b] = logSum(line, 0, B);
          for (let a = 0; a < B; a++) {
            const above = Math.max(joint[up + a], NEVER) - Math.max(message[own + a], NEVER);
            line[a] = Math.max(above, 4 * NEVER) + steps[(own + a) * B + b];
          }
          tilt[own + b] = logSum(line, 0, B);
        }
      }
      for (let b = 0; b < B; b++) tilt[own + b] += below[own + b] - alone[own + b];
    }
  }

  // After logGiven of the same limits, without going up again.
  function shares() {
    downwards();
    return columns.map((column, i) => {
      for (let s = 0; s < column.kept.length; s++) column.kept[s] = column.found[s] + tilt[i * B + column.bins[s]];
      normalised(column.kept);
      return column.kept.forEach((value, s) => (column.kept[s] = Math.exp(value))), column.kept;
    });
  }

  const none = Array(c).fill(null);
  const head = {
    columns,
    outputs,
    read,
    logGiven: upwards,
    shares,
    given: (limits) => (upwards(limits), shares()),
    means(out, at) {
      head.given(none).forEach((kept, i) => {
        const { ordered: inOrder, starts, widths } = columns[i];
        out[at + i] = inOrder ? meanOf(columns[i], kept) : starts[likeliest(kept, widths)];
      });
    },
  };
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
