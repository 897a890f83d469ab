// How points are drawn: their size and opacity, contours of their density, names of classes, one scale for both axes.

import { h } from "./dom.js";

const RANGES = [
  ["size", "point size", 0.4, 3],
  ["opacity", "opacity", 0.1, 2],
];
const SWITCHES = [
  ["contours", "density contours"],
  ["names", "class names"],
  ["equal", "equal scales"],
];

export function viewOptions(app) {
  const inputs = {};
  const ranges = RANGES.map(([name, words, min, max]) => {
    const oninput = () => app.set({ [name]: Number(inputs[name].value) });
    inputs[name] = h("input", { type: "range", min, max, step: 0.1, oninput });
    return h("label", {}, words, inputs[name]);
  });
  const switches = SWITCHES.map(([name, words]) => {
    const onchange = () => app.set({ [name]: inputs[name].checked });
    inputs[name] = h("input", { type: "checkbox", onchange });
    return h("label", {}, inputs[name], words);
  });
  const sync = () => {
    for (const [name] of RANGES) inputs[name].value = app.state[name];
    for (const [name] of SWITCHES) inputs[name].checked = app.state[name];
  };
  sync();
  app.on(sync);
  return h("details", { class: "options" }, h("summary", {}, "Points and contours"), h("div", {}, ranges, switches));
}
