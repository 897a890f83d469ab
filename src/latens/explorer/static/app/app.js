// What all panels share: the state, the model, and questions to it.

import { ask } from "./background.js";
import { breathe, format, latest } from "./dom.js";
import { project } from "./geometry.js";
import { readLink, writeLink } from "./permalink.js";
import { isPhoto } from "./thumbs.js";

const LINKED = [
  "x",
  "y",
  "colour",
  "z",
  "row",
  "a",
  "b",
  "c",
  "via",
  "label",
  "tab",
  "mode",
  "path",
  "unit",
  "view",
  "picks",
  "filters",
  "search",
  "given",
  "size",
  "opacity",
  "contours",
  "names",
  "equal",
  "theme",
];

const GOES_ON = 700; // milliseconds in which a change of the same things goes on with the last one
const MOST_PAST = 100;
const MANY = 200000; // rows from which on the page answers between two looks at all of them

export class App {
  constructor(model) {
    this.model = model;
    this.listeners = [];
    this.changed = new Set();
    this.past = [];
    this.future = []; // what undo took back
    this.onpast = () => {};
    this.hovered = null; // the latent under the pointer, while it only hovers
    this.onhover = () => {};
    this.errors = () => {};
    const [first, second] = [model.order[0] ?? 0, model.order[1] ?? model.order[0] ?? 0];
    // Above two units, the two directions in which the rows differ most; of pictures made beforehand, two units.
    const plane = model.size > 2 ? ["p0", "p1"] : [`u${Math.min(first, second)}`, `u${Math.max(first, second)}`];
    this.unused = model.size > 0 && !model.units.some((unit) => unit.active);
    const { colour = null } = model.manifest; // a page of before has none
    const start = model.manifest.start ?? null;
    this.state = {
      x: plane[0],
      y: plane[1],
      colour: colour !== null ? `c${colour}` : model.manifest.arrays.elbo && !isPhoto(model.event) ? "elbo" : "none",
      z: start === null ? Float32Array.from(model.units, (u) => u.mean) : model.latent(start),
      row: start,
      a: null,
      b: null,
      c: null,
      via: [], // rows that the path from A to B goes through
      label: 0,
      tab: model.manifest.what_if ? "whatif" : "point", // a table is asked, a picture is looked at
      mode: "decode",
      path: "linear",
      unit: null,
      view: null,
      picks: [], // what was added to the selection or taken out of it, in this order
      filters: [], // ranges and classes of columns, which narrow the selection down
      search: "", // and what ids or classes hold
      given: [], // columns that are fixed: {column, value}, the code of a name or a text
      size: 1, // of the points, times what suits their number
      opacity: 1,
      contours: false,
      names: true,
      equal: false, // one scale for both axes
      theme: null,
      selection: null, // the places of the rows that all of it leaves; null where nothing was chosen
    };
    // How many of the filters a row fails, and which one last (from 1 on; 255 is what was picked or searched for).
    this.passing = { fails: null, failing: null };
    this.first = { ...this.state };
    this.began = readLink(globalThis.location?.hash ?? "");
    Object.assign(this.state, this.fitting(this.began));
    this.writeSoon = latest(async () => {
      await new Promise((resolve) => setTimeout(resolve, 200));
      const different = {};
      for (const name of LINKED) {
        const [now, then] = [this.state[name], this.first[name]];
        const list = Array.isArray(then); // empty at first
        const same = name === "z" ? now.every((v, i) => v === then[i]) : list ? !now.length : now === then;
        if (!same) different[name] = now;
      }
      history.replaceState(null, "", `#${writeLink(different)}`);
    });
  }

  // The part of a state that a link carries.
  linked(state) {
    return Object.fromEntries(LINKED.map((name) => [name, state[name]]));
  }

  // Of a link, what this model has.
  fitting(link) {
    const { model } = this;
    const { columns, arrays } = model.manifest;
    const known = (key) => {
      const place = Number(key.slice(1));
      if (/^u\d+$/.test(key)) return place < model.size;
      if (/^c\d+$/.test(key)) return place < columns.length;
      if (/^p\d+$/.test(key)) return place < 2 && model.size > 1;
      return key === "none" || Boolean(arrays[key]);
    };
    const axis = (key) => known(key) && (key[0] !== "c" || columns[Number(key.slice(1))].kind === "number");
    const row = (value) => value < model.n;
    const checks = {
      x: axis,
      y: axis,
      colour: known,
      row,
      a: row,
      b: row,
      c: row,
      via: (rows) => rows.every(row),
      z: (z) => z.length === model.size,
      label: (code) => code < model.manifest.classes.length,
      unit: (unit) => unit < model.size,
      picks: (picks) =>
        picks.every((one) =>
          one.polygon ? axis(one.x) && axis(one.y) : columns[one.column]?.levels?.[one.level] !== undefined,
        ),
      given: (given) => given.every(({ column, value }) => this.canBe(column, value)),
      filters: (filters) =>
        filters.every(({ key, levels }) => {
          const named = key[0] === "c" ? columns[Number(key.slice(1))]?.levels : undefined;
          return known(key) && Boolean(levels) === Boolean(named);
        }),
    };
    const kept = Object.fromEntries(
      Object.entries(link).filter(([name, value]) => !checks[name] || checks[name](value)),
    );
    if (kept.z) kept.z = Float32Array.from(kept.z);
    return kept;
  }

  // Whether a column can be fixed so: to the code of a name, or to a text of a number or a date.
  canBe(column, value) {
    const one = this.model.manifest.what_if?.[column];
    return Boolean(one) && (one.levels ? value < one.levels.length : typeof value === "string");
  }

  on(listener) {
    this.listeners.push(listener);
  }

  set(patch) {
    const before = this.waiting ? null : this.linked(this.state);
    for (const [name, value] of Object.entries(patch)) {
      if (this.state[name] === value) continue;
      this.state[name] = value;
      this.changed.add(name);
    }
    if (!this.changed.size || this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      const { changed } = this;
      this.changed = new Set();
      this.remember(before, changed);
      for (const listener of this.listeners) Promise.resolve(listener(changed)).catch((error) => this.errors(error));
      this.writeSoon();
    });
  }

  // What was before a change, for undo. A drag is one change, however many places it goes through.
  remember(before, changed) {
    const key = LINKED.filter((name) => changed.has(name)).join();
    const now = performance.now();
    const goesOn = key === this.lastKey && now - this.lastTime < GOES_ON;
    [this.lastKey, this.lastTime] = [key, now];
    if (this.undoing) {
      this.undoing.push(before);
      this.undoing = null;
    } else if (key) {
      if (!goesOn) this.past = [...this.past.slice(1 - MOST_PAST), before];
      this.future = [];
    }
    this.onpast();
  }

  undo() {
    this.#back(this.past, this.future);
  }

  redo() {
    this.#back(this.future, this.past);
  }

  // Takes the last state of one list, and lays what it replaces on the other.
  #back(from, onto) {
    const before = from.pop();
    if (!before) return;
    this.undoing = onto;
    this.lastKey = null;
    this.set(before);
    if (this.changed.size) return;
    this.undoing = null; // what was is what is
    this.#back(from, onto);
  }

  // --- numbers of rows ---

  array(name) {
    return this.model.array(name);
  }

  // The coordinates of the rows along an axis: a unit, a principal axis or a column.
  async coordinates(axis) {
    const { model } = this;
    return axis[0] === "c" ? model.column(Number(axis.slice(1))) : this.along(axis, model.mean);
  }

  // The coordinates of latents along a unit or a principal axis.
  along(axis, latents) {
    const { model } = this;
    const place = Number(axis.slice(1));
    if (axis[0] === "u") return model.unitValues(place, latents);
    return project(latents, model.size, model.axes.centre, model.axes.axes[place]);
  }

  // --- the selection ---

  // Instead of what is picked; or with `how` beside it: "add", or "remove" from it (from all rows where nothing is).
  pick(one, how = "") {
    this.setPicks([...(how ? this.state.picks : []), { ...one, sign: how === "remove" ? -1 : 1 }]);
  }

  setPicks(picks) {
    this.set({ picks, tab: this.state.tab === "table" ? "table" : "selection" });
  }

  clear() {
    const { picks, filters, search } = this.state;
    if (picks.length || filters.length || search) this.set({ picks: [], filters: [], search: "" });
  }

  // A class of the legend joins those that are picked, or leaves them.
  toggleLevel(column, level) {
    const { picks } = this.state;
    const same = picks.filter((one) => one.sign > 0 && one.column === column);
    if (same.length < picks.length) return this.pick({ column, level });
    const without = same.filter((one) => one.level !== level);
    this.setPicks(without.length < same.length ? without : [...same, { column, level, sign: 1 }]);
  }

  picked(column, level) {
    return this.state.picks.some((one) => one.sign > 0 && one.column === column && one.level === level);
  }

  // What is picked, in words.
  pickedWords() {
    const { columns } = this.model.manifest;
    const what = ({ polygon, column, level }) => (polygon ? "the lasso" : `${columns[column].name} = ${columns[column].levels[level]}`);
    const word = (one) => `${one.sign < 0 ? "without " : ""}${what(one)}`;
    const { picks, filters, search } = this.state;
    const words = picks.length > 4 ? [`${picks.length} choices`] : picks.map(word);
    if (filters.length) words.push(`${filters.length} filter${filters.length > 1 ? "s" : ""}`);
    if (search) words.push(`“${search}”`);
    return words.join(", ");
  }

  // The numbers, or codes of levels, of the rows: of a column, a unit, a part of the ELBO.
  valuesOf(key) {
    return /^[ucp]\d+$/.test(key) ? this.coordinates(key) : this.array(key);
  }

  async placesOf(one) {
    if (one.polygon) {
      const { polygon, x, y } = one;
      return ask("lasso", { polygon, xs: await this.coordinates(x), ys: await this.coordinates(y) });
    }
    const values = await this.model.column(one.column);
    const places = [];
    for (let i = 0; i < this.model.n; i++) if (values[i] === one.level) places.push(i);
    return places;
  }

  // The selection anew, after a choice. False where another one has begun meanwhile.
  async select() {
    const turn = (this.selecting = (this.selecting ?? 0) + 1);
    const { picks, filters, search } = this.state;
    const { n } = this.model;
    let [selection, fails, failing] = [null, null, null];
    if (picks.length || filters.length || search) {
      fails = new Uint8Array(n).fill(picks.length && picks[0].sign > 0 ? 255 : 0);
      for (const one of picks) for (const place of await this.placesOf(one)) fails[place] = one.sign > 0 ? 0 : 255;
      if (n > MANY) await breathe();
      if (search) {
        const found = await this.search(search);
        for (let i = 0; i < n; i++) if (!found(i)) fails[i] = 255;
      }
      failing = new Uint8Array(n);
      for (const [k, { key, levels, low, high }] of filters.entries()) {
        const values = await this.valuesOf(key);
        const kept = levels && new Set(levels);
        for (let i = 0; i < n; i++) {
          if (fails[i] === 255 || (kept ? kept.has(values[i]) : values[i] >= low && values[i] <= high)) continue;
          fails[i] += 1;
          failing[i] = k + 1;
        }
      }
      if (n > MANY) await breathe();
      let count = 0;
      for (let i = 0; i < n; i++) if (!fails[i]) count += 1;
      selection = new Uint32Array(count);
      for (let i = 0, k = 0; i < n; i++) if (!fails[i]) selection[k++] = i;
    }
    if (turn !== this.selecting) return false;
    this.state.selection = selection;
    this.passing = { fails, failing };
    return true;
  }

  // Whether the row at a place has these letters in its id, or is of a class whose name has them.
  async search(text) {
    const wanted = text.toLowerCase();
    const { columns } = this.model.manifest;
    const classes = [];
    for (const [i, { levels }] of columns.entries()) {
      const held = levels?.map((level) => level.toLowerCase().includes(wanted));
      if (held?.includes(true)) classes.push([held, await this.model.column(i)]);
    }
    return (place) => {
      const row = place;
      return this.model.id(row).toLowerCase().includes(wanted) || classes.some(([held, codes]) => held[codes[row]]);
    };
  }

  selectedMask() {
    const { selection } = this.state;
    if (!selection) return null;
    const mask = new Uint8Array(this.model.n);
    for (const place of selection) mask[place] = 1;
    return mask;
  }

  // --- questions ---

  // The k rows whose posterior means are nearest, as [{row, distance}]; distances in spreads of the active units.
  // By the angle, distances are 1 - the cosine of centred latents.
  async nearest(z, k = 1, exceptRow = -1, angle = false) {
    const { units, weight } = this.model.manifest.far;
    const centre = angle ? units.map((unit) => this.model.units[unit].mean) : null;
    const { rows, distances } = await ask("nearest", { z, units, weight, k, except: exceptRow, centre });
    return rows.map((row, i) => ({ row, distance: distances[i] }));
  }

  // {near: 0..1 and more in units of what is far, words}: how far a point is from every row.
  farness(distance) {
    const { median, far } = this.model.manifest.far;
    if (this.unused) return { share: 0, words: "all rows have the same latents: no unit is used" };
    if (!far) return { share: 0, words: "too few rows to measure distances" };
    const share = distance / far;
    if (share <= 1) return { share, words: distance <= median ? "near the centre of the data" : "within the data" };
    return {
      share,
      words: `far from the data: ${format(share, 2)} times the usual distance between neighbouring rows`,
    };
  }

  // What is under a pointer that only hovers, decoded without moving the cross; null where there is none.
  hover(z) {
    if (!z && !this.hovered) return;
    this.hovered = z;
    this.onhover();
  }

  decode(z, n = 1, codes = this.state.label) {
    return this.model.decoder.decode(z, n, codes);
  }

  choose(row) {
    const z = this.model.latent(row);
    if (!this.model.manifest.conditional) this.set({ row, z });
    else this.model.classOf(row).then((label) => this.set({ row, z, label }), this.errors);
  }

  async toNearest() {
    const [found] = await this.nearest(this.state.z);
    if (found) this.choose(found.row);
  }

  // [[name, value]] of a row: its id, its labels, the parts of its ELBO.
  async factsOf(row) {
    const { model } = this;
    const facts = [["row", model.id(row)]];
    const { columns } = model.manifest;
    for (let i = 0; i < columns.length; i++) {
      if (columns[i].role === "cell") continue;
      const value = (await model.column(i))[row];
      facts.push([
        columns[i].name,
        columns[i].kind === "category" ? (columns[i].levels[value] ?? "none") : format(value),
      ]);
    }
    for (const [name, word] of Object.entries(model.words)) {
      if (model.manifest.arrays[name]) facts.push([word, `${format((await this.array(name))[row])} nats`]);
    }
    return facts;
  }
}
