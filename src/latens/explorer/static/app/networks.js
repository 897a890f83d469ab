// The networks that the page computes: dense layers, convolutional decoders, and a linear map beside either.
// Their layers stand in the manifest; the numbers in a safetensors file.

export const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
export const sigmoid = (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));

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

export function arrayOf(arrays, name, shape = null) {
  const found = arrays.get(name);
  if (!found) throw new Error(`the model file has no ${name}.`);
  if (shape && shape.some((n, i) => n !== found.shape[i])) throw new Error(`the model file has no ${name} of the right shape.`);
  return found;
}

function activation(name) {
  if (!ACTIVATIONS[name]) throw new Error(`the activation ${name} is not known to this page.`);
  const f = ACTIVATIONS[name];
  return (values) => {
    if (name !== "identity") for (let i = 0; i < values.length; i++) values[i] = f(values[i]);
    return values;
  };
}

// y += x W for the `rows` numbers of x from `from` on, four of them at a time: y is read and written a quarter as often.
export function addProduct(y, x, w, rows, columns, from = 0) {
  let r = 0;
  for (; r + 3 < rows; r += 4) {
    const [v0, v1, v2, v3] = [x[from + r], x[from + r + 1], x[from + r + 2], x[from + r + 3]];
    const [s0, s1, s2, s3] = [r * columns, (r + 1) * columns, (r + 2) * columns, (r + 3) * columns];
    for (let c = 0; c < columns; c++) y[c] += v0 * w[s0 + c] + v1 * w[s1 + c] + v2 * w[s2 + c] + v3 * w[s3 + c];
  }
  for (; r < rows; r++) {
    const v = x[from + r];
    const start = r * columns;
    for (let c = 0; c < columns; c++) y[c] += v * w[start + c];
  }
}

function linear(arrays, weight, bias, shape = null) {
  const w = arrayOf(arrays, weight, shape);
  const b = arrayOf(arrays, bias).data;
  const [rows, columns] = w.shape;
  const y = new Float64Array(columns);
  const run = (x) => {
    y.set(b);
    addProduct(y, x, w.data, rows, columns);
    return y;
  };
  return { run, rows, columns };
}

function dense(spec, arrays) {
  const layers = spec.layers.map(({ weight, bias, shape, activation: name }) => ({
    ...linear(arrays, weight, bias, shape),
    act: activation(name),
  }));
  const run = (x) => layers.reduce((values, layer) => layer.act(layer.run(values)), x);
  return { run, inputs: layers[0].rows, outputs: layers.at(-1).columns };
}

// A convolution of stride 1 with a kernel of 3 and zeros outside: (h, w, c) to (h, w, o).
function same(arrays, path, height, width) {
  const { shape, data } = arrayOf(arrays, `${path}.weight`);
  const bias = arrayOf(arrays, `${path}.bias`).data;
  const [o, , , c] = shape;
  const taps = turned(data, o, 9 * c); // of each tap and channel the outputs beside one another
  const y = new Float64Array(height * width * o);
  return (x) => {
    for (let i = 0, at = 0; i < height; i++) {
      for (let j = 0; j < width; j++, at += o) {
        const out = y.subarray(at, at + o);
        out.set(bias);
        for (let a = Math.max(0, 1 - i); a < Math.min(3, height + 1 - i); a++) {
          const b = Math.max(0, 1 - j);
          const count = Math.min(3, width + 1 - j) - b; // neighbours of a row are one run of numbers
          const from = ((i + a - 1) * width + j + b - 1) * c;
          addProduct(out, x, taps.subarray((3 * a + b) * c * o), count * c, o, from);
        }
      }
    }
    return y;
  };
}

function turned(data, rows, columns) {
  const found = new Float32Array(data.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) found[c * rows + r] = data[r * columns + c];
  return found;
}

// The adjoint of a convolution of stride 2: pixel (i, j) adds to those from (2i - 1, 2j - 1) on, as far as the kernel goes.
function transposed(arrays, path, rows, across, [height, width]) {
  const { shape, data } = arrayOf(arrays, `${path}.weight`);
  const bias = arrayOf(arrays, `${path}.bias`);
  const [c, k, , o] = shape;
  const each = bias.data.length > o; // a bias for each pixel, or for each channel
  const patch = new Float64Array(k * k * o);
  const y = new Float64Array(height * width * o);
  const run = (x) => {
    if (each) y.set(bias.data);
    else for (let at = 0; at < y.length; at += o) y.set(bias.data, at);
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < across; j++) {
        patch.fill(0);
        addProduct(patch, x, data, c, k * k * o, (i * across + j) * c);
        for (let a = 0; a < k; a++) {
          const row = 2 * i - 1 + a;
          if (row < 0 || row >= height) continue;
          const first = Math.max(0, 1 - 2 * j);
          const last = Math.min(k, width + 1 - 2 * j);
          const to = (row * width + 2 * j - 1) * o;
          for (let n = first * o; n < last * o; n++) y[to + n] += patch[a * k * o + n];
        }
      }
    }
    return y;
  };
  return { run, size: y.length, channels: o };
}

function conv(spec, arrays) {
  const act = activation(spec.activation);
  const last = activation(spec.output_activation);
  let [height, width] = spec.image;
  const first = arrayOf(arrays, `${spec.start}.weight`).shape;
  const inputs = spec.map ? first[3] * height * width : first[0];
  const start = spec.map ? same(arrays, spec.start, height, width) : linear(arrays, `${spec.start}.weight`, `${spec.start}.bias`).run;
  const layers = spec.layers.map(({ path, blocks, size }) => {
    const [h, w] = [height, width];
    const residual = blocks.map((block) => ["first", "second"].map((name) => same(arrays, `${block}.${name}`, h, w)));
    const up = transposed(arrays, path, h, w, size);
    [height, width] = size;
    return { residual, ...up };
  });
  const { size, channels } = layers.at(-1);
  const pixels = size / channels;
  const each = channels / spec.copies; // numbers of a pixel in each of the events that the outputs hold
  const outputs = new Float64Array(size);
  const run = (z) => {
    let image = start(z);
    for (const { residual, run: up } of layers) {
      for (const [one, two] of residual) {
        const added = two(act(one(act(Float64Array.from(image)))));
        for (let i = 0; i < image.length; i++) image[i] += added[i];
      }
      image = up(act(image));
    }
    for (let p = 0; p < pixels; p++) {
      for (let n = 0; n < channels; n++) {
        outputs[Math.floor(n / each) * pixels * each + p * each + (n % each)] = image[p * channels + n];
      }
    }
    return last(outputs);
  };
  return { run, inputs, outputs: size };
}

// {run(x), inputs, outputs}: run gives the outputs of one input, in an array that the next call writes anew.
export function networkOf(spec, arrays) {
  const inside = (spec.kind === "conv" ? conv : dense)(spec, arrays);
  const unit = spec.unit ? arrayOf(arrays, spec.unit).data : null;
  if (!spec.linear) return inside;
  const { shape, copies } = spec.linear;
  const w = arrayOf(arrays, spec.linear.weight, shape).data;
  const [rows, columns] = shape;
  const added = new Float64Array(columns);
  const run = (x) => {
    const y = inside.run(x);
    if (unit) for (let i = 0; i < y.length; i++) y[i] *= unit[i];
    added.fill(0);
    addProduct(added, x, w, rows, columns);
    for (let copy = 0; copy < copies; copy++) for (let i = 0; i < columns; i++) y[copy * columns + i] += added[i];
    return y;
  };
  return { ...inside, run };
}
