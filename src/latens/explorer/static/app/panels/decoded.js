// What the cross decodes to, in sight beside every panel: the mean of p(x | z), the nearest real row, how far it is.

import { format, h, latest, replace } from "../dom.js";
import { drawEvent, largest, textWidth } from "../event.js";
import { saveButtons } from "../save.js";
import { compareRows, compareSheet, difference } from "./parts.js";

const WIDTH = { image: 112, curve: 150, table: 96 };

// app.decoded is what is shown, [{title, values, error}]; `app.ondecoded` is told of every new one at the cross.
export function decodedBox(app) {
  const { model } = app;
  const pictures = h("div", { class: "compare" });
  const meter = h("div", { class: "meter" });
  const save = saveButtons("decoded-point", {
    svg: () => compareSheet(app, app.decoded),
    csv: () => compareRows(app, app.decoded),
  });
  const element = h(
    "section",
    { class: "decoded", "aria-label": "what the cross decodes to" },
    pictures,
    meter,
    h("div", { class: "words" }, save),
  );

  const show = latest(async () => {
    const z = app.hovered ?? app.state.z;
    const [decoded, [near]] = await Promise.all([app.decode(z), app.nearest(z)]);
    const real = Float32Array.from(await model.row(near.row));
    const { share, words } = app.farness(near.distance);
    app.decoded = [
      { title: app.hovered ? "decoded at the pointer" : "decoded", values: decoded },
      { title: `nearest row ${model.id(near.row)}`, values: real },
      ...(model.event.kind === "text" ? [] : [{ title: "difference", values: difference(decoded, real), error: true }]),
    ];
    replace(pictures, app.decoded.map((one, i) => figure(one, i)));
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

  function figure({ title, values, error }, i) {
    const { kind } = model.event;
    const canvas = drawEvent(model.event, values, {
      width: WIDTH[kind] ?? textWidth(model.event),
      error,
      most: error ? largest(values) : 1,
      label: title,
    });
    const caption = error ? `${title}, largest ${format(largest(values), 3)}` : title;
    return h("figure", { class: i ? null : "main" }, canvas, h("figcaption", {}, caption));
  }

  return { element, wants: ["z", "label", "step", "theme"], update: show };
}
