// What is done off the main thread: reading the posterior means, the index of the points, the lasso, nearest rows.

import KDBush from "../vendor/kdbush/kdbush.js";
import { clustersOf, valleyOf } from "./clusters.js";
import { insidePolygon, nearestRows, principalAxes, project } from "./geometry.js";

let mean = new Float32Array(0);
let size = 1;
let axes = null;
let [x, y] = [new Float32Array(0), new Float32Array(0)];

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
  // The index of the points as they lie in the plane; `data` is what KDBush.from takes.
  index({ xs, ys }) {
    [x, y] = [xs, ys];
    if (!xs.length) return { result: { data: null }, transfer: [] };
    const index = new KDBush(xs.length, 64, Float32Array);
    for (let i = 0; i < xs.length; i++) index.add(xs[i], ys[i]);
    index.finish();
    return { result: { data: index.data }, transfer: [index.data] };
  },
  // Of the points of the index, or of other coordinates.
  lasso({ polygon, xs = x, ys = y }) {
    const found = insidePolygon(xs, ys, polygon);
    return { result: found, transfer: [found.buffer] };
  },
  clusters({ units, weight, k = null }) {
    const labels = clustersOf(mean, size, units, weight, k);
    const valley = valleyOf(mean, size, units, weight, Math.max(...labels) + 1);
    return { result: { labels, valley }, transfer: [labels.buffer] };
  },
  nearest({ z, units, weight, k, except }) {
    const [rows, distances] = nearestRows(mean, size, z, units, weight, k, except);
    return { result: { rows, distances }, transfer: [] };
  },
};
