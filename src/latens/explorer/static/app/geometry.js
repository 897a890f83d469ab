// Points in a plane and vectors in latent space: lasso, nearest rows, paths.

// Indices of the points inside a polygon [[x, y], ...] (even-odd rule). The polygon is cut into slabs, so that a point
// is compared with the few edges at its height only: a million points in some tens of milliseconds.
export function insidePolygon(x, y, polygon) {
  const n = polygon.length;
  if (n < 3) return new Uint32Array(0);
  let [x0, x1, y0, y1] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const [px, py] of polygon) {
    x0 = Math.min(x0, px);
    x1 = Math.max(x1, px);
    y0 = Math.min(y0, py);
    y1 = Math.max(y1, py);
  }
  if (!(y1 > y0)) return new Uint32Array(0);
  const slabs = Array.from({ length: 256 }, () => []);
  const slabOf = (v) => Math.min(255, Math.max(0, Math.floor(((v - y0) / (y1 - y0)) * 256)));
  for (let i = 0; i < n; i++) {
    const [ax, ay] = polygon[i];
    const [bx, by] = polygon[(i + 1) % n];
    if (ay === by) continue;
    for (let s = slabOf(Math.min(ay, by)); s <= slabOf(Math.max(ay, by)); s++) slabs[s].push(ax, ay, bx, by);
  }
  const edges = slabs.map((list) => Float64Array.from(list));
  const found = new Uint32Array(x.length);
  let count = 0;
  for (let i = 0; i < x.length; i++) {
    const px = x[i];
    const py = y[i];
    if (!(px >= x0 && px <= x1 && py >= y0 && py <= y1)) continue;
    const list = edges[slabOf(py)];
    let inside = false;
    for (let k = 0; k < list.length; k += 4) {
      const ay = list[k + 1];
      const by = list[k + 3];
      if (ay > py !== by > py && px < ((list[k + 2] - list[k]) * (py - ay)) / (by - ay) + list[k]) inside = !inside;
    }
    if (inside) found[count++] = i;
  }
  return found.slice(0, count);
}

// The k rows nearest to z, in these units, each multiplied by its weight: [indices, distances], nearest first.
// With a centre the distance is 1 - the cosine around it: in many units a few central rows are the nearest of all.
export function nearestRows(mean, size, z, units, weight, k, except = -1, centre = null) {
  const index = new Array(0);
  const distance = [];
  const n = mean.length / size;
  let worst = Infinity;
  const from = units.map((unit, j) => (z[unit] - (centre?.[j] ?? 0)) * weight[j]);
  const cosine = (i) => {
    const own = units.map((unit, j) => (mean[i * size + unit] - centre[j]) * weight[j]);
    return own.reduce((dot, v, j) => dot + v * from[j], 0) / (Math.hypot(...own) * Math.hypot(...from) || 1);
  };
  for (let i = 0; i < n; i++) {
    let sum = centre ? 1 - cosine(i) : 0;
    for (let j = 0; !centre && j < units.length; j++) {
      const difference = mean[i * size + units[j]] * weight[j] - from[j];
      sum += difference * difference;
      if (sum > worst) break;
    }
    if (sum > worst || i === except || (sum === worst && distance.length >= k)) continue;
    let at = distance.length;
    while (at > 0 && distance[at - 1] > sum) at--;
    distance.splice(at, 0, sum);
    index.splice(at, 0, i);
    if (distance.length > k) {
      distance.pop();
      index.pop();
    }
    if (distance.length === k) worst = distance[k - 1];
  }
  return [index, centre ? distance : distance.map(Math.sqrt)];
}

export function dot(a, b) {
  let sum = 0;
  for (let j = 0; j < a.length; j++) sum += a[j] * b[j];
  return sum;
}

export function project(mean, size, centre, axis) {
  const n = mean.length / size;
  const out = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    let sum = 0;
    for (let j = 0; j < size; j++) sum += (mean[i * size + j] - centre[j]) * axis[j];
    out[i] = sum;
  }
  return out;
}

// A path from a to b in `steps` latents, one after another. Spherical: at even angles about the origin, with the length
// going evenly from one to the other; linear where the two lie on one line with the origin.
export function path(a, b, steps, kind) {
  const size = a.length;
  const out = new Float32Array(steps * size);
  const la = Math.sqrt(dot(a, a));
  const lb = Math.sqrt(dot(b, b));
  const cosine = la > 0 && lb > 0 ? Math.min(1, Math.max(-1, dot(a, b) / (la * lb))) : 1;
  const angle = Math.acos(cosine);
  const round = kind === "spherical" && Math.sin(angle) > 1e-6;
  for (let s = 0; s < steps; s++) {
    const t = steps > 1 ? s / (steps - 1) : 0;
    const length = (1 - t) * la + t * lb;
    for (let j = 0; j < size; j++) {
      out[s * size + j] = round
        ? (length * (Math.sin((1 - t) * angle) * (a[j] / la) + Math.sin(t * angle) * (b[j] / lb))) / Math.sin(angle)
        : (1 - t) * a[j] + t * b[j];
    }
  }
  return out;
}

// The same latent with one unit at each of `steps` values from low to high.
export function traversal(z, unit, low, high, steps) {
  const out = new Float32Array(steps * z.length);
  for (let s = 0; s < steps; s++) {
    out.set(z, s * z.length);
    out[s * z.length + unit] = low + ((high - low) * s) / Math.max(steps - 1, 1);
  }
  return out;
}

export function extent(values) {
  let low = Infinity;
  let high = -Infinity;
  for (let i = 0; i < values.length; i++) {
    const v = values[i];
    if (v < low) low = v;
    if (v > high) high = v;
  }
  return low <= high ? [low, high] : [0, 1];
}

// Counts in even bins from low to high; what lies outside is left out.
export function histogram(values, low, high, bins) {
  const counts = new Float64Array(bins);
  const scale = bins / (high - low || 1);
  for (let i = 0; i < values.length; i++) {
    const v = values[i];
    if (v >= low && v <= high) counts[Math.min(bins - 1, Math.floor((v - low) * scale))]++;
  }
  return counts;
}
