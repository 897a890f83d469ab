// What if: the values of some columns of a table are fixed, and every other column shows what it then may be.

import { button, count3, format, freshId, h, latest, replace, s } from "../dom.js";
import { saveButtons } from "../save.js";
import { askGiven } from "../server.js";
import { theme } from "../theme.js";
import { panel } from "./parts.js";

const [WIDE, TALL, NAMES] = [210, 40, 11];
const MOST_WORDS = 3; // names that are said below bars too many to have their names under them
const MOST_NAMED = 6; // bars that have their names under them
const FEW = 100; // effective draws below which the numbers are rough
const percent = (p) => `${format(100 * p, p < 0.1 ? 2 : 3)} %`;

const named = (column) => Boolean(column.levels) && column.levels.length <= MOST_NAMED;

// How far a column moved from the training rows: half the sum of the differences of its shares, from 0 to 1.
const moved = (column, shares) => shares.reduce((sum, share, k) => sum + Math.abs(share - column.training[k]) / 2, 0);

// Bars of a column: what it may be given the others, over what the training rows have; a few names stand under them.
function chart(column, shares) {
  const t = theme();
  const top = Math.max(...shares, ...column.training, 1e-12);
  const wide = WIDE / shares.length;
  const tall = TALL + (named(column) ? NAMES : 0);
  const svg = s("svg", {
    viewBox: `0 0 ${WIDE} ${tall}`,
    width: WIDE,
    height: tall,
    role: "img",
    "aria-label": `what ${column.name} may be`,
  });
  shares.forEach((share, k) => {
    const name = column.levels?.[k] ?? `from ${column.edges[k]}`;
    const [x, width] = [k * wide, Math.max(0.6, wide - Math.min(1, 0.2 * wide))];
    const bar = (p, more) => {
      const height = (p / top) * (TALL - 2);
      return s("rect", { x, width, y: TALL - height, height, ...more });
    };
    const training = column.training[k];
    const over = bar(share, { fill: t.first });
    const all = s("rect", { x, width: wide, y: 0, height: TALL, fill: "transparent" });
    all.append(s("title", {}, `${name}: ${percent(share)}; of the training rows ${percent(training)}`));
    svg.append(bar(training, { fill: t.grid }), over, all);
    if (!named(column)) return;
    const letters = Math.max(2, Math.floor(wide / 5));
    const short = name.length > letters ? `${name.slice(0, letters - 1)}…` : name;
    const text = { x: x + wide / 2, y: tall - 2, "text-anchor": "middle", "font-size": 9, fill: t.text };
    svg.append(s("text", { ...text, "font-family": "system-ui, sans-serif" }, short));
  });
  return svg;
}

function words(column, { shares, mean, quantiles }) {
  if (!column.levels) {
    const [low, quarter, middle, three, high] = quantiles;
    const about = typeof mean === "number" ? format(mean) : mean;
    return `mean ${about}, median ${middle}; half of it ${quarter} to ${three}, 90 % ${low} to ${high}`;
  }
  const order = [...shares.keys()].sort((a, b) => shares[b] - shares[a] || a - b);
  if (named(column)) return `most often ${column.levels[order[0]]}, ${percent(shares[order[0]])}`;
  const said = order.slice(0, MOST_WORDS).map((k) => `${column.levels[k]} ${percent(shares[k])}`);
  const left = order.length - MOST_WORDS;
  return said.join(", ") + (left > 0 ? ` and ${left} more` : "");
}

export function whatIfPanel(app) {
  const columns = app.model.manifest.what_if;
  const note = h("p", { class: "note", role: "status" });
  const lines = columns.map((column, place) => line(column, place));
  const list = h("div", { class: "givens" }, lines.map((one) => one.element));
  let answer = null;

  const fixed = (place) => app.state.given.find((one) => one.column === place);
  function fix(place, value) {
    const others = app.state.given.filter((one) => one.column !== place);
    app.set({ given: value === null ? others : [...others, { column: place, value }] });
  }

  function line(column, place) {
    const shown = h("div", { class: "may" });
    const free = button("Free", () => fix(place, null), { "aria-label": `free ${column.name}` });
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
      const { choices, kind, written, step } = column;
      const date = kind === "date" ? (written === "D" ? "date" : "datetime-local") : null;
      const number = kind === "number";
      const box = h("input", {
        id,
        type: date ?? (number ? "number" : "text"),
        step: date === "datetime-local" ? 1 : number ? step : undefined,
        min: date || number ? choices[0] : undefined,
        max: date || number ? choices.at(-1) : undefined,
        placeholder: "any",
        onchange: () => box.checkValidity() && fix(place, box.value.trim() || null),
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
        const read = (text) => (date ? Date.parse(text) : number ? Number(text) : text);
        const found = choices.findIndex((one) => (number || date ? read(one) >= read(value) : one === value));
        return found < 0 ? choices.length - 1 : found;
      };
      sync = (value) => {
        box.value = value ?? "";
        slider.value = value === null ? Math.floor((choices.length - 1) / 2) : at(value);
        slider.setAttribute("aria-valuetext", value ?? "any");
      };
    }
    const element = h(
      "div",
      { class: "given", "data-column": place },
      h("label", { for: id, class: "name" }, column.name),
      h("div", { class: "control" }, controls, free),
      shown,
    );
    return { element, shown, free, sync };
  }

  function draw() {
    const found = new Map((answer?.columns ?? []).map((one) => [one.column, one]));
    // What is fixed stands first, then what moved most. Only the look changes: a slider stays under the hand.
    const first = [...found.values()].sort((a, b) => moved(columns[b.column], b.shares) - moved(columns[a.column], a.shares));
    const rank = app.state.given.length ? new Map(first.map((one, k) => [one.column, k + 1])) : new Map();
    lines.forEach(({ element, shown }, place) => {
      const one = found.get(place);
      element.style.order = String(rank.get(place) ?? 0);
      if (fixed(place)) replace(shown, h("span", { class: "muted" }, "fixed"));
      else if (one) replace(shown, chart(columns[place], one.shares), h("span", {}, words(columns[place], one)));
      else replace(shown);
    });
    if (!answer) return;
    const worth = `${count3(Math.round(answer.effective))} of ${count3(answer.draws)} draws of z`;
    const rough = answer.effective < FEW ? ": so few that the numbers are rough" : "";
    const rows = app.state.given.length ? ` The model holds ${percent(answer.probability)} of the rows to be so.` : "";
    note.textContent = `Effective sample size ${worth}${rough}.${rows}`;
  }

  const show = latest(async () => {
    lines.forEach(({ element, free, sync }, place) => {
      const one = fixed(place);
      sync(one ? one.value : null);
      free.disabled = !one;
      element.classList.toggle("fixed", Boolean(one));
    });
    const asked = JSON.stringify(app.state.given.map(({ column, value }) => [column, value]));
    if (answer?.asked !== asked) {
      try {
        answer = { ...(await askGiven(asked)), asked };
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
    const tall = TALL + NAMES + 24;
    const [width, height] = [WIDE + 16, tall * answer.columns.length + 8];
    const svg = s("svg", { width, height, viewBox: `0 0 ${width} ${height}` });
    svg.append(s("rect", { width, height, fill: theme().background }));
    answer.columns.forEach(({ column: place, shares }, k) => {
      const at = { x: 8, y: k * tall + 14, "font-size": 11, "font-family": "system-ui, sans-serif", fill: theme().text };
      const bars = chart(columns[place], shares);
      bars.setAttribute("x", 8);
      bars.setAttribute("y", k * tall + 20);
      svg.append(s("text", at, columns[place].name), bars);
    });
    return svg;
  };
  const element = panel(
    "What if",
    h("div", { class: "actions" }, button("Free all", () => app.set({ given: [] })), h("span", { class: "grow" }),
      saveButtons("what-if", { svg: picture, csv: table })),
    h("p", { class: "muted" }, "Fix one or more columns. The others show what they then may be, those that moved most first; the training rows are grey."),
    note,
    list,
  );
  return { id: "whatif", title: "What if", element, wants: ["given", "theme"], rebuild: () => (answer = null), update: show };
}
