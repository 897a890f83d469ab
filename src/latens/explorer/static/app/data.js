// The files of data/ as the page uses them: what is small at once, rows and columns when they are asked for.

import { readSafetensors } from "./safetensors.js";
import { pageDecoder } from "./decode.js";
import { breathe } from "./dom.js";
import { decodeOnServer } from "./server.js";

const TYPES = { float32: Float32Array, int16: Int16Array, int32: Int32Array, uint16: Uint16Array, uint32: Uint32Array, uint8: Uint8Array };
const MOST_CHUNKS = 12;
const SLICE = 80; // milliseconds of decoding at once

const COUNTED = 1 << 18; // bytes of a file from which on they are counted while they come

// Bytes that have come, and that will, of all files asked for so far; `heard` is told of every change.
export const progress = { got: 0, of: 0, heard: () => {} };

// Large files are read piece by piece, so that a page on a slow line can say how far it is.
async function readCounting(response) {
  const size = response.headers.get("Content-Encoding") ? 0 : Number(response.headers.get("Content-Length"));
  if (!response.body || !(size >= COUNTED)) return response.arrayBuffer();
  progress.of += size;
  const bytes = new Uint8Array(size);
  const reader = response.body.getReader();
  let at = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    bytes.set(value, at);
    at += value.length;
    progress.got += value.length;
    progress.heard();
  }
  return at === size ? bytes.buffer : bytes.buffer.slice(0, at);
}

export async function fetchBytes(file) {
  let response;
  try {
    response = await fetch(file, { cache: "no-cache" });
  } catch {
    throw new Error(`${file} could not be read: the server does not respond.`);
  }
  if (!response.ok) throw new Error(`${file} could not be read: the server says ${response.status}.`);
  return readCounting(response);
}

export async function readManifest() {
  const text = new TextDecoder().decode(await fetchBytes("data/manifest.json"));
  const manifest = JSON.parse(text);
  if (manifest.format !== 1) {
    throw new Error(
      `the data have format ${String(manifest.format).slice(0, 20)}, this page reads 1: export them again.`,
    );
  }
  return manifest;
}

export async function readArray({ file, dtype, shape }) {
  const Type = TYPES[dtype];
  if (!Type) throw new Error(`${file} holds ${dtype}, which this page does not read.`);
  const buffer = await fetchBytes(file);
  const values = new Type(buffer, 0, Math.floor(buffer.byteLength / Type.BYTES_PER_ELEMENT));
  if (shape && values.length !== shape.reduce((a, b) => a * b, 1))
    throw new Error(`${file} is cut short: export it again.`);
  return values;
}

// Many events, with a moment for the reader in between where each takes long.
async function oneByOne(run, z, n, codes) {
  if (n === 1) return run(z, 1, codes);
  const size = z.length / n;
  let [out, since] = [null, performance.now()];
  for (let k = 0; k < n; k++) {
    const one = run(z.subarray(k * size, (k + 1) * size), 1, typeof codes === "number" ? codes : codes[k]);
    out ??= new Float32Array(n * one.length);
    out.set(one, k * one.length);
    if (performance.now() - since < SLICE) continue;
    await breathe();
    since = performance.now();
  }
  return out ?? new Float32Array(0);
}

export class Model {
  constructor(manifest) {
    this.manifest = manifest;
    this.words = Object.fromEntries(manifest.words);
    this.n = manifest.rows.shown;
    this.size = manifest.latent?.size ?? 0;
    this.units = manifest.units;
    this.axes = manifest.axes;
    this.event = manifest.event;
    this.cells = manifest.event.shape.reduce((a, b) => a * b, 1);
    this.empty = !this.n;
    this.mean = new Float32Array(0);
    this.ids = null;
    this.chunks = new Map();
    this.lazy = new Map();
    // What units are sorted by: their KL, or where a prior has none by unit how far they move, in units of their noise.
    const noisy = manifest.arrays.log_var ? "signal-to-noise ratio" : "spread";
    this.measure = this.units.some((u) => u.kl !== null) ? "KL (nats)" : noisy;
    this.order = this.units.map((u) => u.index).sort((a, b) => this.weightOf(b) - this.weightOf(a) || a - b);
  }

  weightOf(unit) {
    const { kl, spread, noise } = this.units[unit];
    return kl ?? spread / noise;
  }

  async load() {
    if (this.empty) return;
    const { arrays, ids } = this.manifest;
    [this.mean, this.ids] = await Promise.all([
      readArray(arrays.mean),
      ids.kind === "number"
        ? readArray(ids)
        : fetchBytes(ids.file).then((b) => JSON.parse(new TextDecoder().decode(b))),
    ]);
    this.decoder = await this.makeDecoder(this.manifest.decoder);
  }

  async makeDecoder(spec) {
    if (spec.kind === "page") {
      const run = pageDecoder(spec, readSafetensors(await fetchBytes(spec.file)), this.size);
      return { kind: "page", decode: (z, n = 1, codes = 0) => oneByOne(run, z, n, codes) };
    }
    return { kind: "server", decode: (z, n = 1, codes = 0) => decodeOnServer(z, n, codes, spec.classes) };
  }

  // The mean of p(x | z) at a row's posterior mean.
  async reconstruction(row) {
    return this.decoder.decode(this.latent(row), 1, await this.classOf(row));
  }

  latent(row) {
    return this.mean.slice(row * this.size, (row + 1) * this.size);
  }

  unitValues(unit, latents = this.mean) {
    return Float32Array.from({ length: latents.length / this.size }, (_, i) => latents[i * this.size + unit]);
  }

  async classOf(row) {
    if (!this.manifest.conditional) return 0;
    const place = this.manifest.columns.findIndex((column) => column.role === "label");
    return Math.max(0, (await this.column(place))[row]);
  }

  column(place) {
    return this.once(`column ${place}`, () => readArray({ ...this.manifest.columns[place], shape: [this.n] }));
  }

  array(name) {
    return this.once(`array ${name}`, () => readArray(this.manifest.arrays[name]));
  }

  once(name, read) {
    if (!this.lazy.has(name)) {
      const promise = read();
      promise.catch(() => this.lazy.delete(name));
      this.lazy.set(name, promise);
    }
    return this.lazy.get(name);
  }

  // The cells of a row as stored. Chunks of rows are kept, the least recently used one is dropped.
  async row(row) {
    const { files, rows_per_file: per, dtype } = this.manifest.arrays.rows;
    const number = Math.floor(row / per);
    let chunk = this.chunks.get(number);
    if (chunk) this.chunks.delete(number);
    else {
      chunk = readArray({ file: files[number], dtype });
      chunk.catch(() => this.chunks.delete(number));
    }
    this.chunks.set(number, chunk);
    if (this.chunks.size > MOST_CHUNKS) this.chunks.delete(this.chunks.keys().next().value);
    const cells = await chunk;
    const at = (row - number * per) * this.cells;
    return cells.subarray(at, at + this.cells);
  }

  id(row) {
    return String(this.ids[row]);
  }

  // The rows whose id holds a text, in capitals or not.
  rowsLike(text) {
    const wanted = text.toLowerCase();
    const found = [];
    if (wanted) for (let row = 0; row < this.n; row++) if (this.id(row).toLowerCase().includes(wanted)) found.push(row);
    return found;
  }

  rowOf(id) {
    const wanted = this.manifest.ids.kind === "number" ? Number(id) : id;
    return this.ids.indexOf(wanted);
  }
}
