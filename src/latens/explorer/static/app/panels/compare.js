// Each value of one column side by side: what another column then is, by the model and in the rows that are so.

import { inRows, isFar, rowsAlike, sureText } from "../alike.js";
import { button, count3, fixed as decimals, format, h, inOrder, replace, s, select } from "../dom.js";
import { saveButtons } from "../save.js";
import { theme } from "../theme.js";

const MOST_LINES = 12; // names that are compared, the most frequent ones
const STEPS = 7; // values of a number that are compared
const [WIDE, TALL] = [220, 22];

// Which columns can be compared with: any but the column itself and those that are fixed.
const partners = (columns, place, fixed) =>
  columns.map((column, k) => ({ column, k })).filter(({ column, k }) => k !== place && !fixed.has(k) && lines(column).length > 1);

// The values of a column that are compared: {value, name}.
export function lines(column) {
  if (column.levels) {
    const often = [...column.levels.keys()].sort((a, b) => column.training[b] - column.training[a] || a - b).slice(0, MOST_LINES);
    const kept = new Set(often);
    return inOrder(column.levels).filter((k) => kept.has(k)).map((k) => ({ value: k, name: column.levels[k] || "(empty)" }));
  }
  if (!column.choices.length) return [];
  const few = column.choices.length <= MOST_LINES;
  // The slider goes through percentiles; of many the values that stand equally far from each other say more.
  const chosen = few ? column.choices : evenly(column.choices, column.input === "number");
  return chosen.map((value) => ({ value, name: value }));
}

// Of sorted choices those nearest to steps of one width between the 5th percentile and the 95th one.
function evenly(choices, numbers) {
  const inner = choices.slice(Math.floor(0.05 * choices.length), Math.ceil(0.95 * choices.length));
  const at = (k) => {
    if (!numbers) return inner[Math.round((k * (inner.length - 1)) / (STEPS - 1))];
    const [low, high] = [Number(inner[0]), Number(inner.at(-1))];
    const wanted = low + ((high - low) * k) / (STEPS - 1);
    return inner.reduce((best, one) => (Math.abs(one - wanted) < Math.abs(best - wanted) ? one : best));
  };
  return [...new Set(Array.from({ length: STEPS }, (_, k) => at(k)))];
}

// What the model says, with as many decimals as the width of the chart asks for.
function aboutOf(column, value, [low, high]) {
  if (column.levels) return `${decimals(100 * value, high < 0.1 ? 1 : 0)} %`;
  return high > low ? decimals(value, Math.min(6, Math.max(0, 2 - Math.floor(Math.log10(high - low))))) : format(value);
}

// One line of the chart: the model's dot, and the mean of the rows with two standard errors to each side.
function dots(found, [low, high]) {
  const t = theme();
  const x = (v) => 6 + ((v - low) / (high - low || 1)) * (WIDE - 12);
  const svg = s("svg", { width: WIDE, height: TALL, viewBox: `0 0 ${WIDE} ${TALL}`, "aria-hidden": "true" });
  svg.append(s("line", { x1: 6, x2: WIDE - 6, y1: TALL / 2, y2: TALL / 2, stroke: t.grid }));
  if (found.rows) {
    const { value, error } = found.rows;
    const ends = [value - 2 * error, value + 2 * error].map((v) => x(Math.min(Math.max(v, low), high)));
    svg.append(s("line", { x1: ends[0], x2: ends[1], y1: TALL / 2, y2: TALL / 2, stroke: t.muted, "stroke-width": 2 }));
    svg.append(s("circle", { cx: x(value), cy: TALL / 2, r: 4, fill: t.background, stroke: t.muted, "stroke-width": 2 }));
  }
  svg.append(s("circle", { cx: x(found.said), cy: TALL / 2, r: 4, fill: t.first }));
  return svg;
}

// The comparison below a line of What if: `place` is the column that is asked about, `closed` puts it away.
// `as` holds the column and the name that were compared before.
export function comparison(app, columns, place, closed, as = {}) {
  const column = columns[place];
  const body = h("div", { "aria-live": "polite" });
  const state = { by: null, level: as.level ?? null, found: [], asked: 0 };

  const level = () => state.level ?? column.training.indexOf(Math.max(...column.training));

  async function line({ value, name }) {
    const given = [...app.state.given, { column: state.by, value }];
    const told = await askGiven({ given: given.map((one) => [one.column, one.value]) });
    const one = told.columns.find((other) => other.column === place);
    const alike = await rowsAlike(app.model, columns, given);
    const said = column.levels ? one.shares[level()] : one.mean;
    const rows = alike && (await inRows(app.model, column, place, alike, level()));
    return { value, name, said, rows, near: alike?.near ?? false, number: alike?.rows.length ?? null };
  }

  function range() {
    const ends = (rows) => [rows.value - 2 * rows.error, rows.value + 2 * rows.error];
    const values = state.found.flatMap(({ said, rows }) => [said, ...(rows ? ends(rows) : [])]);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return column.levels ? [0, Math.min(Math.max(high, 0.01), 1)] : [low, high];
  }

  const heads = (ends) => [
    columns[state.by].name,
    h("span", { class: "ends" }, ends.map((end) => h("span", {}, aboutOf(column, end, ends)))),
    column.levels ? "model: share" : "model: mean",
    state.found.some((one) => one.rows) ? "rows ± standard error" : "",
    state.found.some((one) => one.number !== null) ? "number of rows" : "",
  ];

  function draw() {
    const ends = range();
    const far = state.found.some((one) => one.rows && isFar(one.rows, one.said));
    const near = state.found.some((one) => one.near);
    const rows = state.found.map((one) =>
      h("tr", {}, h("th", { scope: "row" }, one.name), h("td", {}, dots(one, ends)), h("td", { class: "number" }, aboutOf(column, one.said, ends)),
        h("td", { class: "number" }, one.rows ? `${sureText(column, one.rows)}${isFar(one.rows, one.said) ? " *" : ""}` : ""),
        h("td", { class: "number" }, one.number === null ? "" : count3(one.number) + (one.near ? " near" : ""))));
    const notes = [
      state.found.some((one) => one.rows) && "Dot: prediction of the model. Ring: matching rows, ± 2 standard errors.",
      near && "Similar rows: numbers within 5 % of their range.",
      far && "* The model differs significantly from the rows. These rows may also differ in other columns.",
      columns[state.by].levels?.length > MOST_LINES && `The ${MOST_LINES} most frequent of ${columns[state.by].levels.length} categories.`,
    ];
    replace(body,
      h("table", { class: "says" }, h("thead", {}, h("tr", {}, heads(ends).map((head) => h("th", { scope: "col" }, head)))), h("tbody", {}, rows)),
      h("p", { class: "muted" }, notes.filter(Boolean).join(" ")));
  }

  // Groups are compared first.
  async function begin() {
    const groups = others.filter(({ column: one }) => (one.levels ?? one.choices).length <= MOST_LINES);
    state.by = others.some(({ k }) => k === as.by) ? as.by : (groups[0] ?? others[0]).k;
    by.querySelector("select").value = state.by;
    await show();
  }

  async function show() {
    const asked = ++state.asked;
    const wanted = lines(columns[state.by]);
    replace(body, h("p", { class: "note", role: "status" }, `Computing the prediction for each value of ${columns[state.by].name} ...`));
    const found = [];
    try {
      for (const one of wanted) {
        found.push(await line(one));
        if (asked !== state.asked) return;
      }
    } catch (error) {
      if (asked === state.asked) replace(body, h("p", { class: "note", role: "status" }, error.message));
      return;
    }
    state.found = found;
    draw();
  }

  const table = () => [
    [columns[state.by].name, "model", "rows", "standard error", "number of rows"],
    ...state.found.map(({ name, said, rows, number }) => [name, said, rows?.value ?? "", rows?.error ?? "", number ?? ""]),
  ];

  function picture() {
    if (!state.found.length) return null;
    const [left, ends, t] = [140, range(), theme()];
    const [width, height] = [left + WIDE + 170, 34 + TALL * state.found.length];
    const svg = s("svg", { width, height, viewBox: `0 0 ${width} ${height}` });
    const text = (x, y, words, more) => s("text", { x, y, "font-size": 11, "font-family": "system-ui, sans-serif", fill: t.text, ...more }, words);
    svg.append(s("rect", { width, height, fill: t.background }), text(8, 16, `${title()} by ${columns[state.by].name}`, { "font-size": 12 }));
    state.found.forEach((one, k) => {
      const y = 26 + TALL * k;
      const bars = dots(one, ends);
      bars.setAttribute("x", left);
      bars.setAttribute("y", y);
      const own = aboutOf(column, one.said, ends);
      const beside = one.rows ? `${own} (rows ${sureText(column, one.rows)})` : own;
      svg.append(text(left - 8, y + 15, one.name, { "text-anchor": "end" }), bars, text(left + WIDE + 8, y + 15, beside));
    });
    return svg;
  }

  const title = () => (column.levels ? `Share of ${column.name} ${column.levels[level()]}` : `Mean of ${column.name}`);
  const heading = h("h3", {}, title());
  const others = partners(columns, place, new Set(app.state.given.map((one) => one.column)));
  if (!others.length) {
    const none = h("p", { class: "note" }, "There is no other column to compare with.");
    return { state, element: h("div", {}, none, button("Close", closed)) };
  }
  const by = select("by", others.map(({ column: one, k }) => [k, one.name]), "", (value) => {
    state.by = Number(value);
    show();
  });
  const which = column.levels
    ? select("of", column.levels.map((name, k) => [k, name || "(empty)"]), level(), (value) => {
        state.level = Number(value);
        heading.textContent = title();
        show();
      })
    : null;
  begin();
  const save = saveButtons("comparison", { svg: picture, csv: () => (state.found.length ? table() : null) });
  const actions = h("div", { class: "actions" }, which, by, h("span", { class: "grow" }), save);
  return { state, element: h("div", { class: "comparison" }, heading, actions, body, button("Close", closed)) };
}
