// Pieces that several panels are made of.

import { button, format, h, replace } from "../dom.js";
import { cellText, differenceText, drawEvent, largest, textOf, textWidth } from "../event.js";
import { saveButtons, sheet } from "../save.js";

export const panel = (title, ...children) =>
  h("section", { class: "panel", "aria-label": title }, h("h2", {}, title), children);

export const heading = (title, save) =>
  h("div", { class: "heading" }, title ? h("h3", {}, title) : h("span", {}), save);

// A name that a line may break behind its folders and words, and before its ending, not within it.
export function wrapped(text) {
  const pieces = text.split(/(?=\.[A-Za-z])|(?<=[_/])/);
  return pieces.flatMap((piece, i) => (i ? [h("wbr"), piece] : [piece]));
}

// Pictures side by side, each a button. items: [{values, caption, onclick, error, most, z}]
// `together` of them stand side by side wherever the line breaks.
export function strip(app, element, items, width, together = 1) {
  const made = items.map((item) => {
    const canvas = drawEvent(app.model.event, item.values, {
      width,
      error: item.error,
      most: item.most,
      label: item.label ?? item.caption,
    });
    const inside = [canvas, h("span", { class: "caption" }, wrapped(item.caption ?? ""))];
    const shown = item.onclick
      ? button(inside, item.onclick, { class: "thumb", title: item.title ?? "" })
      : h("div", { class: "thumb" }, inside);
    return { canvas, caption: item.caption ?? "", shown };
  });
  const groups = [];
  made.forEach(({ shown }, i) => (i % together ? groups.at(-1).push(shown) : groups.push([shown])));
  replace(element, together === 1 ? groups : groups.map((group) => h("div", { class: "together" }, group)));
  element.made = made;
  element.items = items;
  return element;
}

// The buttons that save a strip: its pictures, and as CSV a line for each with its caption and cells.
export function saveStrip(app, name, element, columns) {
  return saveButtons(name, {
    svg: () => (element.made?.length ? sheet(element.made, columns) : null),
    csv: () => {
      if (!element.items?.length) return null;
      const { event } = app.model;
      if (event.kind === "text")
        return [["caption", "text"], ...element.items.map((item) => [item.caption ?? "", textOf(event, item.values)])];
      return [
        ["caption", ...cellNames(app.model)],
        ...element.items.map((item) => [item.caption ?? "", ...item.values]),
      ];
    },
  });
}

export function cellNames(model) {
  const { columns } = model.event;
  return columns ? columns.map((column) => column.name) : Array.from({ length: model.cells }, (_, i) => `x${i}`);
}

export const cut = (values, index, cells) => values.subarray(index * cells, (index + 1) * cells);

// A row beside what a decoder makes of it: pictures, or a table with a line for each column.
export function compare(app, columns) {
  const { event } = app.model;
  if (event.kind !== "table") {
    return columns.map(({ title, values, error }) =>
      h(
        "figure",
        {},
        drawEvent(event, values, {
          width: event.kind === "text" ? textWidth(event) : event.kind === "curve" ? 180 : 132,
          error,
          most: error ? largest(values) : 1,
          label: title,
        }),
        h("figcaption", {}, error ? `${title}, largest ${format(largest(values), 3)}` : title),
      ),
    );
  }
  const head = h(
    "tr",
    {},
    h("th", { scope: "col" }, "column"),
    columns.map(({ title }) => h("th", { scope: "col" }, title)),
  );
  const lines = event.columns.map((column, i) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, column.name),
      columns.map(({ values, error }) =>
        h(
          "td",
          {
            title: column.levels
              ? null
              : error
                ? `${format(values[i] / column.scale, 3)} standard deviations`
                : `${format((values[i] - column.shift) / column.scale, 3)} standard deviations from the mean`,
          },
          error ? differenceText(column, values[i]) : cellText(column, values[i]),
        ),
      ),
    ),
  );
  return [
    h(
      "div",
      { class: "tablebox", tabindex: 0, role: "region", "aria-label": "values by column" },
      h("table", { class: "values" }, h("thead", {}, head), h("tbody", {}, lines)),
    ),
  ];
}

const sheetWidth = (app) => (app.model.event.kind === "text" ? textWidth(app.model.event) : 180);

// The same as pictures side by side, for a file.
export function compareSheet(app, columns) {
  if (!columns) return null;
  return sheet(
    columns.map(({ title, values, error }) => ({
      canvas: drawEvent(app.model.event, values, { width: sheetWidth(app), error, most: error ? largest(values) : 1 }),
      caption: title,
    })),
  );
}

// A line for each cell, a column for each of them.
export function compareRows(app, columns) {
  if (!columns) return null;
  const { event } = app.model;
  if (event.kind === "text") return [["row", "text"], ...columns.map((one) => [one.title, textOf(event, one.values)])];
  return [
    ["column", ...columns.map(({ title }) => title)],
    ...cellNames(app.model).map((name, i) => [
      name,
      ...columns.map(({ values, error }) => {
        const column = app.model.event.columns?.[i];
        return !column?.kind ? values[i] : error ? differenceText(column, values[i]) : cellText(column, values[i]);
      }),
    ]),
  ];
}

export function thumbWidth(app) {
  const { event } = app.model;
  if (event.kind === "text") return Math.min(textWidth(event), 150);
  return event.kind === "curve" ? 72 : 46;
}

export function difference(a, b) {
  return Float32Array.from(a, (v, i) => v - b[i]);
}
