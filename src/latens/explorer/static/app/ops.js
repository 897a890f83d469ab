// What is done off the main thread: reading the posterior means, the lasso, nearest rows.

import { insidePolygon, nearestRows } from "./geometry.js";

let mean = new Float32Array(0);
let size = 1;

export const OPS = {
  means({ values, latentSize }) {
    mean = values;
    size = latentSize;
    return { result: null, transfer: [] };
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
