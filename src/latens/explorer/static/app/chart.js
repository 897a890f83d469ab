// Lines, bars and histograms as SVG. Colours are attributes, so that a saved file looks like the page.

import { format, s } from "./dom.js";
import { theme } from "./theme.js";

export function ticks(low, high, most = 5) {
  if (!(high > low)) return [low];
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((v) => v >= rough) ?? 10 * power;
  const found = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-9; v += step)
    found.push(Math.abs(v) < step * 1e-9 ? 0 : v);
  return found;
}

const text = (x, y, words, more = {}) =>
  s("text", { x, y, "font-size": 11, "font-family": "system-ui, sans-serif", fill: theme().muted, ...more }, words);

function frame(width, height, [x0, x1], [y0, y1], { xLabel = "", yLabel = "", title = "", across = true }) {
  const t = theme();
  const [left, right, top, bottom] = [52, 10, title ? 22 : 8, xLabel ? 34 : 20];
  const px = (v) => left + ((v - x0) / (x1 - x0 || 1)) * (width - left - right);
  const py = (v) => height - bottom - ((v - y0) / (y1 - y0 || 1)) * (height - top - bottom);
  const svg = s("svg", {
    class: "chart",
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
    role: "img",
    "aria-label": title || yLabel,
    xmlns: "http://www.w3.org/2000/svg",
  });
  svg.append(s("rect", { width, height, fill: t.background }));
  for (const v of ticks(y0, y1)) {
    svg.append(s("line", { x1: left, x2: width - right, y1: py(v), y2: py(v), stroke: t.grid }));
    svg.append(text(left - 6, py(v) + 4, format(v), { "text-anchor": "end" }));
  }
  for (const v of across ? ticks(x0, x1, Math.max(2, Math.floor(width / 90))) : []) {
    svg.append(text(px(v), height - bottom + 14, format(v), { "text-anchor": "middle" }));
  }
  if (title) svg.append(text(left, 14, title, { fill: t.text, "font-size": 12 }));
  if (xLabel) svg.append(text((left + width - right) / 2, height - 4, xLabel, { "text-anchor": "middle" }));
  if (yLabel && !title) svg.append(text(left, 10, yLabel));
  return { svg, px, py, left, right, top, bottom };
}

// The names of the lines, each after a piece of it, in the line of the title.
function key(svg, items, end) {
  let x = end;
  for (const item of [...items].reverse()) {
    x -= 7 * item.name.length;
    svg.append(text(x, 14, item.name, { fill: theme().text }));
    svg.append(
      s("line", {
        x1: x - 24,
        x2: x - 5,
        y1: 10,
        y2: 10,
        stroke: item.colour,
        "stroke-width": 2,
        "stroke-dasharray": item.dash,
      }),
    );
    x -= 36;
  }
}

// series: [{name, x, y, colour, dash}]; markers: [{x, label}] vertical lines.
export function lines(series, { width = 460, height = 190, markers = [], ...words } = {}) {
  const finite = series.flatMap((one) => one.x.map((v, i) => [v, one.y[i]]).filter(([, v]) => Number.isFinite(v)));
  if (!finite.length) return null;
  const xs = finite.map(([v]) => v);
  const ys = finite.map(([, v]) => v);
  const [y0, y1] = [Math.min(...ys), Math.max(...ys)];
  const pad = (y1 - y0 || Math.abs(y1) || 1) * 0.05;
  const { svg, px, py, left, right, top, bottom } = frame(
    width,
    height,
    [Math.min(...xs), Math.max(...xs)],
    [y0 - pad, y1 + pad],
    words,
  );
  const t = theme();
  for (const one of series) {
    const path = one.x
      .map((v, i) => (Number.isFinite(one.y[i]) ? `${px(v).toFixed(1)},${py(one.y[i]).toFixed(1)}` : ""))
      .filter(Boolean);
    if (path.length === 1) {
      const [cx, cy] = path[0].split(",");
      svg.append(s("circle", { cx, cy, r: 3, fill: one.colour }));
    } else if (path.length) {
      svg.append(
        s("polyline", {
          points: path.join(" "),
          fill: "none",
          stroke: one.colour,
          "stroke-width": 1.6,
          "stroke-dasharray": one.dash,
        }),
      );
    }
  }
  key(svg, series, width - right);
  for (const { x, label } of markers) {
    svg.append(
      s("line", { x1: px(x), x2: px(x), y1: top, y2: height - bottom, stroke: t.muted, "stroke-dasharray": "3 3" }),
    );
    const last = px(x) + 4 + 7 * label.length > width - right; // it would be cut off
    svg.append(text(px(x) + (last ? -4 : 4), height - bottom - 6, label, { "text-anchor": last ? "end" : "start" }));
  }
  const hair = s("line", { y1: top, y2: height - bottom, stroke: t.muted, visibility: "hidden" });
  const note = text(left + 4, height - bottom - 6, "", { fill: t.text });
  svg.append(hair, note);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * width;
    let best = null;
    for (const one of series) {
      one.x.forEach((v) => {
        if (best === null || Math.abs(px(v) - at) < Math.abs(px(best) - at)) best = v;
      });
    }
    if (best === null) return;
    hair.setAttribute("x1", px(best));
    hair.setAttribute("x2", px(best));
    hair.setAttribute("visibility", "visible");
    const values = series.map((one) => `${one.name} ${format(one.y[one.x.indexOf(best)], 5)}`);
    note.textContent = `${words.xLabel ?? ""} ${format(best)}: ${values.join(", ")}`;
  });
  svg.addEventListener("pointerleave", () => {
    hair.setAttribute("visibility", "hidden");
    note.textContent = "";
  });
  return svg;
}

// bars: [{name, value, colour}], from left to right.
export function bars(items, { width = 460, height = 170, ...words } = {}) {
  const top = Math.max(...items.map((item) => item.value), 1e-12);
  const { svg, py, left, right, bottom } = frame(width, height, [0, 1], [0, top * 1.05], { ...words, across: false });
  const step = (width - left - right) / items.length;
  items.forEach((item, i) => {
    const x = left + i * step + step * 0.1;
    const bar = s("rect", {
      x,
      width: Math.max(1, step * 0.8),
      y: py(item.value),
      height: Math.max(0, py(0) - py(item.value)),
      fill: item.colour,
    });
    bar.append(s("title", {}, `${item.name}: ${format(item.value)}`));
    svg.append(bar);
    if (step > 16)
      svg.append(text(x + step * 0.4, height - bottom + 14, item.short ?? item.name, { "text-anchor": "middle" }));
  });
  return svg;
}

// Densities of several samples over the same bins: [{name, counts, colour}].
export function densities(items, low, high, { width = 460, height = 170, ...words } = {}) {
  const wide = (high - low) / items[0].counts.length;
  const shares = items.map(({ counts }) => {
    const total = counts.reduce((a, b) => a + b, 0) || 1;
    return Array.from(counts, (c) => c / total / wide);
  });
  const top = Math.max(...shares.flat(), 1e-12);
  const { svg, px, py, right } = frame(width, height, [low, high], [0, top * 1.08], words);
  key(svg, items, width - right);
  items.forEach((item, k) => {
    const corners = shares[k].flatMap((v, i) => [
      [low + i * wide, v],
      [low + (i + 1) * wide, v],
    ]);
    const points = corners.map(([x, v]) => `${px(x).toFixed(1)},${py(v).toFixed(1)}`).join(" ");
    svg.append(
      s("polyline", { points, fill: "none", stroke: item.colour, "stroke-width": 1.6, "stroke-dasharray": item.dash }),
    );
  });
  return svg;
}
