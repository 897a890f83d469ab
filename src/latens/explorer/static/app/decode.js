// A decoder in plain JavaScript: from latents to means of p(x | z) in the units of the data.
// What a head makes of the outputs of a network stands in the manifest; its numbers in a safetensors file.

import { arrayOf, networkOf, sigmoid, softplus } from "./networks.js";
import { tableHead } from "./tables.js";

// The mean of a continuous Bernoulli with this logit.
function continuousBernoulli(logit) {
  if (Math.abs(logit) < 0.1) return 0.5 + logit / 12 - logit ** 3 / 720;
  const size = Math.abs(logit);
  const lower = 1 / size + Math.exp(-size) / Math.expm1(-size);
  return logit < 0 ? lower : 1 - lower;
}

function scaleOf(head, raw) {
  if (head.scale === "softplus") return softplus(raw) + head.floor;
  return (head.scale === "log-variance" ? Math.exp(0.5 * raw) : Math.exp(raw)) + head.floor;
}

// Of a standard logistic Y, clipped above, how far it is beyond a point on average: E(Y)+ and its square, into `out`.
function beyond(start, end, out) {
  const [a, b] = [Math.min(start, 0), Math.min(end, 0)];
  const [s, t] = [softplus(a), softplus(b)];
  out[0] = s - t;
  const rest = s ** 2 / 4 - t ** 2 / 4 + (s ** 3 - t ** 3) / 36 - (s ** 5 - t ** 5) / 3600;
  out[1] = 2 * (s - t + rest - (a - b) * t);
}

const [UP, DOWN] = [new Float64Array(2), new Float64Array(2)];

// The mean and the variance of a logistic at `loc` (in levels) that is clipped to the levels, and how probable it is
// between the lowest and the highest one, into `out`.
function clipped(loc, scale, last, out) {
  const near = Math.min(Math.max(loc, 0), last);
  beyond((loc - near) / scale, (loc - last) / scale, UP);
  beyond((near - loc) / scale, -loc / scale, DOWN);
  const first = UP[0] - DOWN[0];
  out[0] = near + scale * first;
  out[2] = sigmoid(loc / scale) - sigmoid((loc - last) / scale);
  out[1] = scale * scale * (UP[1] + DOWN[1] - first * first) + out[2] / 12;
}

// Mixtures of logistics. Of one channel the mean is a sum over levels; of several, whose channels depend on one another,
// that of logistics with the moments of what they are moved by, as latens shows them. The outputs of a cell: of each
// component a location, a scale, a weight (but for the first), and a coupling in the channel of its pair's number.
function pixelMeans({ levels, components: k, lowest, channels }) {
  const half = (levels - 1) / 2;
  const floored = (raw) => Math.max(raw, lowest) + Math.log1p(Math.exp(-Math.abs(raw - lowest)));
  const [weights, means, found, moved] = [k, channels, 3, channels].map((n) => new Float64Array(n));
  const own = new Float64Array(channels); // means of one component
  const within = new Float64Array(channels * channels); // covariances of its channels so far

  function summed(loc, scale) {
    let sum = 0;
    for (let j = 1; j < levels; j++) sum += sigmoid((loc - ((2 * j - 1) / (levels - 1) - 1)) / scale);
    return sum;
  }

  function coupled(o, at, cells, m) {
    const value = (place, c) => o[at + place * cells + c];
    for (let c = 0; c < channels; c++) {
      const pair = (c * (c - 1)) / 2; // the first of this channel's, in the order of the later channel
      let loc = value(m, c);
      let spread = 0;
      for (let j = 0; j < c; j++) {
        loc += value(3 * k - 1 + m, pair + j) * (own[j] / half - 1 - value(m, j));
        moved[j] = 0;
        for (let i = 0; i < c; i++) moved[j] += value(3 * k - 1 + m, pair + i) * within[i * channels + j];
        spread += value(3 * k - 1 + m, pair + j) * moved[j];
      }
      const scale = Math.sqrt(Math.exp(2 * floored(value(k + m, c))) + (3 * spread) / (Math.PI * half) ** 2 + 1e-30);
      clipped(half * (loc + 1), half * scale, levels - 1, found);
      own[c] = found[0];
      within[c * channels + c] = Math.max(found[1], 1.001 * found[2] ** 2 * spread);
      for (let j = 0; j < c; j++) within[j * channels + c] = within[c * channels + j] = found[2] * moved[j];
    }
  }

  return (o, from, cells, out, at) => {
    for (let pixel = 0; pixel < cells; pixel += channels) {
      let top = 0;
      for (let m = 1; m < k; m++) {
        weights[m] = 0;
        for (let c = 0; c < channels; c++) weights[m] += o[from + (2 * k + m - 1) * cells + pixel + c];
        top = Math.max(top, weights[m]);
      }
      let total = 0;
      for (let m = 0; m < k; m++) total += Math.exp(weights[m] - top);
      means.fill(0);
      for (let m = 0; m < k; m++) {
        const share = Math.exp(weights[m] - top) / total;
        if (channels > 1) coupled(o, from + pixel, cells, m);
        else own[0] = summed(o[from + m * cells + pixel], Math.exp(floored(o[from + (k + m) * cells + pixel])));
        for (let c = 0; c < channels; c++) means[c] += share * own[c];
      }
      for (let c = 0; c < channels; c++) out[at + pixel + c] = means[c];
    }
  };
}

// mean(outputs, from, cells, out, at): the means of `cells` cells, of the outputs that begin at `from`.
function meanOf(head, arrays) {
  const each = (f) => (o, from, cells, out, at) => {
    for (let i = 0; i < cells; i++) out[at + i] = f(o[from + i]);
  };
  switch (head.kind) {
    case "first":
      return each((x) => x);
    case "exp":
      return each(Math.exp);
    case "sigmoid":
      if (head.bound === null) return each(sigmoid);
      return each((x) => sigmoid(Math.min(Math.max(x, -head.bound), head.bound)));
    case "continuous-bernoulli":
      return each(continuousBernoulli);
    case "zero-inflated":
      return (o, from, cells, out, at) => {
        for (let i = 0; i < cells; i++) out[at + i] = sigmoid(-o[from + i]) * Math.exp(o[from + cells + i]);
      };
    case "categorical":
      return (o, from, cells, out, at) => {
        const n = head.levels;
        for (let i = 0; i < cells; i++) {
          let most = -Infinity;
          for (let j = 0; j < n; j++) most = Math.max(most, o[from + i * n + j]);
          let total = 0;
          let sum = 0;
          for (let j = 0; j < n; j++) {
            const p = Math.exp(o[from + i * n + j] - most);
            total += p;
            sum += j * p;
          }
          out[at + i] = sum / total;
        }
      };
    case "discretised-logistic":
      return (o, from, cells, out, at) => {
        for (let i = 0; i < cells; i++) {
          const scale = scaleOf(head, o[from + cells + i]);
          let sum = 0; // the expectation of a whole number is the sum of P(x >= j)
          for (let j = 1; j < head.levels; j++) {
            sum += sigmoid((o[from + i] - ((2 * j - 1) / (head.levels - 1) - 1)) / scale);
          }
          out[at + i] = sum;
        }
      };
    case "affine": {
      const inner = meanOf(head.of, arrays);
      const shift = arrayOf(arrays, head.shift).data;
      const scale = arrayOf(arrays, head.scale).data;
      return (o, from, cells, out, at) => {
        inner(o, from, cells, out, at);
        for (let i = 0; i < cells; i++) out[at + i] = shift[i % shift.length] + scale[i % scale.length] * out[at + i];
      };
    }
    case "pixels":
      return pixelMeans(head);
    case "table": {
      const columns = tableHead(head, arrays);
      return (o, from, cells, out, at) => columns.read(o, from).means(out, at);
    }
    default:
      throw new Error(`a head of the kind ${head.kind} is not known to this page.`);
  }
}

// decode(z, n, codes): z holds n latents one after another, codes the class of each (or one for all) where the model is
// conditional. The result holds n events one after another.
export function pageDecoder(spec, arrays, latentSize) {
  const network = networkOf(spec.network, arrays);
  const mean = meanOf(spec.head, arrays);
  const { expm1, multiply, add } = spec.units;
  const input = new Float64Array(network.inputs);

  return (z, n = 1, codes = 0) => {
    const out = new Float32Array(n * spec.cells);
    for (let k = 0; k < n; k++) {
      input.fill(0);
      for (let i = 0; i < latentSize; i++) input[i] = z[k * latentSize + i];
      if (spec.classes) input[latentSize + (typeof codes === "number" ? codes : codes[k])] = 1;
      mean(network.run(input), 0, spec.cells, out, k * spec.cells);
      for (let i = k * spec.cells; i < (k + 1) * spec.cells; i++) {
        out[i] = (expm1 ? Math.expm1(out[i]) : out[i]) * multiply + add;
      }
    }
    return out;
  };
}
