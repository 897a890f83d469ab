// The decoded point: where it goes, and a slider for each unit.

import { button, fixed, h, replace, select } from "../dom.js";
import { isPhoto } from "../thumbs.js";
import { compare, panel } from "./parts.js";

const [OPEN, FIRST] = [24, 8]; // sliders that all stand open, and the first ones where there are more

export function pointPanel(app) {
  const { model } = app;
  const table = h("div", {});
  const sliders = h("div", { class: "sliders" });
  const actions = h("div", { class: "actions" });
  let inputs = [];
  // What changes a photograph most comes first, and the number of a unit says nothing of it.
  const photos = isPhoto(model.event);
  const nameOf = (unit) => (photos ? `direction ${model.order.indexOf(unit) + 1}` : `unit ${unit}`);

  const short = { "KL (nats)": "KL", spread: "spread" }[model.measure] ?? "SNR";

  function slider(unit) {
    const { low, high } = model.units[unit];
    const { active } = model.units[unit];
    const wide = Math.max(high - low, 1e-6) * 0.25;
    const range = model.manifest.arrays.prior && !active ? [-3, 3] : [low - wide, high + wide];
    const value = h("output", {});
    const input = h("input", {
      type: "range",
      min: range[0],
      max: range[1],
      step: (range[1] - range[0]) / 200,
      "aria-label": nameOf(unit),
      oninput: () => {
        const z = Float32Array.from(app.state.z);
        z[unit] = Number(input.value);
        app.set({ z });
      },
    });
    inputs.push({ unit, input, value });
    return h(
      "label",
      { class: active ? "unit" : "unit dead" },
      h("span", { class: "name" }, nameOf(unit)),
      h("span", { class: "kl" }, `${short} ${fixed(model.weightOf(unit))}`),
      input,
      value,
    );
  }

  function rebuild() {
    inputs = [];
    const alive = model.order.filter((unit) => model.units[unit].active);
    const dead = model.order.filter((unit) => !model.units[unit].active);
    const words = `${dead.length} unused ${photos ? "direction" : "unit"}${dead.length > 1 ? "s" : ""}`;
    const rest = dead.length
      ? h("details", { open: alive.length === 0 }, h("summary", {}, words), dead.map(slider))
      : null;
    const more = alive.length > OPEN
      ? h("details", {}, h("summary", {}, `${alive.length - FIRST} further ${photos ? "directions" : "units"}`), alive.slice(FIRST).map(slider))
      : null;
    replace(sliders, alive.slice(0, more ? FIRST : OPEN).map(slider), more, rest);
  }
  rebuild();
  const classes = model.manifest.conditional
    ? select(
        "class",
        model.manifest.classes.map((name, i) => [String(i), name]),
        String(app.state.label),
        (code) => app.set({ label: Number(code) }),
      )
    : null;
  replace(
    actions,
    button("Go to the nearest row", () => app.toNearest(), { title: "key Enter" }),
    button("Mean of the rows", () => app.set({ z: Float32Array.from(model.units, (u) => u.mean) })),
    classes,
  );

  // Of a table, column by column; pictures and curves are above, beside every panel.
  app.ondecoded = () => {
    if (model.event.kind === "table") replace(table, compare(app, app.decoded));
  };

  function sync() {
    for (const { unit, input, value } of inputs) {
      input.value = app.state.z[unit];
      value.textContent = app.state.z[unit].toFixed(2).replace("-", "−");
    }
    if (classes) classes.querySelector("select").value = String(app.state.label);
  }

  const element = panel(
    "The decoded point",
    actions,
    table,
    h("h3", {}, `${photos ? "Directions in which the model changes a photograph" : "Latent units"}, by ${model.measure}`),
    sliders,
  );
  return {
    id: "point",
    title: "Point",
    element,
    wants: ["z", "label"],
    update: async (changed) => {
      sync();
    },
  };
}
