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

// The trees: the parent of each column (a root's own is itself), an order in which parents come first, and for each tree
// the ratios of the bins of a parent and its child, of which the largest of a row is 1. Which tree holds says the bin of
// the column `by`; without one there is one tree, and without a tree all columns are roots.
function treesOf(spec, arrays, count) {
  const self = Int32Array.from({ length: count }, (_, i) => i);
  if (!spec.tree) return { parents: self, order: self, ratios: [new Float64Array(count).fill(1)], bins: 1, by: -1, treeOf: null };
  const part = (name) => arrayOf(arrays, `${spec.tree.path}.${name}`);
  const [parents, order] = [part("parents.value").data, part("order.value").data];
  const [counted, more] = [part("counted.value"), part("more").data];
  const [B, many] = [counted.shape.at(-1), spec.tree.trees];
  const by = many > 1 ? part("by.value").data[0] : -1;
  const each = count * B * B;
  const ratios = Array.from({ length: many }, (_, k) => {
    const made = new Float64Array(each);
    for (let c = 0; c < count; c++) {
      const root = parents[c] === c;
      for (let a = 0; a < B; a++) {
        const [at, from] = [(c * B + a) * B, k * each + (c * B + (root ? 0 : a)) * B];
        let top = -Infinity;
        for (let b = 0; b < B; b++) {
          const trained = c === by || (root && many === 1) ? 0 : spec.tree.pace * more[from + b];
          made[at + b] = counted.data[k * each + at + b] + trained;
          top = Math.max(top, made[at + b]);
        }
        for (let b = 0; b < B; b++) made[at + b] = Math.exp(made[at + b] - top);
      }
    }
    return made;
  });
  return { parents, order, ratios, bins: B, by, treeOf: many > 1 ? part("tree_of.value").data : null };
}

// One tree, of the shares of the bins of each column and what is left of each bin by the limits.
function oneTree(ratios, parents, order, B, shares, seen) {
  const c = parents.length;
  const [below, message, joint, others] = Array.from({ length: 4 }, () => new Float64Array(c * B));
  const whole = new Float64Array(c * B);
  const weighed = (at, values, from) => {
    let sum = 0;
    for (let b = 0; b < B; b++) sum += ratios[at * B + b] * values[from + b];
    return sum;
  };

  function read() {
    for (let i = 0; i < c * B; i++) whole[i] = weighed(i, shares, Math.floor(i / B) * B);
  }

  // From the leaves to the roots: what each column says to its parent of its own limit and those below it. The column
  // `by` is left out of the log probability that comes back.
  const own = new Float64Array(B);
  function upwards(by) {
    below.fill(1);
    let log = 0;
    for (let k = c - 1; k >= 0; k--) {
      const i = order[k];
      const [at, up] = [i * B, parents[i] * B];
      for (let b = 0; b < B; b++) own[b] = shares[at + b] * seen[at + b] * below[at + b];
      const root = parents[i] === i;
      let top = 0;
      for (let a = 0; a < (root ? 1 : B); a++) {
        message[at + a] = weighed(at + a, own, 0) / whole[at + a];
        top = Math.max(top, message[at + a] * (root ? 1 : seen[up + a]));
      }
      top = Math.max(top, LEAST);
      if (i !== by) log += Math.log(top);
      for (let a = 0; a < B; a++) {
        message[at + a] = Math.max(message[at + a] / top, LEAST);
        if (!root) below[up + a] *= message[at + a];
      }
    }
    return log;
  }

  // From the roots to the leaves: the bins of each column given all limits, and (in `others`, over the own shares) given
  // those of the others.
  const above = new Float64Array(B);
  function downwards() {
    for (let k = 0; k < c; k++) {
      const i = order[k];
      const [at, up] = [i * B, parents[i] * B];
      const root = parents[i] === i;
      for (let a = 0; a < B; a++) above[a] = root ? Number(a === 0) : joint[up + a] / message[at + a];
      let sum = 0;
      for (let b = 0; b < B; b++) {
        let tilt = 0;
        for (let a = 0; a < (root ? 1 : B); a++) tilt += (above[a] * ratios[(at + a) * B + b]) / whole[at + a];
        others[at + b] = tilt * below[at + b];
        joint[at + b] = shares[at + b] * seen[at + b] * others[at + b];
        sum += joint[at + b];
      }
      for (let b = 0; b < B; b++) joint[at + b] /= Math.max(sum, LEAST);
    }
    return others;
  }

  return { read, upwards, downwards };
}

// read(outputs, from) takes what a decoder says of one row; after it
//   means(out, at) writes the mean of every column (without an order, its likeliest name), in stored cells;
//   logGiven(limits) is the log probability that every column lies within its limits;
//   given(limits) gives of every column the shares under the limits of the others, its own too.
// limits: of each column null, or of each segment the log share of its cells that are allowed (see limitOf).
export function tableHead(spec, arrays) {
  const { columns, outputs } = columnsOf(spec, arrays);
  const { parents, order, ratios, bins: B, by, treeOf } = treesOf(spec, arrays, columns.length);
  const c = columns.length;
  const [shares, seen, mixed] = Array.from({ length: 3 }, () => new Float64Array(c * B));
  const trees = ratios.map((own) => oneTree(own, parents, order, B, shares, seen));
  const weights = new Float64Array(trees.length); // log weights of the trees, of all limits
  const log = new Float64Array(trees.length); // of those beside the one of `by`
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
      binned(column.found, column.bins, null, shares, i * B);
      for (let b = 0; b < B; b++) shares[i * B + b] = Math.max(shares[i * B + b], LEAST);
    });
    trees.forEach((tree) => tree.read());
    return head;
  }

  function logGiven(limits) {
    for (let i = 0; i < c; i++) {
      const at = i * B;
      if (!limits[i]) seen.fill(1, at, at + B);
      else {
        binned(columns[i].found, columns[i].bins, limits[i], seen, at);
        for (let b = 0; b < B; b++) seen[at + b] /= shares[at + b];
      }
    }
    weights.fill(LEAST);
    for (let b = 0; treeOf && b < B; b++) weights[treeOf[b]] += shares[by * B + b] * seen[by * B + b];
    trees.forEach((tree, k) => {
      log[k] = tree.upwards(by);
      weights[k] = log[k] + (treeOf ? Math.log(weights[k]) : 0);
    });
    return logSum(weights, 0, trees.length);
  }

  // Under each tree the bins of a column given the limits of the others; the weight of a tree is without its own limit.
  function mix() {
    if (!treeOf) return mixed.set(trees[0].downwards());
    mixed.fill(0);
    const top = weights.reduce((most, one) => Math.max(most, one), -Infinity);
    trees.forEach((tree, k) => {
      const others = tree.downwards();
      for (let i = 0; i < c; i++) {
        if (i === by) continue;
        let left = 0;
        for (let b = i * B; b < (i + 1) * B; b++) left += shares[b] * others[b] * seen[b];
        // In logs: what is unlikely under every tree is not 0 under all.
        const weight = Math.exp(weights[k] - top - Math.log(Math.max(left, LEAST)));
        for (let b = i * B; b < (i + 1) * B; b++) mixed[b] += weight * others[b];
      }
    });
    const most = log.reduce((found, one) => Math.max(found, one), -Infinity);
    for (let b = 0; b < B; b++) mixed[by * B + b] = Math.exp(log[treeOf[b]] - most);
  }

  // After logGiven of the same limits, without going up again.
  function given() {
    mix();
    return columns.map((column, i) => {
      const { kept, found, bins } = column;
      for (let s = 0; s < kept.length; s++) kept[s] = found[s] + Math.log(Math.max(mixed[i * B + bins[s]], LEAST));
      normalised(kept);
      return kept.forEach((value, s) => (kept[s] = Math.exp(value))), kept;
    });
  }

  const none = Array(c).fill(null);
  const head = {
    columns,
    outputs,
    read,
    logGiven,
    shares: given,
    given: (limits) => (logGiven(limits), given()),
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
