// What a pointer, fingers and keys do on the scatter.

import { thinned } from "./permalink.js";

export const MODES = [
  ["decode", "Decode", "d"],
  ["lasso", "Lasso", "l"],
  ["pan", "Move", "p"],
];
const GRIP = 28; // pixels from the cross within which a finger takes hold of it

function at(scatter, event) {
  const box = scatter.stage.getBoundingClientRect();
  return [event.clientX - box.left - scatter.stage.clientLeft, event.clientY - box.top - scatter.stage.clientTop];
}

// Shift adds to what is selected, Alt takes out of it.
export const howOf = (event) => (event.altKey ? "remove" : event.shiftKey ? "add" : "");

function onCross(scatter, [px, py]) {
  const cross = scatter.pointer();
  return cross !== null && Math.hypot(scatter.px(cross[0]) - px, scatter.py(cross[1]) - py) < GRIP;
}

export function listen(scatter) {
  const { stage, app } = scatter;
  const down = new Map(); // the pointers that are down, and where
  let from = null;
  let moved = false;
  let held = false; // a finger began on the cross
  let pinch = null;

  function grip() {
    const [[ax, ay], [bx, by]] = [...down.values()];
    return { middle: [(ax + bx) / 2, (ay + by) / 2], apart: Math.max(1, Math.hypot(ax - bx, ay - by)) };
  }

  // A finger that swipes down the page shall scroll it (`touch-action: pan-y`); what is meant for the points shall not.
  stage.addEventListener(
    "touchstart",
    (event) => {
      const onIt = scatter.view && onCross(scatter, at(scatter, event.touches[0]));
      if (event.touches.length > 1 || app.state.mode !== "decode" || onIt) event.preventDefault();
    },
    { passive: false },
  );
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !scatter.view) return;
    stage.setPointerCapture(event.pointerId);
    stage.focus({ preventScroll: true });
    down.set(event.pointerId, at(scatter, event));
    scatter.card.hidden = true;
    scatter.start = [...scatter.view];
    if (down.size === 2) {
      [from, scatter.drawing, pinch] = [null, null, grip()];
      return;
    }
    from = at(scatter, event);
    moved = false;
    held = onCross(scatter, from);
    if (app.state.mode === "lasso") scatter.drawing = [[scatter.fromX(from[0]), scatter.fromY(from[1])]];
  });
  stage.addEventListener("pointermove", (event) => {
    if (!scatter.view) return;
    const [px, py] = at(scatter, event);
    if (!down.has(event.pointerId)) return scatter.hover(px, py);
    down.set(event.pointerId, [px, py]);
    if (pinch && down.size === 2) {
      const now = grip();
      const [x0, x1, y0, y1] = scatter.start;
      const factor = scatter.bounded(pinch.apart / now.apart, scatter.start);
      const x = x0 + (pinch.middle[0] / scatter.width) * (x1 - x0);
      const y = y0 + (1 - pinch.middle[1] / scatter.height) * (y1 - y0);
      const [wide, tall] = [(x1 - x0) * factor, (y1 - y0) * factor];
      const left = x - (now.middle[0] / scatter.width) * wide;
      const below = y - (1 - now.middle[1] / scatter.height) * tall;
      scatter.look([left, left + wide, below, below + tall]);
      return;
    }
    if (!from) return;
    const [dx, dy] = [px - from[0], py - from[1]];
    if (!moved) {
      // A finger decodes once it goes across; going down it scrolls, which the browser is about to say.
      const finger = event.pointerType === "touch";
      const meant = !finger || held || app.state.mode !== "decode" || Math.abs(dx) > Math.abs(dy);
      moved = meant && Math.hypot(dx, dy) > (finger ? 10 : 4);
    }
    if (!moved) return;
    if (app.state.mode === "decode") decodeAt(scatter, px, py);
    else if (app.state.mode === "lasso") {
      scatter.drawing.push([scatter.fromX(px), scatter.fromY(py)]);
      scatter.redraw(true);
    } else {
      const [x0, x1, y0, y1] = scatter.start;
      const [across, up] = [(dx / scatter.width) * (x1 - x0), (dy / scatter.height) * (y1 - y0)];
      scatter.look([x0 - across, x1 - across, y0 + up, y1 + up]);
    }
  });
  stage.addEventListener("pointerup", (event) => {
    if (!down.delete(event.pointerId)) return;
    if (pinch) {
      if (!down.size) pinch = null;
      return;
    }
    if (!from) return;
    const [px, py] = at(scatter, event);
    from = null;
    const { drawing } = scatter;
    scatter.drawing = null;
    if (!moved) {
      const place = scatter.under(px, py);
      if (place >= 0) app.choose(place);
      else if (app.state.mode === "decode") decodeAt(scatter, px, py);
    } else if (app.state.mode === "lasso" && drawing) {
      const { x, y } = app.state;
      app.pick({ x, y, polygon: thinned(drawing) }, howOf(event));
      return; // it is drawn as it is, until its rows are found
    }
    scatter.redraw();
  });
  stage.addEventListener("pointercancel", (event) => {
    down.delete(event.pointerId);
    [from, pinch, scatter.drawing] = [null, down.size ? pinch : null, null];
    scatter.redraw();
  });
  stage.addEventListener("pointerleave", () => {
    scatter.card.hidden = true;
    app.hover(null);
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
  if (!z) scatter.note.textContent = "These axes are not latents. Click a point, or choose latent units as axes to decode any point.";
  else {
    scatter.hint = false;
    scatter.app.hovered = null;
    scatter.app.set({ z });
  }
}

function onKey(scatter, event) {
  const { app } = scatter;
  if (event.ctrlKey || event.metaKey || event.altKey || !scatter.view) return;
  const { key } = event;
  const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[key];
  const [x0, x1, y0, y1] = scatter.view;
  if (arrow && event.shiftKey) {
    const [dx, dy] = [arrow[0] * 0.1 * (x1 - x0), arrow[1] * 0.1 * (y1 - y0)];
    scatter.look([x0 + dx, x1 + dx, y0 + dy, y1 + dy]);
  } else if (arrow) {
    const now = scatter.pointer();
    const z = now && scatter.moved(now[0] + arrow[0] * 0.02 * (x1 - x0), now[1] + arrow[1] * 0.02 * (y1 - y0));
    if (z) app.set({ z });
  } else if (key === "+" || key === "=") scatter.zoom(0.8);
  else if (key === "-") scatter.zoom(1.25);
  else if (key === "0") scatter.showAll();
  else if (key === "Enter") app.toNearest();
  else if (key === "Escape") app.clear();
  else if (/^[abc]$/i.test(key) && app.state.row !== null) app.set({ [key.toLowerCase()]: app.state.row });
  else {
    const mode = MODES.find(([, , letter]) => letter === key.toLowerCase());
    if (!mode) return;
    app.set({ mode: mode[0] });
  }
  event.preventDefault();
}
