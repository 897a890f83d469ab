// Groups of rows: clusters of the latents by k-means, and what tells rows of a group from all rows, in nats.

const [ROUNDS, STARTS, SAMPLE, BINS] = [50, 3, 20000, 10];
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
