// Below and above the points: what the colours say, and the card of the row under the pointer.

import { levelColour } from "./colours.js";
import { button, h, inOrder, replace, s } from "./dom.js";
import { cellText, drawEvent, numberText, rampCss, standardised, textWidth } from "./event.js";
import { howOf } from "./gestures.js";
import { css, theme } from "./theme.js";

const MOST = 300; // classes that are named

// The places of the classes that are named.
const shownLevels = ({ levels }) => inOrder(levels).slice(0, MOST);

export function legend(scatter) {
  const { found, app } = scatter;
  if (found.kind === "none") return replace(scatter.legend);
  if (found.kind === "number") {
    const [low, high] = found.limits;
    const bar = h("span", { class: "rampbar" });
    bar.style.background = `linear-gradient(to right, ${[0, 0.25, 0.5, 0.75, 1].map(rampCss).join(", ")})`;
    return replace(
      scatter.legend,
      h("span", { class: "name" }, found.name),
      h("span", {}, numberText(found.column, low)),
      bar,
      h("span", {}, numberText(found.column, high)),
    );
  }
  const entries = shownLevels(found).map((i) => {
    const level = found.levels[i];
    const dot = h("span", { class: "dot" });
    dot.style.background = css(levelColour(i));
    const choose = (event) => {
      const how = howOf(event);
      if (how) app.pick({ column: found.place, level: i }, how);
      else app.toggleLevel(found.place, i);
    };
    return button([dot, h("span", {}, level === "" ? "(empty)" : level)], choose, {
      class: "level",
      title: "select these rows; Shift adds, Alt removes",
      "aria-pressed": String(app.picked(found.place, i)),
    });
  });
  const more =
    found.levels.length > MOST ? h("span", { class: "muted" }, `and ${found.levels.length - MOST} more`) : null;
  const focused = [...scatter.legend.querySelectorAll("button")].indexOf(document.activeElement);
  replace(scatter.legend, h("span", { class: "name" }, found.name), entries, more);
  entries[focused]?.focus();
}

// The same for a file, to the right of the points: {width, items}.
export function drawnLegend(scatter) {
  const { found, height } = scatter;
  if (found.kind === "none") return { width: 0, items: [] };
  const t = theme();
  const line = 17;
  const words = { "font-size": 11, "font-family": "system-ui, sans-serif", fill: t.text };
  const cut = (text) => (text.length > 22 ? `${text.slice(0, 21)}…` : text);
  const x = scatter.width + 12;
  const items = [s("text", { ...words, x, y: 16, "font-weight": 600 }, cut(found.name))];
  if (found.kind === "number") {
    const steps = 24;
    const tall = Math.min(160, height - 60);
    for (let k = 0; k < steps; k++) {
      const y = 28 + (k * tall) / steps;
      items.push(s("rect", { x, y, width: 12, height: tall / steps + 0.5, fill: rampCss(1 - k / (steps - 1)) }));
    }
    items.push(s("text", { ...words, x: x + 18, y: 37 }, numberText(found.column, found.limits[1])));
    items.push(s("text", { ...words, x: x + 18, y: 28 + tall }, numberText(found.column, found.limits[0])));
    return { width: 100, items };
  }
  const rows = Math.max(1, Math.floor((height - 30) / line));
  const shown = shownLevels(found);
  const wide = 30 + 6.5 * Math.max(...shown.map((i) => cut(found.levels[i]).length), 4);
  shown.forEach((i, k) => {
    const level = found.levels[i];
    const [cx, cy] = [x + 5 + Math.floor(k / rows) * wide, 32 + (k % rows) * line];
    items.push(s("circle", { cx, cy, r: 4.5, fill: css(levelColour(i)), stroke: t.muted, "stroke-width": 0.5 }));
    items.push(s("text", { ...words, x: cx + 10, y: cy + 4 }, level === "" ? "(empty)" : cut(level)));
  });
  const columns = Math.ceil(shown.length / rows);
  return { width: Math.max(24 + columns * wide, 36 + 6.5 * cut(found.name).length), items };
}

export async function fillCard(scatter, row) {
  const { app } = scatter;
  const [values, facts] = await Promise.all([app.model.row(row), app.factsOf(row)]);
  if (scatter.pointed !== row) return;
  const shown = facts.slice(0, 5).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]);
  if (scatter.found.kind === "number")
    shown.push([h("dt", {}, scatter.found.name), h("dd", {}, numberText(scatter.found.column, scatter.found.values[row]))]);
  const { event } = app.model;
  if (event.kind === "table") {
    const away = standardised(event, values);
    const order = Array.from(away.keys())
      .filter((i) => Number.isFinite(away[i]))
      .sort((p, q) => Math.abs(away[q]) - Math.abs(away[p]));
    for (const i of order.slice(0, 6)) shown.push([h("dt", {}, event.columns[i].name), h("dd", {}, cellText(event.columns[i], values[i]))]);
    if (order.length > 6) shown.push([h("dt", {}, `the 6 least usual of ${order.length}`), h("dd")]);
  }
  replace(scatter.card, event.kind === "table" ? null : drawEvent(event, values, { width: event.kind === "text" ? textWidth(event) : 112 }), h("dl", {}, shown));
  scatter.card.hidden = false;
}
