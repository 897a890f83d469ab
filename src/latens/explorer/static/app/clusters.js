// Groups of rows: clusters of the latents by k-means, and what tells rows of a group from all rows, in nats.

const [ROUNDS, STARTS, SAMPLE, BINS] = [50, 3, 20000, 10];
const [FEW, LEAST, BAND] = [20, 3, 0.1]; // rows a group, and at a centre, that tell; half the width of a band
export const CLEAR = 0.6; // groups are clear where their valley is below it
const FEWEST = 2; // clusters that are tried, and the most
const MOST = 10;

// The same random numbers at every call (a linear congruential generator).
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 4294967296;
  };
}

function nearestCentre(x, at, d, centres) {
  let [best, least] = [0, Infinity];
  for (let c = 0; c < centres.length; c++) {
    let sum = 0;
    for (let j = 0; j < d; j++) sum += (x[at + j] - centres[c][j]) ** 2;
    if (sum < least) [best, least] = [c, sum];
  }
  return [best, least];
}

// The best of a few starts; {centres, within}: the sum of squared distances to them.
export function kMeans(x, n, d, k) {
  const tried = Array.from({ length: k > 1 ? STARTS : 1 }, (_, seed) => lloyd(x, n, d, k, seed + 1));
  return tried.reduce((best, one) => (one.within < best.within ? one : best));
}

// Lloyd's iterations from k-means++ centres.
function lloyd(x, n, d, k, seed) {
  const draw = random(seed);
  const row = (i) => Array.from(x.subarray(i * d, i * d + d));
  const centres = [row(Math.floor(draw() * n))];
  while (centres.length < k) {
    const far = Float64Array.from({ length: n }, (_, i) => nearestCentre(x, i * d, d, centres)[1]);
    let left = draw() * far.reduce((a, b) => a + b, 0);
    let chosen = 0;
    while (chosen < n - 1 && (left -= far[chosen]) > 0) chosen += 1;
    centres.push(row(chosen));
  }
  let within = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const sums = centres.map(() => new Float64Array(d + 1));
    let now = 0;
    for (let i = 0; i < n; i++) {
      const [c, squared] = nearestCentre(x, i * d, d, centres);
      now += squared;
      for (let j = 0; j < d; j++) sums[c][j] += x[i * d + j];
      sums[c][d] += 1;
    }
    sums.forEach((sum, c) => {
      if (sum[d]) centres[c] = Array.from(sum.subarray(0, d), (v) => v / sum[d]);
    });
    if (within - now <= 1e-7 * now) return { centres, within: now };
    within = now;
  }
  return { centres, within };
}

// The cluster of every row, as many as the index of Calinski and Harabasz is largest for, or k. Units are divided by
// their spread; the centres are found on at most 20,000 rows.
export function clustersOf(mean, size, units, weight, k = null) {
  const n = mean.length / size;
  const d = units.length;
  const scaled = (count, rowAt) => {
    const x = new Float32Array(count * d);
    for (let i = 0; i < count; i++) units.forEach((u, j) => (x[i * d + j] = mean[rowAt(i) * size + u] * weight[j]));
    return x;
  };
  const count = Math.min(n, SAMPLE);
  const x = scaled(count, (i) => Math.floor((i * n) / count));
  const total = kMeans(x, count, d, 1).within;
  let best = null;
  for (let tried = k ?? FEWEST; tried <= (k ?? Math.min(MOST, count - 1)); tried++) {
    const { centres, within } = kMeans(x, count, d, tried);
    const score = ((total - within) / Math.max(tried - 1, 1)) / (within / Math.max(count - tried, 1) || 1e-300);
    if (!best || score > best.score) best = { centres, score };
  }
  const all = scaled(n, (i) => i);
  const centres = best?.centres ?? [Array.from({ length: d }, () => 0)];
  return Int32Array.from({ length: n }, (_, i) => nearestCentre(all, i * d, d, centres)[0]);
}

// How dense rows lie half-way between two groups, as a share of the less dense of the two: near 0 where they stand apart,
// and 1 or more where k-means cut one cloud. The centres are found on a half of the rows and the density is counted on the
// other, since in many units any rows lie apart along the line that was fitted to them. The mean over the rows, of each
// group beside its nearest one, of counts that may be larger by two standard errors and one row; NaN where there are too
// few rows to tell.
export function valleyOf(mean, size, units, weight, k) {
  const n = Math.min(mean.length / size, SAMPLE);
  const [half, d] = [n >> 1, units.length];
  if (half < FEW * k || k < 2) return NaN;
  const draw = random(1);
  const order = Array.from({ length: n }, (_, i) => [draw(), Math.floor((i * (mean.length / size)) / n)])
    .sort(([p], [q]) => p - q)
    .map(([, row]) => row);
  const part = (first) => {
    const x = new Float32Array(half * d);
    for (let i = 0; i < half; i++) {
      const at = order[first * half + i] * size;
      units.forEach((u, j) => (x[i * d + j] = mean[at + u] * weight[j]));
    }
    return x;
  };
  const [fitted, rest] = [part(0), part(1)];
  const { centres } = kMeans(fitted, half, d, k);
  const nearest = Int32Array.from({ length: half }, (_, i) => nearestCentre(rest, i * d, d, centres)[0]);
  let [sum, rows] = [0, 0];
  centres.forEach((one, a) => {
    const others = centres.map((other, b) => (b === a ? Infinity : one.reduce((all, v, j) => all + (v - other[j]) ** 2, 0)));
    const b = others.indexOf(Math.min(...others));
    const bands = [0, 0, 0]; // around the one centre, half-way, around the other
    let own = 0;
    for (let i = 0; i < half; i++) {
      if (nearest[i] === a) own += 1;
      if (nearest[i] !== a && nearest[i] !== b) continue;
      let along = 0;
      for (let j = 0; j < d; j++) along += (rest[i * d + j] - one[j]) * (centres[b][j] - one[j]);
      along /= others[b] || 1e-300;
      const band = Math.round(2 * along);
      if (band >= 0 && band <= 2 && Math.abs(along - band / 2) <= BAND) bands[band] += 1;
    }
    const ends = Math.min(bands[0], bands[2]); // hardly any rows around a centre: a few far ones, and no group
    sum += own * (ends < LEAST ? Math.max(1, bands[1]) : (bands[1] + 2 * Math.sqrt(bands[1]) + 1) / ends);
    rows += own;
  });
  return sum / Math.max(rows, 1);
}

// Shares of the levels, or of ten bins between the quantiles of all rows; what has no value is left out.
export function sharesOf(values, rows, levels, edges) {
  const counts = new Float64Array(levels ?? edges.length + 1);
  const count = rows ? rows.length : values.length;
  for (let i = 0; i < count; i++) {
    const v = values[rows ? rows[i] : i];
    if (levels) {
      if (v >= 0) counts[v] += 1;
    } else if (Number.isFinite(v)) {
      let bin = 0;
      while (bin < edges.length && v >= edges[bin]) bin += 1;
      counts[bin] += 1;
    }
  }
  const total = counts.reduce((a, b) => a + b, 0) || 1;
  return counts.map((c) => c / total);
}

export function edgesOf(values) {
  const step = Math.max(1, Math.floor(values.length / SAMPLE));
  const known = values.filter((v, i) => i % step === 0 && Number.isFinite(v)).sort();
  const edges = Array.from({ length: BINS - 1 }, (_, k) => known[Math.floor(((k + 1) * known.length) / BINS)]);
  return edges.filter((edge, k) => k === 0 || edge > edges[k - 1]);
}

// The Kullback-Leibler divergence of shares p from q in nats; the part of each level too.
export function divergence(p, q) {
  const parts = Array.from(p, (share, k) => (share > 0 && q[k] > 0 ? share * Math.log(share / q[k]) : 0));
  return { nats: Math.max(0, parts.reduce((a, b) => a + b, 0)), parts };
}

// The Jensen-Shannon divergence of two groups in nats: 0 where they are alike, ln 2 where they share nothing.
export function apart(p, q) {
  const middle = Array.from(p, (share, k) => (share + q[k]) / 2);
  return (divergence(p, middle).nats + divergence(q, middle).nats) / 2;
}
