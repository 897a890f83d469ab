// Below and above the points: what the colours say, and the card of the row under the pointer.

import { levelColour } from "./colours.js";
import { button, format, h, replace } from "./dom.js";
import { drawEvent, rampCss, standardised } from "./event.js";
import { css } from "./theme.js";

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
      h("span", {}, format(low)),
      bar,
      h("span", {}, format(high)),
    );
  }
  const most = 30;
  const entries = found.levels.slice(0, most).map((level, i) => {
    const dot = h("span", { class: "dot" });
    dot.style.background = css(levelColour(i, found.levels));
    return button(
      [dot, h("span", {}, level === "" ? "(empty)" : level)],
      () => app.selectLevel(`c${found.place}.${i}`).catch(app.errors),
      { class: "level", title: "select these rows" },
    );
  });
  const more =
    found.levels.length > most ? h("span", { class: "muted" }, `and ${found.levels.length - most} more`) : null;
  return replace(scatter.legend, h("span", { class: "name" }, found.name), entries, more);
}

export async function fillCard(scatter, place) {
  const { app } = scatter;
  const row = app.rowAt(place);
  const [values, facts] = await Promise.all([app.model.row(row), app.factsOf(row)]);
  if (scatter.pointed !== place) return;
  const shown = facts.slice(0, 5).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]);
  if (scatter.found.kind === "number")
    shown.push([h("dt", {}, scatter.found.name), h("dd", {}, format(scatter.found.values[place]))]);
  const { event } = app.model;
  if (event.kind === "table") {
    const away = standardised(event, values);
    const order = Array.from(away.keys())
      .filter((i) => Number.isFinite(away[i]))
      .sort((p, q) => Math.abs(away[q]) - Math.abs(away[p]));
    for (const i of order.slice(0, 6)) shown.push([h("dt", {}, event.columns[i].name), h("dd", {}, format(values[i]))]);
    if (order.length > 6) shown.push([h("dt", {}, `the 6 least usual of ${order.length}`), h("dd")]);
  }
  replace(scatter.card, event.kind === "table" ? null : drawEvent(event, values, { width: 112 }), h("dl", {}, shown));
  scatter.card.hidden = false;
}
