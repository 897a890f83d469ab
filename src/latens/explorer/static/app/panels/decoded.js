// What the cross decodes to, in sight beside every panel: the mean of p(x | z), the nearest real row, how far it is.

import { format, h, latest, replace } from "../dom.js";
import { cellText, drawEvent, largest, standardised, textWidth } from "../event.js";
import { saveButtons } from "../save.js";
import { compareRows, compareSheet, difference } from "./parts.js";

const LARGE = 280; // CSS pixels of the decoded picture and of the nearest row; less where the panel is narrower
const SMALL = 96; // of their difference
const GAP = 12;
const TELLING = 6; // columns of a table that are named

// app.decoded is what is shown, [{title, values, error}]; `app.ondecoded` is told of every new one at the cross.
export function decodedBox(app) {
  const { model } = app;
  const pictures = h("div", { class: "compare" });
  const apart = h("div", { class: "apart" }); // the difference
  const meter = h("div", { class: "meter" });
  const save = saveButtons("decoded-point", {
    svg: () => compareSheet(app, app.decoded),
    csv: () => compareRows(app, app.decoded),
  });
  const element = h(
    "section",
    { class: "decoded", "aria-label": "decoded point" },
    pictures,
    h("div", { class: "rest" }, apart, h("div", { class: "words" }, meter, save)),
  );

  const show = latest(async () => {
    const z = app.hovered ?? app.state.z;
    const [decoded, [near]] = await Promise.all([app.decode(z), app.nearest(z)]);
    const real = Float32Array.from(await model.row(near.row));
    const { share, words } = app.farness(near.distance);
    app.decoded = [
      { title: `decoded${app.hovered ? " at the pointer" : ""}`, values: decoded },
      { title: `nearest row ${model.id(near.row)}`, values: real },
      ...(model.event.kind === "text" ? [] : [{ title: "difference", values: difference(decoded, real), error: true }]),
    ];
    const table = model.event.kind === "table";
    replace(pictures, table ? telling(app.decoded) : app.decoded.slice(0, 2).map(figure));
    replace(apart, table || !app.decoded[2] ? null : figure(app.decoded[2], 2));
    const bar = h("span", { class: "fill" });
    bar.style.width = `${Math.min(100, 50 * share)}%`;
    replace(
      meter,
      h(
        "span",
        {
          class: share > 1 ? "bar far" : "bar",
          role: "meter",
          "aria-label": "distance from the data",
          "aria-valuemin": 0,
          "aria-valuemax": 2,
          "aria-valuenow": Math.min(2, share).toFixed(2),
        },
        bar,
      ),
      h("span", {}, words),
    );
    if (!app.hovered) app.ondecoded();
  });

  // Two large pictures side by side, and their difference where there is room for a third one.
  function widthOf(error) {
    const room = element.clientWidth || LARGE;
    return error ? SMALL : Math.max(SMALL, Math.min(LARGE, Math.floor((room - GAP - 4) / 2)));
  }

  // The columns in which the decoded row or the nearest one lies furthest from the mean, in words.
  function telling([decoded, real]) {
    const { columns } = model.event;
    const far = [decoded, real].map(({ values }) => standardised(model.event, values));
    const size = columns.map((_, i) => Math.max(...far.map((one) => (Number.isFinite(one[i]) ? Math.abs(one[i]) : 0))));
    const most = [...size.keys()].sort((i, j) => size[j] - size[i]).slice(0, TELLING);
    const cell = ({ values }, i) => h("td", {}, cellText(columns[i], values[i]));
    const line = (i) => h("tr", {}, h("th", { scope: "row" }, columns[i].name), cell(decoded, i), cell(real, i));
    const head = ["most unusual columns", decoded.title, real.title].map((text) => h("th", { scope: "col" }, text));
    return h("table", { class: "values telling" }, h("thead", {}, h("tr", {}, head)), h("tbody", {}, most.map(line)));
  }

  function figure({ title, values, error }, i) {
    const canvas = drawEvent(model.event, values, {
      width: model.event.kind === "text" ? textWidth(model.event) : widthOf(error),
      error,
      most: error ? largest(values) : 1,
      label: title,
    });
    const caption = error ? `${title}, largest ${format(largest(values), 3)}` : title;
    return h("figure", { class: i ? null : "main" }, canvas, h("figcaption", {}, caption));
  }

  return { element, wants: ["z", "row", "label", "theme"], update: show };
}
