// What is drawn over the points: ticks, names of the axes, the lasso, marked rows, the decoded point.

import { format, s } from "./dom.js";
import { ticks } from "./chart.js";
import { theme } from "./theme.js";

export function overlay(scatter) {
  const t = theme();
  const { app } = scatter;
  const items = [];
  const label = (x, y, words, more = {}) =>
    items.push(
      s("text", { x, y, "font-size": 11, "font-family": "system-ui, sans-serif", fill: t.muted, ...more }, words),
    );
  for (const v of ticks(scatter.view[0], scatter.view[1], Math.max(2, scatter.width / 110))) {
    items.push(
      s("line", { x1: scatter.px(v), x2: scatter.px(v), y1: scatter.height - 5, y2: scatter.height, stroke: t.muted }),
    );
    if (scatter.px(v) > 30 && scatter.px(v) < scatter.width - 30)
      label(scatter.px(v), scatter.height - 8, format(v), { "text-anchor": "middle" });
  }
  for (const v of ticks(scatter.view[2], scatter.view[3], Math.max(2, scatter.height / 80))) {
    items.push(s("line", { x1: 0, x2: 5, y1: scatter.py(v), y2: scatter.py(v), stroke: t.muted }));
    if (scatter.py(v) > 20 && scatter.py(v) < scatter.height - 24) label(8, scatter.py(v) + 4, format(v));
  }
  label(scatter.width - 8, scatter.height - 22, scatter.axisName(app.state.x), { "text-anchor": "end", fill: t.text });
  label(8, 14, scatter.axisName(app.state.y), { fill: t.text });
  const corners = scatter.drawing ?? app.state.lasso;
  if (corners?.length > 1) {
    const points = corners.map(([x, y]) => `${scatter.px(x).toFixed(1)},${scatter.py(y).toFixed(1)}`).join(" ");
    items.push(s("polygon", { points, fill: t.first, "fill-opacity": 0.08, stroke: t.first, "stroke-width": 1.5 }));
  }
  for (const [word, row] of [
    ["A", app.state.a],
    ["B", app.state.b],
    ["C", app.state.c],
    ["", app.state.row],
  ]) {
    const place = row === null || row === undefined ? -1 : app.placeOf(row);
    if (place < 0) continue;
    const [cx, cy] = [scatter.px(scatter.x[place]), scatter.py(scatter.y[place])];
    items.push(s("circle", { cx, cy, r: 7, fill: "none", stroke: t.background, "stroke-width": 4 }));
    items.push(s("circle", { cx, cy, r: 7, fill: "none", stroke: t.text, "stroke-width": 1.8 }));
    if (word) label(cx + 9, cy - 7, word, { fill: t.text, "font-size": 14, "font-weight": 700 });
  }
  const at = scatter.pointer();
  if (at) {
    const [cx, cy] = [scatter.px(at[0]), scatter.py(at[1])];
    for (const [colour, width] of [
      [t.background, 5],
      [t.second, 2.2],
    ]) {
      items.push(
        s("path", {
          d: `M${cx - 11} ${cy}H${cx + 11}M${cx} ${cy - 11}V${cy + 11}`,
          stroke: colour,
          "stroke-width": width,
          fill: "none",
        }),
      );
    }
  }
  return items;
}
