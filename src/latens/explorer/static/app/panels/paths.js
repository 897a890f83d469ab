// Through latent space: from A to B, also through other rows, A minus B plus C, and along each unit.

import { button, format, h, latest, replace, select } from "../dom.js";
import { path, traversal } from "../geometry.js";
import { cut, heading, panel, saveStrip, strip, thumbWidth } from "./parts.js";

const STEPS = 9;
const MOST_STOPS = 12; // rows that a path goes through
const MOST_LINES = 12;

export function pathsPanel(app) {
  const { model } = app;
  const ends = h("div", { class: "ends" });
  const stops = h("p", { class: "stops" });
  const between = h("div", { class: "strip" });
  const sum = h("div", { class: "strip" });
  const lines = h("div", { class: "traversals" });
  const all = h("div", {});

  function endField(word) {
    const name = word.toLowerCase();
    const row = app.state[name];
    const input = h("input", {
      type: "text",
      value: row === null ? "" : model.id(row),
      size: 8,
      "aria-label": `row ${word}`,
      placeholder: "row id",
      onchange: () => {
        const found = input.value.trim() === "" ? null : model.rowOf(input.value.trim());
        if (found === -1) {
          input.setCustomValidity("There is no such row.");
          input.reportValidity();
          return;
        }
        input.setCustomValidity("");
        app.set({ [name]: found });
      },
    });
    return h(
      "div",
      { class: "end" },
      h("strong", {}, word),
      input,
      button("Selected row", () => app.state.row !== null && app.set({ [name]: app.state.row }), {
        title: `key ${word}, on the scatter`,
      }),
      button("Any", () => app.set({ [name]: Math.floor(Math.random() * model.n) })),
    );
  }

  function buildEnds() {
    replace(
      ends,
      ["A", "B", "C"].map(endField),
      select(
        "path",
        [
          ["linear", "straight"],
          ["spherical", "spherical"],
        ],
        app.state.path,
        (kind) => app.set({ path: kind }),
      ),
    );
  }

  // The rows that the path goes through, each with a button that leaves it out.
  function buildStops() {
    const { via, row } = app.state;
    const drop = (k) => app.set({ via: via.filter((_, i) => i !== k) });
    replace(
      stops,
      "Through: ",
      via.map((stop, k) => [
        button(`${k + 1}: ${model.id(stop)} ×`, () => drop(k), { "aria-label": `remove stop ${k + 1}, ${model.id(stop)}` }),
        " ",
      ]),
      button("Add the selected row", () => row !== null && app.set({ via: [...via, row] }), {
        disabled: row === null || via.length >= MOST_STOPS,
      }),
    );
  }

  // Latents along a path through rows, as many between any two of them, with what stands under each.
  function through(rows) {
    const steps = rows.length > 2 ? Math.max(3, Math.ceil(STEPS / (rows.length - 1))) : STEPS;
    const [latents, captions] = [[], []];
    rows.slice(1).forEach((row, leg) => {
      const part = path(model.latent(rows[leg]), model.latent(row), steps, app.state.path);
      for (let i = leg ? 1 : 0; i < steps; i++) {
        latents.push(cut(part, i, model.size));
        const from = leg ? String(leg) : "A";
        const to = leg + 2 < rows.length ? String(leg + 1) : "B";
        captions.push(i === 0 ? from : i === steps - 1 ? to : format((leg + i / (steps - 1)) / (rows.length - 1), 2));
      }
    });
    return { latents, captions };
  }

  const width = thumbWidth(app);
  const go = (z) => () => app.set({ z: Float32Array.from(z) });

  const show = latest(async () => {
    const { a, b, c, via, z } = app.state;
    buildEnds();
    buildStops();
    if (a !== null && b !== null) {
      const { latents, captions } = through([a, ...via, b]);
      const decoded = await app.decode(Float32Array.from(latents.flatMap((one) => [...one])), latents.length);
      strip(
        app,
        between,
        latents.map((one, i) => ({
          values: cut(decoded, i, model.cells),
          caption: captions[i],
          onclick: go(one),
          title: "go there",
        })),
        width,
      );
    } else {
      replace(
        between,
        h(
          "p",
          { class: "muted" },
          "Choose rows A and B: click a point, then press A or B on the scatter, or type their ids.",
        ),
      );
      between.made = between.items = null;
    }
    if (a !== null && b !== null && c !== null) {
      const [la, lb, lc] = [a, b, c].map((row) => model.latent(row));
      const result = la.map((v, i) => v - lb[i] + lc[i]);
      const decoded = await app.decode(Float32Array.from([...la, ...lb, ...lc, ...result]), 4);
      strip(
        app,
        sum,
        ["A", "− B", "+ C", "="].map((caption, i) => ({
          values: cut(decoded, i, model.cells),
          caption,
          onclick: go([la, lb, lc, result][i]),
          title: "go there",
        })),
        width * 1.5,
      );
    } else {
      replace(sum, h("p", { class: "muted" }, "Choose A, B and C."));
      sum.made = sum.items = null;
    }
    const units = model.order.slice(0, MOST_LINES);
    const steps = 9;
    const items = [];
    const rows = [];
    for (const unit of units) {
      const { low, high } = model.units[unit];
      const latents = traversal(z, unit, low, high, steps);
      const decoded = await app.decode(latents, steps);
      const these = Array.from({ length: steps }, (_, i) => ({
        values: cut(decoded, i, model.cells),
        caption: `${format(low + ((high - low) * i) / (steps - 1), 2)}`,
        label: `unit ${unit} at ${format(low + ((high - low) * i) / (steps - 1), 3)}`,
        onclick: go(cut(latents, i, model.size)),
        title: "go there",
      }));
      const line = strip(app, h("div", { class: "strip tight" }), these, width);
      items.push(...these.map((item) => ({ ...item, caption: item.label })));
      rows.push({ unit, line });
    }
    replace(
      lines,
      rows.map(({ unit, line }) =>
        h(
          "div",
          { class: model.units[unit].active ? "line" : "line dead" },
          h("span", { class: "name" }, `unit ${unit}`),
          line,
        ),
      ),
    );
    all.items = items;
    all.made = rows.flatMap(({ unit, line }) =>
      line.made.map((one) => ({ canvas: one.canvas, caption: `u${unit} ${one.caption}` })),
    );
  });

  const element = panel(
    "Paths",
    ends,
    heading("From A to B", saveStrip(app, "a-to-b", between, STEPS)),
    stops,
    between,
    heading("A − B + C", saveStrip(app, "arithmetic", sum, 4)),
    sum,
    heading("Along each unit, from the decoded point", saveStrip(app, "traversals", all, 9)),
    lines,
  );
  return {
    id: "paths",
    title: "Paths",
    element,
    wants: ["z", "a", "b", "c", "via", "row", "path", "label", "theme"],
    update: show,
  };
}
