// A dense decoder in plain JavaScript: from latents to means of p(x | z) in the units of the data.
// The layers, and what a head makes of their outputs, stand in the manifest; the numbers in a safetensors file.

const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const sigmoid = (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));

export const ACTIVATIONS = {
  elu: (x) => (x > 0 ? x : Math.expm1(x)),
  gelu: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x))),
  identity: (x) => x,
  relu: (x) => (x > 0 ? x : 0),
  sigmoid,
  silu: (x) => x * sigmoid(x),
  softplus,
  tanh: Math.tanh,
};

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
      const shift = arrays.get(head.shift).data;
      const scale = arrays.get(head.scale).data;
      return (o, from, cells, out, at) => {
        inner(o, from, cells, out, at);
        for (let i = 0; i < cells; i++) out[at + i] = shift[i % shift.length] + scale[i % scale.length] * out[at + i];
      };
    }
    default:
      throw new Error(`a head of the kind ${head.kind} is not known to this page.`);
  }
}

// y += x W, four inputs at a time: the outputs are read and written a quarter as often.
function addProduct(y, x, w, rows, columns) {
  let r = 0;
  for (; r + 3 < rows; r += 4) {
    const [v0, v1, v2, v3] = [x[r], x[r + 1], x[r + 2], x[r + 3]];
    const [s0, s1, s2, s3] = [r * columns, (r + 1) * columns, (r + 2) * columns, (r + 3) * columns];
    for (let c = 0; c < columns; c++) y[c] += v0 * w[s0 + c] + v1 * w[s1 + c] + v2 * w[s2 + c] + v3 * w[s3 + c];
  }
  for (; r < rows; r++) {
    const v = x[r];
    const start = r * columns;
    for (let c = 0; c < columns; c++) y[c] += v * w[start + c];
  }
}

// Adds a linear map of the latent to the first outputs, in so many copies one after another.
function linearPath(spec, arrays) {
  if (!spec) return () => {};
  const w = matrix(arrays, spec.weight, spec.shape);
  const [rows, columns] = spec.shape;
  const added = new Float64Array(columns);
  return (y, z) => {
    added.fill(0);
    addProduct(added, z, w, rows, columns);
    for (let copy = 0; copy < spec.copies; copy++) {
      for (let c = 0; c < columns; c++) y[copy * columns + c] += added[c];
    }
  };
}

function matrix(arrays, name, shape) {
  const w = arrays.get(name);
  if (!w || w.shape[0] !== shape[0] || w.shape[1] !== shape[1]) {
    throw new Error(`the model file has no ${name} of the right shape.`);
  }
  return w.data;
}

// decode(z, n, codes): z holds n latents one after another, codes the class of each (or one for all) where the model is
// conditional. The result holds n events one after another.
export function denseDecoder(spec, arrays, latentSize) {
  const layers = spec.layers.map(({ weight, bias, activation, shape }) => {
    const w = matrix(arrays, weight, shape);
    const b = arrays.get(bias);
    if (!b) throw new Error(`the model file has no ${bias}.`);
    if (!ACTIVATIONS[activation]) throw new Error(`the activation ${activation} is not known to this page.`);
    return { w, b: b.data, rows: shape[0], columns: shape[1], f: ACTIVATIONS[activation], name: activation };
  });
  const addLinear = linearPath(spec.linear, arrays);
  const mean = meanOf(spec.head, arrays);
  const { expm1, multiply, add } = spec.units;
  const buffers = layers.map((layer) => new Float64Array(layer.columns));
  const input = new Float64Array(layers[0].rows);

  return (z, n = 1, codes = 0) => {
    const out = new Float32Array(n * spec.cells);
    for (let k = 0; k < n; k++) {
      input.fill(0);
      for (let i = 0; i < latentSize; i++) input[i] = z[k * latentSize + i];
      if (spec.classes) input[latentSize + (typeof codes === "number" ? codes : codes[k])] = 1;
      let x = input;
      for (let l = 0; l < layers.length; l++) {
        const { w, b, rows, columns, f, name } = layers[l];
        const y = buffers[l];
        y.set(b);
        addProduct(y, x, w, rows, columns);
        if (name !== "identity") for (let c = 0; c < columns; c++) y[c] = f(y[c]);
        x = y;
      }
      addLinear(x, input);
      mean(x, 0, spec.cells, out, k * spec.cells);
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
