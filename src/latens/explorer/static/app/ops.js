// What is done off the main thread: reading the posterior means, the lasso, nearest rows.

import { insidePolygon, nearestRows, principalAxes, project } from "./geometry.js";

let mean = new Float32Array(0);
let size = 1;
let axes = null;

export const OPS = {
  means({ values, latentSize }) {
    mean = values;
    size = latentSize;
    axes = null;
    return { result: null, transfer: [] };
  },
  principal() {
    axes ??= principalAxes(mean, size);
    const coordinates = axes.axes.map((axis) => project(mean, size, axes.centre, axis));
    return { result: { ...axes, coordinates }, transfer: coordinates.map((c) => c.buffer) };
  },
  lasso({ polygon, xs, ys }) {
    const found = insidePolygon(xs, ys, polygon);
    return { result: found, transfer: [found.buffer] };
  },
  nearest({ z, units, weight, k, except, centre }) {
    const [rows, distances] = nearestRows(mean, size, z, units, weight, k, except, centre);
    return { result: { rows, distances }, transfer: [] };
  },
};
