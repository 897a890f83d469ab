// What if: the values of some columns of a table are fixed, and every other column shows what it then may be; or some
// cells of a row are changed, and the others show what that changes.

import { button, count3, format, freshId, h, latest, replace, s } from "../dom.js";
import { alikeText, besideText, MOST_NAMED, rowsAlike, SELDOM } from "../alike.js";
import { namesUnder } from "../names.js";
import { saveButtons } from "../save.js";
import { askGiven } from "../server.js";
import { theme } from "../theme.js";
import { comparison } from "./compare.js";
import { panel } from "./parts.js";

const [WIDE, TALL] = [210, 40];
const MOST_WORDS = 3; // names that are said beside more bars than a few
const NEARLY = 0.95;
const FEW = 100; // effective draws below which the numbers are rough
const percent = (p) => (p > 0 && p < 1e-4 ? "less than 0.01 %" : `${format(100 * p, p < 0.1 ? 2 : 3)} %`);

const named = (column) => Boolean(column.levels) && column.levels.length <= MOST_NAMED;

// How far a column moved: from what the row had before, or half the sum of the differences from the training rows.
const moved = (column, { shares, moved: said }) =>
  said ?? shares.reduce((sum, share, k) => sum + Math.abs(share - column.training[k]) / 2, 0);

// Bars of a column: what it may be given the others, over what the training rows have, with their names.
function chart(column, shares, beside = column.training, said = "of the training rows") {
  const t = theme();
  const top = Math.max(...shares, ...beside, 1e-12);
  const wide = WIDE / shares.length;
  const names = column.levels ? namesUnder(column.levels, shares, WIDE) : null;
  const tall = TALL + (names?.height ?? 0);
  const svg = s("svg", {
    viewBox: `0 0 ${WIDE} ${tall}`,
    width: WIDE,
    height: tall,
    role: "img",
    "aria-label": `distribution of ${column.name}`,
  });
  shares.forEach((share, k) => {
    const name = column.levels?.[k] ?? `from ${column.edges[k]}`;
    const [x, width] = [k * wide, Math.max(0.6, wide - Math.min(1, 0.2 * wide))];
    const bar = (p, more) => {
      const height = (p / top) * (TALL - 2);
      return s("rect", { x, width, y: TALL - height, height, ...more });
    };
    const other = beside[k];
    const over = bar(share, { fill: t.first });
    const all = s("rect", { x, width: wide, y: 0, height: TALL, fill: "transparent" });
    all.append(s("title", {}, `${name}: ${percent(share)}; ${said} ${percent(other)}`));
    svg.append(bar(other, { fill: t.grid }), over, all);
  });
  if (names) svg.append(...names.draw(TALL, t.text));
  return svg;
}

const aboutOf = (mean) => (typeof mean === "number" ? format(mean, Math.abs(mean) < 1000 ? 3 : 4) : mean);

function words(column, { shares, mean, quantiles }) {
  if (!column.levels) {
    const [low, quarter, middle, three, high] = quantiles;
    return `mean ${aboutOf(mean)}, median ${middle}; 50 % interval ${quarter} to ${three}, 90 % interval ${low} to ${high}`;
  }
  const order = [...shares.keys()].sort((a, b) => shares[b] - shares[a] || a - b);
  if (named(column)) return `most frequent: ${column.levels[order[0]]}, ${percent(shares[order[0]])}`;
  const said = order.slice(0, MOST_WORDS).map((k) => `${column.levels[k]} ${percent(shares[k])}`);
  const left = order.length - MOST_WORDS;
  return said.join(", ") + (left > 0 ? ` and ${left} more` : "");
}

// What is said of a column where a row's cells are changed, beside the same without the change.
function brief(column, one) {
  if (column.levels) return words(column, one);
  return `mean ${aboutOf(one.mean)}, 90 % interval ${one.quantiles[0]} to ${one.quantiles.at(-1)}`;
}

// What was said of a column, in few words.
function shortly(column, one) {
  if (!column.levels) return `mean ${aboutOf(one.mean)}`;
  const top = one.shares.indexOf(Math.max(...one.shares));
  return `most frequent: ${column.levels[top]}, ${percent(one.shares[top])}`;
}

export function whatIfPanel(app) {
  const columns = app.model.manifest.what_if;
  const note = h("p", { class: "note", role: "status" });
  const lines = columns.map((column, place) => line(column, place));
  const list = h("div", { class: "givens" }, lines.map((one) => one.element));
  const why = h("div", { class: "below" });
  const intro = h("p", { class: "muted" });
  let answer = null;
  let last = null; // the question before, in words, and what it said of each column
  let about = null; // the column that was asked about
  let compared = null; // the comparison that stands below its line
  let base = null; // the row of which cells are changed: its number and its stored cells

  const fixed = (place) => app.state.given.find((one) => one.column === place);
  function fix(place, value) {
    const others = app.state.given.filter((one) => one.column !== place);
    app.set({ given: value === null ? others : [...others, { column: place, value }] });
  }

  // What is fixed, in words.
  const wordsOf = (given) =>
    given.map(({ column, value }) => `${columns[column].name} ${columns[column].levels?.[value] ?? value}`).join(" and ");

  function line(column, place) {
    const shown = h("div", { class: "may" });
    const free = button("Free", () => fix(place, null), { "aria-label": `Free ${column.name}` });
    const id = freshId("given");
    let controls;
    let sync;
    if (column.levels) {
      const options = [h("option", { value: "" }, "any"), column.levels.map((name, k) => h("option", { value: k }, name))];
      const choice = h("select", {
        id,
        onchange: () => fix(place, choice.value === "" ? null : Number(choice.value)),
      });
      choice.append(...options.flat());
      controls = [choice];
      sync = (value) => {
        choice.value = value === null ? "" : String(value);
      };
    } else {
      const { choices, input, step } = column;
      const date = input.startsWith("date");
      const read = (text) => (date ? Date.parse(text) : input === "number" ? Number(text) : text);
      const typed = () => {
        const text = box.value.trim();
        return valid(text) && fix(place, text || null);
      };
      // What cannot be is said where the answers stand: they are without it.
      const valid = (text) => {
        const fits = box.reportValidity();
        if (!fits) note.textContent = `${column.name} ${text}: ${box.validationMessage} It is ignored below.`;
        return fits;
      };
      const box = h("input", {
        id,
        type: input,
        step: input === "datetime-local" || input === "number" ? step : undefined,
        min: date || input === "number" ? choices[0] : undefined,
        max: date || input === "number" ? choices.at(-1) : undefined,
        placeholder: "any",
        oninput: () => box.setCustomValidity(""),
        onchange: typed,
      });
      const slider = h("input", {
        type: "range",
        min: 0,
        max: choices.length - 1,
        step: 1,
        "aria-label": `${column.name}, slider`,
        oninput: () => fix(place, choices[Number(slider.value)]),
      });
      controls = [slider, box];
      const at = (value) => {
        const found = choices.findIndex((one) => (input === "text" ? one === value : read(one) >= read(value)));
        return found < 0 ? choices.length - 1 : found;
      };
      sync = (value) => {
        box.value = value === null ? "" : value;
        box.setCustomValidity("");
        slider.value = value === null ? Math.floor((choices.length - 1) / 2) : at(value);
        slider.setAttribute("aria-valuetext", value === null ? "any" : value);
      };
    }
    const compare = button("Compare", () => compareBy(place), {
      class: "compare",
      "aria-label": `Compare ${column.name} by each value of another column`,
    });
    const comparable = column.levels || column.input === "number";
    const element = h(
      "div",
      { class: "given", "data-column": place },
      h("label", { for: id, class: "name" }, column.name),
      h("div", { class: "control" }, controls, free, comparable ? compare : null),
      shown,
    );
    return { element, shown, free, compare, sync };
  }

  function below(place) {
    about = place;
    compared = null;
    lines[place].element.after(why);
    why.style.order = lines[place].element.style.order;
  }

  function closed(place) {
    about = null;
    compared = null;
    replace(why);
    lines[place].element.querySelector(".compare").focus();
  }

  // What one column is by each value of another, below its line; `as`: what was compared before.
  function compareBy(place, as = {}) {
    below(place);
    compared = { place, ...comparison(app, columns, place, () => closed(place), as) };
    replace(why, compared.element);
    if (!as.by) why.scrollIntoView({ block: "nearest" });
  }

  // The row that is chosen, as a start of which cells are changed; or no row.
  async function start(row) {
    // A number beyond those of the training rows counts as the outermost of these, as everywhere in the model.
    const inside = (cell, i) => Math.max(Math.min(cell, (app.model.event.columns[i].size || Infinity) - 1), 0);
    base = row === null ? null : { row, cells: Array.from(await app.model.row(row), inside) };
    answer = null;
    app.set({ given: [] });
    await show();
  }

  function draw() {
    const found = new Map((answer?.columns ?? []).map((one) => [one.column, one]));
    // What is fixed stands first, then what moved most. Only the look changes: a slider stays under the hand.
    const first = [...found.values()].sort((a, b) => moved(columns[b.column], b) - moved(columns[a.column], a));
    const rank = app.state.given.length ? new Map(first.map((one, k) => [one.column, k + 1])) : new Map();
    lines.forEach(({ element, shown }, place) => {
      const one = found.get(place);
      element.style.order = String(rank.get(place) ?? 0);
      if (fixed(place)) replace(shown, h("span", { class: "muted" }, "fixed"));
      else if (one?.was && answer.changed) {
        const by = `${percent(one.moved)} of the probability moves`;
        const said = `${brief(columns[place], one)}; before ${brief(columns[place], one.was)}`;
        replace(shown, chart(columns[place], one.shares, one.was.shares, "before"),
          h("span", {}, h("b", {}, by), `, row ${one.own || "empty"}: ${said}`));
      } else if (one?.was) replace(shown, h("span", {}, `row: ${one.own || "empty"}`));
      else if (one) {
        const old = last?.columns.get(place);
        const before = old && shortly(columns[place], old);
        const changed = before && before !== shortly(columns[place], one);
        const beside = [answer.beside?.get(place), changed && `previously (${last.words}): ${before}`];
        replace(shown, chart(columns[place], one.shares), h("span", {}, words(columns[place], one)),
          beside.filter(Boolean).map((text) => h("span", { class: "beside" }, text)));
      }
      else replace(shown);
    });
    if (about !== null) why.style.order = lines[about].element.style.order;
    if (!answer) return;
    const worth = `${count3(Math.round(answer.effective))} of ${count3(answer.draws)} draws of z`;
    const rough = answer.effective < FEW ? ", so the estimates are imprecise" : "";
    // How sure an answer is depends on how many rows it was learned from.
    const number = answer.probability * app.model.manifest.rows.of;
    const few = app.model.manifest.rows.of && number < SELDOM ? ", so the predictions are unreliable" : "";
    const near = number < 1 ? "fewer than 1" : `about ${count3(Math.round(number))}`;
    const count = app.model.manifest.rows.of ? `, ${near} of ${count3(app.model.manifest.rows.of)}` : "";
    const held = answer.alike ? alikeText(answer.alike, app.model.n) : "";
    const so = `${held}According to the model, ${percent(answer.probability)} of rows match${held ? "" : `${count}${few}`}. `;
    const rows = app.state.given.length ? so : "";
    const all = answer.effective > NEARLY * answer.draws; // as without latents: nothing is rough
    note.textContent = `${rows}${all ? "" : `Effective sample size ${worth}${rough}.`}`.trim();
  }

  // What the rows have that are as it was asked for.
  async function beside(answer) {
    const alike = base ? null : await rowsAlike(app.model, columns, app.state.given);
    if (!alike) return;
    const texts = answer.columns.map(async ({ column: place, shares, mean }) => {
      const top = shares.indexOf(Math.max(...shares));
      const said = columns[place].levels ? shares[top] : mean;
      return [place, await besideText(app.model, columns[place], place, alike, top, said)];
    });
    Object.assign(answer, { alike, beside: new Map(await Promise.all(texts)) });
  }

  // What is fixed has changed: the comparison goes with it.
  function renewed() {
    const { place, state } = compared;
    if (base || fixed(place)) closed(place);
    else compareBy(place, state);
  }

  const show = latest(async () => {
    lines.forEach(({ element, free, compare, sync }, place) => {
      const one = fixed(place);
      sync(one ? one.value : null);
      free.disabled = !one;
      compare.disabled = Boolean(one || base);
      element.classList.toggle("fixed", Boolean(one));
    });
    const given = app.state.given.map(({ column, value }) => [column, value]);
    const question = base ? { given, row: base.cells } : { given };
    const asked = JSON.stringify(question);
    intro.textContent = base
      ? `Change cells of row ${base.row}; the other columns show the predictions with the change (blue) and without it (grey).`
      : "Fix one or more columns. The other columns show their conditional distributions, the largest changes first. Grey: training rows.";
    freeRow.disabled = !base;
    fromRow.disabled = app.state.row === null || app.state.row === undefined;
    if (answer?.asked !== asked) {
      try {
        const found = { ...(await askGiven(question)), asked, changed: given.length > 0, words: base ? "" : wordsOf(app.state.given) };
        await beside(found);
        // Two questions are compared: what the last one said stands beside the answer.
        if (compared) renewed();
        const told = answer?.words && found.words;
        last = told ? { words: answer.words, columns: new Map(answer.columns.map((one) => [one.column, one])) } : null;
        answer = found;
      } catch (error) {
        answer = null;
        draw();
        note.textContent = error.message;
        return;
      }
    }
    draw();
  });

  const table = () => {
    if (!answer) return null;
    const rows = answer.columns.flatMap(({ column: place, shares, mean, quantiles }) => {
      const column = columns[place];
      const bars = shares.map((p, k) => [column.name, column.levels?.[k] ?? `from ${column.edges[k]}`, p]);
      if (column.levels) return bars;
      const ends = quantiles.map((value, k) => [column.name, `quantile ${[0.05, 0.25, 0.5, 0.75, 0.95][k]}`, value]);
      return [[column.name, "mean", mean], ...ends, ...bars];
    });
    return [["column", "value", "share"], ...rows];
  };
  const picture = () => {
    if (!answer) return null;
    const drawn = answer.columns.map(({ column: place, shares }) => [columns[place], chart(columns[place], shares)]);
    const width = WIDE + 16;
    const height = drawn.reduce((sum, [, bars]) => sum + Number(bars.getAttribute("height")) + 24, 8);
    const svg = s("svg", { width, height, viewBox: `0 0 ${width} ${height}` });
    svg.append(s("rect", { width, height, fill: theme().background }));
    let top = 0;
    drawn.forEach(([column, bars]) => {
      const at = { x: 8, y: top + 14, "font-size": 11, "font-family": "system-ui, sans-serif", fill: theme().text };
      bars.setAttribute("x", 8);
      bars.setAttribute("y", top + 20);
      svg.append(s("text", at, column.name), bars);
      top += Number(bars.getAttribute("height")) + 24;
    });
    return svg;
  };
  const fromRow = button("Change cells of the chosen row", () => start(app.state.row));
  const freeRow = button("No row", () => start(null));
  const element = panel(
    "What if",
    h("div", { class: "actions" }, button("Free all", () => app.set({ given: [] })), fromRow, freeRow, h("span", { class: "grow" }),
      saveButtons("what-if", { svg: picture, csv: table })),
    intro,
    note,
    list,
  );
  return { id: "whatif", title: "What if", element, wants: ["given", "theme", "row"], update: show };
}
