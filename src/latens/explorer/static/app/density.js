// How densely points lie in a plane: a histogram smoothed by a Gaussian, and contours that hold a share of the points.

export const CELLS = 80; // along each axis
export const BLUR = 1.5; // standard deviation of the Gaussian, in cells

function blurred(cells) {
  const reach = Math.ceil(3 * BLUR);
  const weights = Array.from({ length: 2 * reach + 1 }, (_, k) => Math.exp(-0.5 * ((k - reach) / BLUR) ** 2));
  const total = weights.reduce((a, b) => a + b);
  let from = cells;
  for (const [step, other] of [
    [1, CELLS],
    [CELLS, 1],
  ]) {
    const to = new Float64Array(CELLS * CELLS);
    for (let a = 0; a < CELLS; a++) {
      for (let b = 0; b < CELLS; b++) {
        const v = from[a * other + b * step];
        if (!v) continue;
        for (let k = Math.max(-reach, -b); k <= Math.min(reach, CELLS - 1 - b); k++) {
          to[a * other + (b + k) * step] += (v * weights[k + reach]) / total;
        }
      }
    }
    from = to;
  }
  return from;
}

// One smoothed histogram for each of n classes; codes: the class of each point (others than 0 .. n - 1 are left out).
export function densities(x, y, [x0, x1, y0, y1], codes, n) {
  const counts = Array.from({ length: n }, () => new Float64Array(CELLS * CELLS));
  for (let i = 0; i < x.length; i++) {
    const code = codes ? codes[i] : 0;
    const across = Math.floor(((x[i] - x0) / (x1 - x0)) * CELLS);
    const up = Math.floor(((y[i] - y0) / (y1 - y0)) * CELLS);
    const inside = across >= 0 && across < CELLS && up >= 0 && up < CELLS;
    if (inside && code >= 0 && code < n) counts[code][up * CELLS + across] += 1;
  }
  return counts.map(blurred);
}

// The density above which this share of the points lies.
export function levelHolding(cells, share) {
  const sorted = Float64Array.from(cells).sort().reverse();
  const total = sorted.reduce((a, b) => a + b, 0);
  let sum = 0;
  for (const v of sorted) {
    sum += v;
    if (sum >= share * total) return v;
  }
  return 0;
}

// Where the density crosses a level: pieces [x, y, x, y] in the plane (marching squares between the cells' centres).
export function contour(cells, level, [x0, x1, y0, y1]) {
  const pieces = [];
  const px = (a) => x0 + ((a + 0.5) / CELLS) * (x1 - x0);
  const py = (b) => y0 + ((b + 0.5) / CELLS) * (y1 - y0);
  for (let b = 0; b + 1 < CELLS; b++) {
    for (let a = 0; a + 1 < CELLS; a++) {
      const at = b * CELLS + a;
      const v = [cells[at], cells[at + 1], cells[at + CELLS + 1], cells[at + CELLS]];
      const ends = [];
      for (const [from, to, place] of [
        [0, 1, (t) => [px(a + t), py(b)]],
        [1, 2, (t) => [px(a + 1), py(b + t)]],
        [3, 2, (t) => [px(a + t), py(b + 1)]],
        [0, 3, (t) => [px(a), py(b + t)]],
      ]) {
        if (v[from] > level !== v[to] > level) ends.push(place((level - v[from]) / (v[to] - v[from])));
      }
      for (let k = 0; k + 1 < ends.length; k += 2) pieces.push([...ends[k], ...ends[k + 1]]);
    }
  }
  return pieces;
}
