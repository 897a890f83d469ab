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

// The mean and the variance of a logistic at `loc` (in levels) that is clipped to the levels, and how probable it is
// between the lowest and the highest one.
function clipped(loc, scale, last) {
  const near = Math.min(Math.max(loc, 0), last);
  const beyond = (start, end) => {
    const [a, b] = [Math.min(start, 0), Math.min(end, 0)];
    const [first, rest] = [softplus(a), softplus(b)];
    const series = (s) => s + s ** 2 / 4 + s ** 3 / 36 - s ** 5 / 3600;
    return [first - rest, 2 * (series(first) - series(rest) - (a - b) * rest)];
  };
  const [up, upSquare] = beyond((loc - near) / scale, (loc - last) / scale);
  const [down, downSquare] = beyond((near - loc) / scale, -loc / scale);
  const inside = sigmoid(loc / scale) - sigmoid((loc - last) / scale);
  const first = up - down;
  return [near + scale * first, scale ** 2 * (upSquare + downSquare - first ** 2) + inside / 12, inside];
}

const PAIRS = [[], [[0, 1]], [[0, 1], [0, 2], [1, 2]]]; // of 1, 2 and 3 channels, earlier and later

// Mixtures of logistics. Of one channel the mean is a sum over levels; of several, whose channels depend on one another,
// that of logistics with the moments of what they are moved by, as latens shows them.
function pixelMeans({ levels, components: k, lowest, channels }) {
  const half = (levels - 1) / 2;
  const floored = (raw) => Math.max(raw, lowest) + Math.log1p(Math.exp(-Math.abs(raw - lowest)));
  const summed = (loc, scale) => {
    let sum = 0;
    for (let j = 1; j < levels; j++) sum += sigmoid((loc - ((2 * j - 1) / (levels - 1) - 1)) / scale);
    return sum;
  };
  const pairs = PAIRS[channels - 1];
  return (o, from, cells, out, at) => {
    const weights = new Float64Array(k);
    for (let pixel = 0; pixel < cells; pixel += channels) {
      const value = (place, c) => o[from + place * cells + pixel + c];
      let top = 0;
      for (let m = 1; m < k; m++) {
        weights[m] = 0;
        for (let c = 0; c < channels; c++) weights[m] += value(2 * k + m - 1, c);
        top = Math.max(top, weights[m]);
      }
      weights[0] = 0;
      const total = weights.reduce((sum, w) => sum + Math.exp(w - top), 0);
      const means = new Float64Array(channels);
      for (let m = 0; m < k; m++) {
        const share = Math.exp(weights[m] - top) / total;
        if (channels === 1) means[0] += share * summed(value(m, 0), Math.exp(floored(value(k + m, 0))));
        else coupled(m, value).forEach((mean, c) => (means[c] += share * mean));
      }
      out.set(means, at + pixel);
    }
  };

  function coupled(m, value) {
    const means = [];
    const within = []; // covariances of the channels so far
    for (let c = 0; c < channels; c++) {
      // A pair's coupling of component m stands after the locations, scales and weights, in the channel of its number.
      const slopes = pairs.flatMap(([, later], p) => (later === c ? [value(3 * k - 1 + m, p)] : []));
      const loc = slopes.reduce((sum, a, b) => sum + a * (means[b] / half - 1 - value(m, b)), value(m, c));
      const moved = means.map((_, j) => slopes.reduce((sum, a, i) => sum + a * within[i][j], 0));
      const spread = slopes.reduce((sum, a, j) => sum + a * moved[j], 0);
      const own = Math.exp(2 * floored(value(k + m, c)));
      const scale = Math.sqrt(own + (3 * spread) / (Math.PI * half) ** 2 + 1e-30);
      const [mean, variance, inside] = clipped(half * (loc + 1), half * scale, levels - 1);
      const shared = moved.map((each) => inside * each);
      within.forEach((row, j) => row.push(shared[j]));
      within.push([...shared, Math.max(variance, 1.001 * inside ** 2 * spread)]);
      means.push(mean);
    }
    return means;
  }
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

// Pictures made beforehand: a plane over two units, and a line along each of some. Anything else is given the nearest.
// `exact`: codes have nothing between them, so that they are given as they are.
export function storedDecoder(spec, plane, lines, units, cells, exact = false) {
  const placeOf = (value, low, high, steps) => {
    const t = Math.min(Math.max(((value - low) / (high - low || 1)) * (steps - 1), 0), steps - 1);
    const index = Math.min(Math.floor(t), Math.max(steps - 2, 0));
    return exact ? [Math.round(t), 0] : [index, t - index];
  };
  const blend = (out, at, values, index, weight) => {
    for (let i = 0; i < cells; i++) out[at + i] += weight * values[index * cells + i];
  };
  const d = units.length;
  return (z, n = 1) => {
    const out = new Float32Array(n * cells);
    for (let k = 0; k < n; k++) {
      let furthest = -1;
      let most = 0.05; // of a unit's spread: less is not seen
      for (let u = 0; u < d; u++) {
        if (spec.plane && spec.plane.units.includes(u)) continue;
        const away = Math.abs(z[k * d + u] - spec.base[u]) / (units[u].spread || 1);
        if (away > most && spec.lines.units.includes(u)) [furthest, most] = [u, away];
      }
      const onLine = furthest >= 0 || !spec.plane;
      if (onLine) {
        const unit = furthest >= 0 ? furthest : spec.lines.units[0];
        const place = spec.lines.units.indexOf(unit);
        const [index, rest] = placeOf(z[k * d + unit], units[unit].low, units[unit].high, spec.lines.steps);
        const start = place * spec.lines.steps + index;
        blend(out, k * cells, lines, start, 1 - rest);
        if (rest > 0) blend(out, k * cells, lines, start + 1, rest);
      } else {
        const size = spec.plane.size;
        const [[i, u], [j, v]] = spec.plane.units.map((unit, axis) =>
          placeOf(z[k * d + unit], ...spec.plane.ranges[axis], size),
        );
        for (const [di, wi] of [
          [0, 1 - u],
          [1, u],
        ]) {
          for (const [dj, wj] of [
            [0, 1 - v],
            [1, v],
          ]) {
            if (wi * wj > 0) blend(out, k * cells, plane, (j + dj) * size + i + di, wi * wj);
          }
        }
      }
    }
    return out;
  };
}
