// Groups of rows in colours of their own: clusters, or selections that were kept; what tells each from all rows, and
// two of them side by side.

import { ask } from "../background.js";
import { CLEAR, apart, divergence, edgesOf, sharesOf } from "../clusters.js";
import { levelColour } from "../colours.js";
import { button, count3, format, h, latest, replace, select } from "../dom.js";
import { numberText } from "../event.js";
import { saveButtons } from "../save.js";
import { isPhoto } from "../thumbs.js";
import { css } from "../theme.js";
import { panel, strip, thumbWidth } from "./parts.js";

const MOST_GROUPS = 24;
const MOST_COLUMNS = 64; // columns that are looked at
const TELLING = 3; // of them that name a group
const EXAMPLES = 6; // photographs of each group
const LEAST = 0.01; // nats below which a column tells nothing


export function groupsPanel(app) {
  const { model } = app;
  const list = h("div", { class: "stack" });
  const versus = h("div", { class: "stack" });
  const how = app.unused
    ? "Select rows in the scatter and keep them as a group, to see what tells them from the others."
    : "Find clusters of the latents, or keep what is selected as a group.";
  const note = h("p", { class: "muted" }, how);
  let pair = [0, 1];
  let compared = null; // the lines of the comparison

  const columns = () =>
    model.manifest.columns
      .map((column, i) => ({ ...column, i }))
      .filter(({ role }) => !["coordinate", "weight", "split"].includes(role))
      .slice(0, MOST_COLUMNS);

  // {column, shares of all rows, of: shares of some} with bins that are the same for every group.
  async function described(column) {
    const values = await model.column(column.i);
    const levels = column.levels?.length;
    const edges = levels ? null : edgesOf(values);
    return { column, edges, all: sharesOf(values, null, levels, edges), of: (rows) => sharesOf(values, rows, levels, edges) };
  }

  function nameOf({ column, edges }, k) {
    if (column.levels) return `${column.name} = ${column.levels[k]}`;
    const at = (edge) => numberText(column, edge);
    if (k === 0) return `${column.name} below ${at(edges[0])}`;
    return k === edges.length ? `${column.name} from ${at(edges[k - 1])}` : `${column.name} ${at(edges[k - 1])} to ${at(edges[k])}`;
  }

  const photos = isPhoto(model.event);

  // A few photographs of a group, evenly spread over its rows.
  async function examples(rows) {
    const count = Math.min(EXAMPLES, rows.length);
    const some = Array.from({ length: count }, (_, i) => rows[Math.floor((i * rows.length) / count)]);
    const values = await Promise.all(some.map((row) => model.row(row)));
    const item = (row, i) => ({ values: Float32Array.from(values[i]), caption: model.id(row), onclick: () => app.choose(row) });
    return strip(app, h("div", { class: "strip" }), some.map(item), thumbWidth(app));
  }

  async function keep(groups, tab = {}) {
    app.groups = groups.slice(0, MOST_GROUPS);
    app.set({ groups: app.groups.length ? (app.state.groups ?? 0) + 1 : 0, colour: groups.length ? "groups" : app.first.colour, ...tab });
  }

  async function find() {
    const { units, weight } = app.shown.far;
    const show = () => {
      const rows = [];
      labels.forEach((c, place) => (rows[c] ??= []).push(app.rowAt(place)));
      const sorted = rows.filter(Boolean).sort((p, q) => q.length - p.length);
      keep(sorted.map((one, i) => ({ name: `cluster ${i + 1}`, rows: Uint32Array.from(one) })));
    };
    const { labels, valley } = await ask("clusters", { units, weight });
    const dense = `half-way between two of them rows lie up to ${format(valley, 2)} times as densely as within`;
    if (Number.isFinite(valley) && valley < CLEAR) {
      replace(note, `Groups: ${dense}.`);
      return show();
    }
    const why = Number.isFinite(valley) ? `${dense} (groups are clear below ${format(CLEAR, 2)})` : "there are too few rows to tell";
    replace(note, `No clear groups: ${why}. `, button("Show them all the same", show));
  }

  function keepSelection() {
    const { selection } = app.state;
    if (!selection?.length) return replace(note, "Nothing is selected. Choose Lasso (key L) and draw around some points.");
    const rows = Uint32Array.from(selection, (place) => app.rowAt(place));
    keep([...app.groups, { name: app.pickedWords() || `group ${app.groups.length + 1}`, rows }]);
  }

  const show = latest(async () => {
    const { groups } = app;
    if (!groups.length) {
      replace(list);
      replace(versus);
      return;
    }
    const about = [];
    for (const column of columns()) about.push(await described(column));
    const lines = [];
    for (const [i, { name, rows }] of groups.entries()) {
      const told = about
        .map((one) => ({ one, ...divergence(one.of(rows), one.all) }))
        .filter(({ nats }) => nats >= LEAST)
        .sort((p, q) => q.nats - p.nats)
        .slice(0, TELLING)
        .map(({ one, nats, parts }) => `${nameOf(one, parts.indexOf(Math.max(...parts)))} (${format(nats, 2)} nats)`);
      const dot = h("span", { class: "dot" });
      dot.style.background = css(levelColour(i));
      const select = () => app.setPicks([{ sign: 1, group: i }]);
      lines.push(
        h(
          "div",
          { class: "group" },
          button([dot, ` ${name}`], select, { class: "level", title: "select these rows" }),
          h("span", {}, `${count3(rows.length)} rows`),
          h("span", { class: "muted" }, told.length || photos ? told.join("; ") : "no column tells it from all rows"),
          photos ? await examples(rows) : null,
        ),
      );
    }
    replace(list, lines);
    if (groups.length < 2) return replace(versus);
    pair = pair.map((k, j) => (k < groups.length ? k : j));
    const options = groups.map(({ name }, i) => [String(i), name]);
    const choose = (j) => (value) => {
      pair[j] = Number(value);
      show();
    };
    compared = about
      .map((one) => {
        const [p, q] = pair.map((k) => one.of(groups[k].rows));
        const most = Array.from(p, (share, k) => Math.abs(share - q[k]));
        const k = most.indexOf(Math.max(...most));
        return { name: nameOf(one, k), shares: [p[k], q[k]], nats: apart(p, q) };
      })
      .sort((p, q) => q.nats - p.nats)
      .slice(0, 20);
    const cell = (share) => h("td", {}, `${format(100 * share, 3)} %`);
    const head = ["where they differ most", ...pair.map((k) => groups[k].name), "nats"];
    replace(
      versus,
      h("h3", {}, "Two groups side by side"),
      h("div", { class: "actions" }, select("first", options, String(pair[0]), choose(0)), select("second", options, String(pair[1]), choose(1)),
        saveButtons("groups", { csv: () => [head, ...compared.map(({ name, shares, nats }) => [name, ...shares, nats])] })),
      h(
        "div",
        { class: "tablebox", tabindex: 0, role: "region", "aria-label": "two groups by column" },
        h(
          "table",
          { class: "values" },
          h("thead", {}, h("tr", {}, head.map((word) => h("th", { scope: "col" }, word)))),
          h("tbody", {}, compared.map(({ name, shares, nats }) =>
            h("tr", {}, h("th", { scope: "row" }, name), shares.map(cell), h("td", {}, format(nats, 3))))),
        ),
      ),
    );
  });

  const element = panel(
    "Groups",
    h(
      "div",
      { class: "actions" },
      app.unused ? null : button("Find clusters", () => find().catch(app.errors)),
      button("Keep the selection as a group", keepSelection),
      button("Forget all", () => keep([])),
    ),
    note,
    list,
    versus,
  );
  return { id: "groups", title: "Groups", element, wants: ["groups", "step", "theme"], update: show };
}
