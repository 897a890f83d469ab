// Rows: one beside its reconstruction with the error, those reconstructed worst, and those nearest to it.

import { button, format, h, latest, replace } from "../dom.js";
import { saveButtons } from "../save.js";
import { isPhoto } from "../thumbs.js";
import {
  compare,
  compareRows,
  compareSheet,
  difference,
  heading,
  panel,
  saveStrip,
  strip,
  thumbWidth,
} from "./parts.js";

const [MANY, NAMED] = [18, 8];

export function rowsPanel(app) {
  const { model } = app;
  const pictures = h("div", { class: "compare" });
  const facts = h("dl", { class: "facts" });
  const worst = h("div", { class: "strip" });
  const near = h("div", { class: "strip" });
  const message = h("p", { class: "note", "aria-live": "polite" });
  let shown = null;
  let order = null;
  const width = isPhoto(model.event) ? 68 : thumbWidth(app);
  const angle = model.manifest.far.units.length > 2; // active units
  const scaled = model.manifest.arrays.log_var ? ", in posterior standard deviations" : "";

  const input = h("input", { type: "search", "aria-label": "row id", placeholder: "id, or a part of it", size: 16 });
  const search = h(
    "form",
    {
      class: "search",
      onsubmit: (event) => {
        event.preventDefault();
        const wanted = input.value.trim();
        const whole = model.rowOf(wanted);
        const found = whole >= 0 ? [whole] : model.rowsLike(wanted);
        const names = found.slice(0, NAMED).map((row) => model.id(row)).join(", ");
        const several = `${found.length} rows match: ${names}${found.length > NAMED ? ", ..." : ""}. The first is shown.`;
        message.textContent = found.length > 1 ? several : found.length ? "" : "None of the rows shown has this id.";
        if (found.length) app.choose(found[0]);
      },
    },
    h("label", {}, "Row ", input),
    h("button", { type: "submit" }, "Show"),
    button("Previous", () => app.choose(((app.state.row ?? 0) + model.n - 1) % model.n)),
    button("Next", () => app.choose(((app.state.row ?? -1) + 1) % model.n)),
  );

  const save = saveButtons("reconstruction", {
    svg: () => compareSheet(app, shown),
    csv: () => compareRows(app, shown),
  });

  async function worstRows() {
    if (!order) {
      const values = await app.array("log_likelihood");
      const { n } = model;
      // Among many rows, first those below the value that few are below: sorting a million would stop the page.
      const some = Array.from(
        { length: Math.min(n, 5000) },
        (_, i) => values[Math.floor((i * n) / Math.min(n, 5000))],
      ).sort((p, q) => p - q);
      const below = some[Math.min(some.length - 1, Math.ceil((some.length * 200) / n) + 20)];
      const places = [];
      for (let i = 0; i < n; i++) if (n <= 5000 || values[i] <= below) places.push(i);
      order = places
        .sort((p, q) => values[p] - values[q])
        .slice(0, MANY)
        .map((row) => ({ row, value: values[row] }));
    }
    return order;
  }

  const showRow = latest(async () => {
    const { row } = app.state;
    if (row === null) {
      replace(
        pictures,
        h("p", { class: "muted" }, "Click a point of the scatter, type a row id, or choose one of those below."),
      );
      replace(facts);
      shown = null;
    } else {
      const [real, back, known] = await Promise.all([model.row(row), model.reconstruction(row), app.factsOf(row)]);
      shown = [
        { title: "original", values: Float32Array.from(real) },
        { title: "reconstruction", values: back },
        ...(model.event.kind === "text" ? [] : [{ title: "error", values: difference(back, real), error: true }]),
      ];
      replace(pictures, compare(app, shown));
      replace(
        facts,
        known.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
      );
    }
    const found = await app.nearest(row === null ? app.state.z : model.latent(row), 12, row ?? -1, angle);
    const values = await Promise.all(found.map((one) => model.row(one.row)));
    strip(
      app,
      near,
      found.map((one, i) => ({
        values: Float32Array.from(values[i]),
        caption: `${model.id(one.row)} at ${format(angle ? 1 - one.distance : one.distance, 2)}`,
        title: `row ${model.id(one.row)}`,
        onclick: () => app.choose(one.row),
      })),
      width,
    );
  });

  const showWorst = latest(async () => {
    if (!model.manifest.arrays.log_likelihood)
      return replace(
        worst,
        h("p", { class: "muted" }, "An autoencoder has no prior, so its rows have no ELBO."),
      );
    const items = [];
    for (const { row, value } of await worstRows()) {
      const [real, back] = await Promise.all([model.row(row), model.reconstruction(row)]);
      const onclick = () => app.choose(row);
      items.push(
        {
          values: Float32Array.from(real),
          caption: model.id(row),
          label: `row ${model.id(row)}`,
          onclick,
          title: `${model.words.log_likelihood} ${format(value)} nats`,
        },
        {
          values: back,
          caption: format(value, 3),
          label: `reconstruction of row ${model.id(row)}`,
          onclick,
          title: "its reconstruction",
        },
      );
    }
    strip(app, worst, items, width, 2);
    return worst;
  });

  const element = panel(
    "Rows",
    search,
    message,
    heading(model.event.kind === "text" ? "Original and reconstruction" : "Original, reconstruction, error", save),
    pictures,
    facts,
    heading(`${angle ? "Similar rows: cosine of centred latents" : "Nearest rows in latent space, with distances"}${scaled}`, saveStrip(app, "nearest-rows", near, 12)),
    near,
    heading(`Worst reconstructions, with ${model.words.log_likelihood} in nats`, saveStrip(app, "worst-reconstructed", worst, 12)),
    worst,
  );
  return {
    id: "rows",
    title: "Rows",
    element,
    wants: ["row", "theme"],
    update: async (changed) => {
      await showRow();
      if (!changed || changed.has("theme") || !worst.made) await showWorst();
    },
  };
}
