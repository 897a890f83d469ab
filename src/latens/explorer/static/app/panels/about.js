// What was trained on what, the columns of the data, the keys, and the command that made this page.

import { count3, format, h } from "../dom.js";
import { cellText, differenceText } from "../event.js";
import { panel } from "./parts.js";

const KEYS = [
  ["arrow keys", "move the decoded point"],
  ["Shift and arrow keys", "move the view"],
  ["+ and −", "zoom"],
  ["0", "show all points"],
  ["Enter", "go to the row nearest to the decoded point"],
  ["A, B, C", "mark the selected row"],
  ["D, L, P", "drag to decode, draw a lasso, or move the view"],
  ["Escape", "clear the selection"],
];

export function aboutPanel(app) {
  const { manifest } = app.model;
  const { event } = manifest;
  const plain = Object.entries(manifest.facts).filter(([, value]) =>
    ["string", "number", "boolean"].includes(typeof value),
  );
  const facts = [
    ["recipe", manifest.recipe ?? "built by hand"],
    [
      "rows",
      manifest.rows.shown === manifest.rows.of
        ? count3(manifest.rows.of)
        : `${count3(manifest.rows.shown)} of ${count3(manifest.rows.of)}, evenly spaced`,
    ],
    ["one row", `${event.kind} of shape ${event.shape.join(" × ")}, ${event.cells}`],
    ["latent units", `${app.model.size}, of which ${app.model.units.filter((u) => u.active).length} active`],
    ["parameters", count3(manifest.parameters)],
    ["decoding", `by ${manifest.decoder.kind === "page" ? "this page" : "the server"}`],
    ["ELBO of a row", `mean over ${manifest.elbo_samples} draws`],
    ...plain.map(([name, value]) => [
      name === "rows" ? "training rows" : name.replaceAll("_", " "),
      typeof value === "number" ? format(value, 6) : String(value),
    ]),
  ];
  const list = (pairs) =>
    h(
      "dl",
      { class: "facts" },
      pairs.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
    );
  const columns = event.columns
    ? h(
        "div",
        { class: "tablebox", tabindex: 0, role: "region", "aria-label": "columns" },
        h(
          "table",
          { class: "values" },
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              ["column", "mean", "standard deviation"].map((word) => h("th", { scope: "col" }, word)),
            ),
          ),
          h(
            "tbody",
            {},
            event.columns.map((column) =>
              h(
                "tr",
                {},
                h("th", { scope: "row" }, column.name),
                h("td", {}, column.levels ? "" : cellText(column, column.shift)),
                h("td", {}, column.levels ? "" : differenceText(column, column.scale)),
              ),
            ),
          ),
        ),
      )
    : null;
  const element = panel(
    "About",
    list(facts),
    manifest.command ? [h("h3", {}, "The command"), h("pre", {}, manifest.command)] : null,
    columns
      ? [
          h("h3", {}, event.cells === "counts" ? "Columns (of log(1 + x))" : "Columns, in the units of the data"),
          columns,
        ]
      : null,
    h("h3", {}, "Keys, while the scatter has the focus"),
    list(KEYS),
  );
  return { id: "about", title: "About", element, wants: [], update: async () => {} };
}
