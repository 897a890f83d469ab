// Up to a million points on a canvas: WebGL 2, or a plain canvas where there is none. The points lie in a mixed order,
// so that the first of them are a fair sample (drawn while the view moves) and no class always covers the others.

import { breathe } from "./dom.js";

const VERTEX = `#version 300 es
in float x; in float y; in vec4 colour;
uniform vec4 view; uniform float size; out vec4 tint;
void main() {
  gl_Position = vec4((x - view.x) / view.z * 2.0 - 1.0, (y - view.y) / view.w * 2.0 - 1.0, 0.0, 1.0);
  gl_PointSize = size; tint = colour;
}`;
const FRAGMENT = `#version 300 es
precision highp float; in vec4 tint; uniform float size; out vec4 colour;
void main() {
  float r = length(gl_PointCoord - 0.5) * size;
  float a = size < 2.5 ? 1.0 : clamp(size * 0.5 - r + 0.5, 0.0, 1.0);
  colour = vec4(tint.rgb * tint.a * a, tint.a * a);
}`;
const FEW = 120000; // while the view moves

const SLICE = 250000; // points between two rests

// The numbers from 0 to n - 1 in an order that is the same every time; `rest` is waited for between slices.
export async function mixedOrder(n, rest = () => null) {
  const order = new Uint32Array(n);
  for (let i = 0; i < n; i++) order[i] = i;
  let state = 12345;
  for (let i = n - 1; i > 0; i--) {
    if (i % SLICE === 0) await rest();
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = Math.floor((state / 4294967296) * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

export class Points {
  constructor(canvas) {
    this.canvas = canvas;
    this.n = 0;
    this.order = new Uint32Array(0);
    this.gl = canvas.getContext("webgl2", { antialias: false, premultipliedAlpha: true, preserveDrawingBuffer: false });
    this.plain = this.gl ? null : canvas.getContext("2d");
    if (this.gl) {
      this.#start();
      canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
      canvas.addEventListener("webglcontextrestored", async () => {
        this.#start();
        if (this.last) await this.set(...this.last);
        if (this.lastColours) this.colours(this.lastColours);
        this.onrestored?.();
      });
    }
  }

  #start() {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [kind, source] of [
      [gl.VERTEX_SHADER, VERTEX],
      [gl.FRAGMENT_SHADER, FRAGMENT],
    ]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    [this.program, this.at] = [program, null];
    this.buffers = Object.fromEntries(["x", "y", "colour"].map((name) => [name, gl.createBuffer()]));
  }

  // Asked for when something is drawn, not before: until the program is linked, every question about it blocks the page.
  #places() {
    const { gl, program } = this;
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
      throw new Error(`the points cannot be drawn: ${gl.getProgramInfoLog(program)}`);
    }
    const uniforms = ["view", "size"].map((name) => [name, gl.getUniformLocation(program, name)]);
    const attributes = ["x", "y", "colour"].map((name) => [name, gl.getAttribLocation(program, name)]);
    return Object.fromEntries([...uniforms, ...attributes]);
  }

  // Coordinates by row, put into the order of drawing. A million points take a few steps, between which the page answers.
  async set(x, y) {
    const n = x.length;
    const rest = () => (n > FEW ? breathe() : null);
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const order = this.n === n ? this.order : await mixedOrder(n, rest);
    const mixed = [];
    for (const values of [x, y]) {
      await rest();
      const out = new Float32Array(n);
      for (let i = 0; i < n; i++) out[i] = values[order[i]];
      mixed.push(out);
    }
    if (turn !== this.turn) return;
    [this.n, this.order, this.last] = [n, order, [x, y]];
    this.#upload("x", mixed[0]);
    this.#upload("y", mixed[1]);
    if (this.plain) [this.x, this.y] = [x, y];
  }

  // RGBA of each point in the order of drawing, as 32-bit numbers.
  colours(values) {
    this.lastColours = values;
    this.#upload("colour", values);
  }

  #upload(name, values) {
    const { gl } = this;
    if (!gl) return;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[name]);
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
  }

  // view: [x0, x1, y0, y1]; size in pixels of the canvas.
  draw(view, size, moving = false) {
    const count = moving ? Math.min(this.n, FEW) : this.n;
    if (this.plain) return this.#drawPlain(view, size, Math.min(count, FEW));
    const { gl, canvas } = this;
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    if (!count || this.lastColours?.length !== this.n) return; // colours of these points are on their way
    this.at ??= this.#places();
    gl.useProgram(this.program);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    for (const [name, length, type] of [
      ["x", 1, gl.FLOAT],
      ["y", 1, gl.FLOAT],
      ["colour", 4, gl.UNSIGNED_BYTE],
    ]) {
      const place = this.at[name];
      gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[name]);
      gl.enableVertexAttribArray(place);
      gl.vertexAttribPointer(place, length, type, type === gl.UNSIGNED_BYTE, 0, 0);
    }
    gl.uniform4f(this.at.view, view[0], view[2], view[1] - view[0], view[3] - view[2]);
    gl.uniform1f(this.at.size, size);
    gl.drawArrays(gl.POINTS, 0, count);
  }

  #drawPlain(view, size, count) {
    const { plain, canvas, order, lastColours } = this;
    plain.clearRect(0, 0, canvas.width, canvas.height);
    if (lastColours?.length !== this.n) return;
    const bytes = new Uint8Array(lastColours.buffer, lastColours.byteOffset);
    for (let k = 0; k < count; k++) {
      const i = order[k];
      plain.fillStyle = `rgba(${bytes[4 * k]},${bytes[4 * k + 1]},${bytes[4 * k + 2]},${bytes[4 * k + 3] / 255})`;
      const px = ((this.x[i] - view[0]) / (view[1] - view[0])) * canvas.width;
      const py = (1 - (this.y[i] - view[2]) / (view[3] - view[2])) * canvas.height;
      plain.fillRect(px - size / 2, py - size / 2, size, size);
    }
  }
}
