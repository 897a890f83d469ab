// What a pointer and keys do on the scatter.

import { thinned } from "./permalink.js";

export const MODES = [
  ["decode", "Decode", "d"],
  ["lasso", "Lasso", "l"],
  ["pan", "Move", "p"],
];

function at(scatter, event) {
  const box = scatter.stage.getBoundingClientRect();
  return [event.clientX - box.left - scatter.stage.clientLeft, event.clientY - box.top - scatter.stage.clientTop];
}

export function listen(scatter) {
  const { stage, app } = scatter;
  let from = null;
  let moved = false;
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !scatter.view) return;
    stage.setPointerCapture(event.pointerId);
    from = at(scatter, event);
    moved = false;
    scatter.start = [...scatter.view];
    if (app.state.mode === "lasso") scatter.drawing = [[scatter.fromX(from[0]), scatter.fromY(from[1])]];
    scatter.card.hidden = true;
  });
  stage.addEventListener("pointermove", (event) => {
    if (!scatter.view) return;
    const [px, py] = at(scatter, event);
    if (!from) return scatter.hover(px, py);
    moved ||= Math.hypot(px - from[0], py - from[1]) > 4;
    if (!moved) return;
    if (app.state.mode === "decode") decodeAt(scatter, px, py);
    else if (app.state.mode === "lasso") {
      scatter.drawing.push([scatter.fromX(px), scatter.fromY(py)]);
      scatter.redraw(true);
    } else {
      const [x0, x1, y0, y1] = scatter.start;
      const dx = ((px - from[0]) / scatter.width) * (x1 - x0);
      const dy = ((py - from[1]) / scatter.height) * (y1 - y0);
      scatter.view = [x0 - dx, x1 - dx, y0 + dy, y1 + dy];
      scatter.redraw(true);
    }
  });
  const end = async (event) => {
    if (!from) return;
    const [px, py] = at(scatter, event);
    from = null;
    if (!moved) {
      scatter.drawing = null;
      const place = scatter.under(px, py);
      if (place >= 0) app.choose(app.rowAt(place));
      else if (app.state.mode === "decode") decodeAt(scatter, px, py);
    } else if (app.state.mode === "lasso") {
      const polygon = thinned(scatter.drawing);
      scatter.drawing = null;
      await scatter.select(polygon);
    } else if (app.state.mode === "pan") app.set({ view: scatter.view });
    scatter.redraw();
  };
  stage.addEventListener("pointerup", end);
  stage.addEventListener("pointercancel", end);
  stage.addEventListener("pointerleave", () => {
    scatter.card.hidden = true;
  });
  stage.addEventListener(
    "wheel",
    (event) => {
      if (!scatter.view) return;
      event.preventDefault();
      scatter.zoom(Math.exp(Math.min(Math.max(event.deltaY, -200), 200) * 0.0018), ...at(scatter, event));
    },
    { passive: false },
  );
  stage.addEventListener("keydown", (event) => onKey(scatter, event));
}

function decodeAt(scatter, px, py) {
  const z = scatter.moved(scatter.fromX(px), scatter.fromY(py));
  // Of a drag the reader wants to see what it decodes.
  const seen = ["point", "paths"].includes(scatter.app.state.tab);
  if (z) scatter.app.set(seen ? { z } : { z, tab: "point" });
  else
    scatter.note.textContent =
      "These axes are no latents: click a point, or choose units to decode anywhere.";
}

function onKey(scatter, event) {
  const { app } = scatter;
  if (event.ctrlKey || event.metaKey || event.altKey || !scatter.view) return;
  const { key } = event;
  const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[key];
  const [x0, x1, y0, y1] = scatter.view;
  if (arrow && event.shiftKey) {
    const [dx, dy] = [arrow[0] * 0.1 * (x1 - x0), arrow[1] * 0.1 * (y1 - y0)];
    scatter.view = [x0 + dx, x1 + dx, y0 + dy, y1 + dy];
    app.set({ view: scatter.view });
  } else if (arrow) {
    const now = scatter.pointer();
    const z = now && scatter.moved(now[0] + arrow[0] * 0.02 * (x1 - x0), now[1] + arrow[1] * 0.02 * (y1 - y0));
    if (z) app.set({ z });
  } else if (key === "+" || key === "=") scatter.zoom(0.8);
  else if (key === "-") scatter.zoom(1.25);
  else if (key === "0") app.set({ view: null });
  else if (key === "Enter") app.toNearest();
  else if (key === "Escape") app.set({ lasso: null, level: null, selection: null, selectionName: "" });
  else if (/^[abc]$/i.test(key) && app.state.row !== null) app.set({ [key.toLowerCase()]: app.state.row });
  else {
    const mode = MODES.find(([, , letter]) => letter === key.toLowerCase());
    if (!mode) return;
    app.set({ mode: mode[0] });
  }
  event.preventDefault();
}
