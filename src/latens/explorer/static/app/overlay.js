// What is drawn over the points: ticks, names of the axes, the lasso, marked rows, the decoded point.

import { s } from "./dom.js";
import { ticks } from "./chart.js";
import { numberText } from "./event.js";
import { theme } from "./theme.js";

// Of a saved picture the hint is no part.
export function overlay(scatter, saved = false) {
  const t = theme();
  const { app } = scatter;
  const items = [];
  const halo = { stroke: t.background, "stroke-width": 4, "stroke-linejoin": "round", "paint-order": "stroke" };
  const label = (x, y, words, more = {}) =>
    items.push(
      s("text", { x, y, "font-size": 11, "font-family": "system-ui, sans-serif", fill: t.text, ...halo, ...more }, words),
    );
  // A tick of a column of dates is a date.
  const textOf = (axis, v) => numberText(/^c\d+$/.test(axis) ? app.model.manifest.columns[Number(axis.slice(1))] : null, v);
  for (const v of ticks(scatter.view[0], scatter.view[1], Math.max(2, scatter.width / 110))) {
    items.push(
      s("line", { x1: scatter.px(v), x2: scatter.px(v), y1: scatter.height - 5, y2: scatter.height, stroke: t.muted }),
    );
    if (scatter.px(v) > 30 && scatter.px(v) < scatter.width - 30)
      label(scatter.px(v), scatter.height - 8, textOf(app.state.x, v), { "text-anchor": "middle" });
  }
  for (const v of ticks(scatter.view[2], scatter.view[3], Math.max(2, scatter.height / 80))) {
    items.push(s("line", { x1: 0, x2: 5, y1: scatter.py(v), y2: scatter.py(v), stroke: t.muted }));
    if (scatter.py(v) > 20 && scatter.py(v) < scatter.height - 24) label(8, scatter.py(v) + 4, textOf(app.state.y, v));
  }
  label(scatter.width - 8, scatter.height - 22, scatter.axisName(app.state.x), { "text-anchor": "end" });
  label(8, 14, scatter.axisName(app.state.y));
  for (const { colour, pieces } of scatter.contours ?? []) {
    const place = (x, y) => `${scatter.px(x).toFixed(1)} ${scatter.py(y).toFixed(1)}`;
    const d = pieces.map(([ax, ay, bx, by]) => `M${place(ax, ay)}L${place(bx, by)}`);
    items.push(s("path", { class: "contour", d: d.join(""), fill: "none", stroke: t.background, "stroke-width": 3.5 }));
    items.push(s("path", { d: d.join(""), fill: "none", stroke: colour, "stroke-width": 1.8 }));
  }
  // A name that would lie on another or on the cross moves up or down, and is left out where it has no room.
  const at = scatter.pointer();
  const [cx, cy] = at ? [scatter.px(at[0]), scatter.py(at[1])] : [];
  const hinted = at && scatter.hint && !saved && app.state.mode === "decode";
  const right = cx > scatter.width - 140;
  const [tx, ty] = [right ? cx - 22 : cx + 22, cy < 40 ? cy + 30 : cy - 14];
  const placed = at ? [[cx, cy + 5, 16]] : []; // [across, down, half a width]
  if (hinted) placed.push([right ? tx - 60 : tx + 60, ty, 60]);
  const size = scatter.width < 500 ? 12 : 15;
  for (const [level, x, y] of scatter.centres ?? []) {
    const [across, half] = [scatter.px(x), (size / 3) * level.length];
    const free = (d) => placed.every((one) => Math.abs(one[1] - d) >= 16 || Math.abs(one[0] - across) >= one[2] + half);
    const down = [0, -16, 16, -32, 32].map((step) => scatter.py(y) + 5 + step).find(free);
    if (down === undefined) continue;
    placed.push([across, down, half]);
    label(across, down, level, { "text-anchor": "middle", "font-size": size, "font-weight": 700, class: "centre" });
  }
  const here = app.state.picks.filter((one) => one.polygon && one.x === app.state.x && one.y === app.state.y);
  const drawn = [...here, ...(scatter.drawing ? [{ polygon: scatter.drawing, sign: 1 }] : [])];
  for (const { polygon: corners, sign } of drawn.filter((one) => one.polygon.length > 1)) {
    const points = corners.map(([x, y]) => `${scatter.px(x).toFixed(1)},${scatter.py(y).toFixed(1)}`).join(" ");
    const colour = sign > 0 ? t.first : t.muted;
    items.push(s("polygon", { points, fill: colour, "fill-opacity": 0.08, stroke: colour, "stroke-width": 1.5,
      "stroke-dasharray": sign > 0 ? null : "4 3" }));
  }
  for (const [word, row] of [
    ["A", app.state.a],
    ["B", app.state.b],
    ...app.state.via.map((row, k) => [String(k + 1), row]),
    ["C", app.state.c],
    ["", app.state.row],
  ]) {
    if (row === null || row === undefined) continue;
    const [cx, cy] = [scatter.px(scatter.x[row]), scatter.py(scatter.y[row])];
    items.push(s("circle", { cx, cy, r: 7, fill: "none", stroke: t.background, "stroke-width": 4 }));
    items.push(s("circle", { cx, cy, r: 7, fill: "none", stroke: t.text, "stroke-width": 1.8 }));
    if (word) label(cx + 9, cy - 7, word, { "font-size": 14, "font-weight": 700 });
  }
  if (at) {
    for (const [colour, width] of [
      [t.background, 7],
      [t.second, 3],
    ]) {
      items.push(
        s("path", { d: `M${cx} ${cy}m-17 0h13m8 0h13m-17 -17v13m0 8v13`, stroke: colour, "stroke-width": width, fill: "none" }),
        s("circle", { cx, cy, r: 10, stroke: colour, "stroke-width": width - 1, fill: "none" }),
      );
    }
    const words = { "font-size": 14, "font-weight": 650, "text-anchor": right ? "end" : "start", fill: t.second };
    if (hinted) label(tx, ty, "drag to decode", words);
  }
  return items;
}
