// The rows as a table beside histograms of their columns. What is searched for or marked in a histogram narrows the
// selection, so the scatter, the other histograms and the table follow; each histogram shows the rows that all but
// its own range leave, over all rows.

import { breathe, button, count3, format, h, latest, replace, s } from "../dom.js";
import { levelColour, nameOf as nameOfNumber } from "../colours.js";
import { numberText } from "../event.js";
import { extent } from "../geometry.js";
import { namesUnder } from "../names.js";
import { saveCsv } from "../save.js";
import { css, theme, themeName } from "../theme.js";
import { panel, wrapped } from "./parts.js";
import { dayText } from "../grid.js";

const [WIDE, TALL, BINS] = [210, 54, 30];
const MOST_BARS = 40; // classes of a histogram
const MOST_CELLS = 40; // columns of a table that have a histogram and stand in the rows, until more are asked for
const STEP = 100; // rows shown at a time
const FAR = 1e38; // an end of a range that is open
const MANY = 100000; // rows from which on the page answers between two histograms

// Bins of values on a grid, such as days or months, hold as many of its points each: else a comb appears.
function binned(values, [low, high]) {
  const plain = { low, high, bins: BINS };
  const seen = new Set();
  for (const v of values) if (Number.isFinite(v) && seen.add(v).size > BINS * BINS) return plain;
  const points = [...seen].sort((a, b) => a - b);
  if (points.length < 2) return plain;
  const on = (step) => points.every((v) => Math.abs((v - low) / step - Math.round((v - low) / step)) <= 0.01);
  const even = (high - low) / (points.length - 1);
  if (points.length <= BINS && points.every((v, k) => Math.round((v - low) / even) === k)) {
    return { low: low - even / 2, high: high + even / 2, bins: points.length };
  }
  const step = Math.min(...points.slice(1).map((v, k) => v - points[k]));
  const count = Math.round((high - low) / step) + 1;
  if (count > BINS * BINS || !on(step)) return plain;
  const each = Math.ceil(count / BINS);
  const bins = Math.ceil(count / each);
  return { low: low - step / 2, high: low - step / 2 + bins * each * step, bins };
}

export function tablePanel(app) {
  const { model } = app;
  const { columns } = model.manifest;
  const charts = h("div", { class: "histograms" });
  const box = h("div", { class: "tablebox rows", tabindex: 0, role: "region", "aria-label": "rows" });
  const count = h("p", { role: "status" });
  const wider = h("div", { class: "actions" });
  let order = { key: "row", down: false };
  let most = STEP;
  let listed = [];

  const search = h("input", {
    type: "search",
    placeholder: "an id or a class",
    "aria-label": "search rows",
    value: app.state.search,
    maxlength: 80,
    oninput: () => {
      clearTimeout(search.later);
      search.later = setTimeout(() => app.set({ search: search.value.trim() }), 200);
    },
  });

  let cells = MOST_CELLS;
  let keys = [];
  let shownKeys = [];
  const special = (...names) => names.filter((name) => model.manifest.arrays[name] && model.words[name]);

  // The columns that are shown: as many as were asked for.
  function chooseKeys() {
    const first = columns.slice(0, cells).map((column, i) => [`c${i}`, column]);
    const few = ({ kind, levels }) => kind === "number" || (levels.length > 1 && levels.length <= MOST_BARS);
    keys = [...first.filter(([, column]) => few(column)).map(([key]) => key), ...special("elbo", "log_likelihood", "kl")];
    shownKeys = [...first.map(([key]) => key), ...special("elbo", "kl")];
    const left = Math.min(columns.length - cells, MOST_CELLS);
    const further = () => {
      cells += MOST_CELLS;
      chooseKeys();
      drawn = [];
      show();
    };
    replace(wider, left > 0 ? button(`${left} more columns`, further) : null);
  }
  const nameOf = (key) => (/^c\d+$/.test(key) ? columns[Number(key.slice(1))].name : nameOfNumber(model, key));
  const columnOf = (key) => (/^c\d+$/.test(key) ? columns[Number(key.slice(1))] : undefined);
  const levelsOf = (key) => (/^c\d+$/.test(key) ? columns[Number(key.slice(1))].levels : undefined);
  const filterOf = (key) => app.state.filters.find((one) => one.key === key);

  function setFilter(key, filter) {
    const others = app.state.filters.filter((one) => one.key !== key);
    app.set({ filters: filter ? [...others, { key, ...filter }] : others });
  }

  // The bars of one histogram: {low, high, all, left}, by bins or by levels.
  async function counted(key) {
    const values = await app.valuesOf(key);
    const levels = levelsOf(key);
    const ends = levels ? [0, levels.length] : extent(values);
    const { low, high, bins } = levels ? { low: 0, high: ends[1], bins: ends[1] } : binned(values, ends);
    const [all, left] = [new Float64Array(bins), new Float64Array(bins)];
    const scale = bins / (high - low || 1);
    const { fails, failing } = app.passing;
    const own = app.state.filters.findIndex((one) => one.key === key) + 1;
    for (let i = 0; i < values.length; i++) {
      const v = values[i];
      if (!(v >= low && v <= high)) continue;
      const bin = Math.min(bins - 1, Math.floor((v - low) * scale));
      all[bin] += 1;
      if (!fails || !fails[i] || (own && fails[i] === 1 && failing[i] === own)) left[bin] += 1;
    }
    return { low, high, all, left, ends };
  }

  async function histogram(key) {
    const { low, high, all, left, ends: [first, last] } = await counted(key);
    const t = theme();
    const levels = levelsOf(key);
    const bins = all.length;
    const top = Math.max(...all, 1);
    const step = WIDE / bins;
    const filter = filterOf(key);
    const inside = (k) => {
      if (!filter) return true;
      if (levels) return filter.levels.includes(k);
      const middle = low + ((k + 0.5) * (high - low)) / bins;
      return middle >= filter.low && middle <= filter.high;
    };
    const names = levels ? namesUnder(levels, all, WIDE) : null;
    const svg = s("svg", { viewBox: `0 0 ${WIDE} ${TALL + (names?.height ?? 0)}`, role: "img", "aria-label": `histogram of ${nameOf(key)}` });
    for (let k = 0; k < bins; k++) {
      const colour = levels && app.state.colour === key ? css(levelColour(k)) : t.first;
      for (const [value, fill] of [
        [all[k], t.grid],
        [left[k], inside(k) ? colour : t.muted],
      ]) {
        const tall = (value / top) * (TALL - 4);
        const bar = s("rect", { x: k * step, width: Math.max(1, step - 1), y: TALL - tall, height: tall, fill });
        svg.append(bar);
        if (levels) bar.append(s("title", {}, `${levels[k]}: ${count3(left[k])} of ${count3(all[k])}`));
      }
    }
    const mark = s("rect", { y: 0, height: TALL, fill: t.second, "fill-opacity": 0.15, visibility: "hidden" });
    svg.append(mark, ...(names?.draw(TALL, t.text) ?? []));
    if (filter && !levels) showMark(filter.low, filter.high);

    function showMark(from, to) {
      const at = (v) => Math.min(WIDE, Math.max(0, ((v - low) / (high - low || 1)) * WIDE));
      mark.setAttribute("x", at(from));
      mark.setAttribute("width", Math.max(1, at(to) - at(from)));
      mark.setAttribute("visibility", "visible");
    }
    const valueAt = (event) => {
      const area = svg.getBoundingClientRect();
      return low + Math.min(1, Math.max(0, (event.clientX - area.left) / area.width)) * (high - low);
    };
    let from = null;
    svg.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      if (levels) {
        const level = Math.min(bins - 1, Math.floor(valueAt(event)));
        const now = filter?.levels ?? [];
        const then = now.includes(level) ? now.filter((one) => one !== level) : [...now, level];
        return setFilter(key, then.length ? { levels: then } : null);
      }
      from = valueAt(event);
      svg.setPointerCapture(event.pointerId);
    });
    svg.addEventListener("pointermove", (event) => {
      if (from !== null) showMark(Math.min(from, valueAt(event)), Math.max(from, valueAt(event)));
    });
    svg.addEventListener("pointerup", (event) => {
      if (from === null) return;
      const ends = [from, valueAt(event)].sort((p, q) => p - q);
      from = null;
      setFilter(key, ends[1] - ends[0] > (high - low) / 100 ? { low: ends[0], high: ends[1] } : null);
    });
    const only = (k) => filter?.levels.length === 1 && filter.levels[0] === k;
    const days = columnOf(key)?.days;
    const clock = days && first >= 0 && last < 3; // times of the day, perhaps over midnight
    const date = !days ? "" : clock ? "time" : Number.isInteger(first) ? "date" : "datetime-local";
    const dateOf = (v) => dayText(v).slice(clock ? 11 : 0, date === "date" ? 10 : 16);
    const dayOf = (value) => {
      const day = Date.parse(clock ? `1970-01-01T${value}Z` : `${value}${date === "date" ? "" : "Z"}`) / 864e5;
      return clock && day < first - 1 / 1440 && day + 1 <= last + 1 / 1440 ? day + 1 : day;
    };
    const end = (which) =>
      h("input", {
        type: date || "number",
        step: date ? null : "any",
        value: !filter || !Number.isFinite(filter[which]) || Math.abs(filter[which]) >= FAR ? ""
          : date ? dateOf(date === "date" && which === "low" ? Math.ceil(filter.low) : filter[which])
          : String(Number(filter[which].toPrecision(5))),
        placeholder: date ? null : format(which === "low" ? first : last, 3),
        title: date ? `${dateOf(first)} to ${dateOf(last)}` : null,
        "aria-label": `${nameOf(key)} ${which === "low" ? "from" : "to"}`,
        onchange: (event) => {
          const ends = { low: filter?.low ?? -Infinity, high: filter?.high ?? Infinity };
          const open = which === "low" ? -Infinity : Infinity;
          const { value } = event.target;
          ends[which] = value === "" ? open : date ? dayOf(value) : Number(value);
          const all = ends.low === -Infinity && ends.high === Infinity;
          setFilter(key, all ? null : { low: Math.max(ends.low, -FAR), high: Math.min(ends.high, FAR) });
        },
      });
    const choose = levels
      ? h(
          "select",
          {
            "aria-label": `${nameOf(key)}: classes`,
            onchange: (event) => {
              const level = event.target.value;
              setFilter(key, level === "" ? null : { levels: [Number(level)] });
            },
          },
          h("option", { value: "" }, filter ? "all again" : "all"),
          levels.map((name, k) => h("option", { value: k, selected: only(k) }, name)),
        )
      : h("div", { class: date ? "ends2 dates" : "ends2" }, end("low"), end("high"));
    return h("figure", { class: "histogram", "data-key": key }, h("figcaption", {}, nameOf(key)), svg, choose);
  }

  // The first rows in this order without sorting all of a million: those up to the value that so many are below.
  async function first() {
    const { selection } = app.state;
    const n = selection?.length ?? model.n;
    const placeAt = (i) => (selection ? selection[i] : i);
    if (order.key === "row") {
      return Array.from({ length: Math.min(most, n) }, (_, k) => placeAt(order.down ? n - 1 - k : k));
    }
    const values = await app.valuesOf(order.key);
    const sign = order.down ? -1 : 1;
    const known = [];
    for (let i = 0; i < n; i++) if (Number.isFinite(values[placeAt(i)])) known.push(placeAt(i));
    await breathe();
    const sorted = Float32Array.from(known, (i) => sign * values[i]).sort();
    const last = sorted[Math.min(most, sorted.length) - 1];
    return known
      .filter((i) => sign * values[i] <= last)
      .sort((p, q) => sign * (values[p] - values[q]) || p - q)
      .slice(0, most);
  }

  async function showRows() {
    listed = await first();
    const values = await Promise.all(shownKeys.map((key) => app.valuesOf(key)));
    const text = (key, value) => (levelsOf(key) ? (levelsOf(key)[value] ?? "none") : numberText(columnOf(key), value));
    const head = (key, name) => {
      const now = order.key === key;
      const turn = () => {
        order = { key, down: now && !order.down };
        show();
      };
      const sort = now ? (order.down ? "descending" : "ascending") : "none";
      const arrow = now ? (order.down ? " ▾" : " ▴") : "";
      return h("th", { scope: "col", "aria-sort": sort }, button(`${name}${arrow}`, turn));
    };
    const n = app.state.selection?.length ?? model.n;
    const part = listed.length < n ? `, ${count3(listed.length)} shown` : "";
    count.textContent = `${count3(n)} of ${count3(model.n)} rows${part}`;
    replace(
      box,
      h(
        "table",
        { class: "values" },
        h("thead", {}, h("tr", {}, head("row", "row"), shownKeys.map((key) => head(key, nameOf(key))))),
        h(
          "tbody",
          {},
          listed.map((row) => {
            const go = button(wrapped(model.id(row)), () => app.choose(row), { title: "go to this row" });
            return h(
              "tr",
              { class: row === app.state.row ? "chosen" : null },
              h("th", { scope: "row" }, go),
              shownKeys.map((key, k) => h("td", {}, text(key, values[k][row]))),
            );
          }),
        ),
      ),
      listed.length < n
        ? button(`${STEP} more`, () => {
            most += STEP;
            show();
          })
        : null,
    );
  }

  async function save() {
    const places = app.state.selection ?? Array.from({ length: model.n }, (_, i) => i);
    const values = await Promise.all(shownKeys.map((key) => app.valuesOf(key)));
    const lines = function* () {
      yield ["row_id", ...shownKeys.map(nameOf)];
      for (const place of places) {
        const cell = (key, k) => (levelsOf(key) ? (levelsOf(key)[values[k][place]] ?? "") : values[k][place]);
        yield [model.id(place), ...shownKeys.map(cell)];
      }
    };
    await saveCsv("rows", lines());
  }

  let drawn = [];
  const show = latest(async () => {
    if (document.activeElement !== search) search.value = app.state.search;
    const now = [app.passing, app.state.colour, themeName()];
    if (now.some((one, i) => one !== drawn[i])) {
      drawn = now;
      const made = [];
      for (const key of keys) {
        made.push(await histogram(key));
        if (model.n > MANY) await breathe();
      }
      const focused = charts.contains(document.activeElement) ? document.activeElement.ariaLabel : null;
      replace(charts, made);
      if (focused) [...charts.querySelectorAll("[aria-label]")].find((one) => one.ariaLabel === focused)?.focus();
    }
    await showRows();
  });

  chooseKeys();
  const element = panel(
    "Table",
    h(
      "div",
      { class: "actions" },
      search,
      button("Clear", () => app.clear(), { title: "key Escape, on the scatter" }),
      button("CSV", () => save().catch(app.errors), { title: "save these rows" }),
    ),
    charts,
    wider,
    count,
    box,
  );
  return {
    id: "table",
    title: "Table",
    element,
    wants: ["selection", "row", "colour", "theme"],
    update: show,
  };
}
