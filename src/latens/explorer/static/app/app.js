// What all panels share: the state, the model as it is shown now (the final one, or a snapshot), and questions to it.

import { ask } from "./background.js";
import { readArray } from "./data.js";
import { format, latest } from "./dom.js";
import { readLink, writeLink } from "./permalink.js";

const LINKED = [
  "x",
  "y",
  "colour",
  "z",
  "row",
  "a",
  "b",
  "c",
  "label",
  "step",
  "tab",
  "mode",
  "path",
  "unit",
  "view",
  "lasso",
  "level",
  "theme",
];

export class App {
  constructor(model) {
    this.model = model;
    this.listeners = [];
    this.changed = new Set();
    this.shown = { mean: model.mean, rows: null, n: model.n };
    this.decoder = model.decoder;
    this.errors = () => {};
    const [first, second] = [model.order[0] ?? 0, model.order[1] ?? model.order[0] ?? 0];
    const plane = [Math.min(first, second), Math.max(first, second)];
    const { columns } = model.manifest;
    const label = columns.findIndex((column) => column.role === "label");
    const given = [...columns.keys()].filter((i) => columns[i].role === "coordinate").map((i) => `c${i}`);
    this.state = {
      x: given[0] ?? `u${plane[0]}`,
      y: given[1] ?? `u${plane[1]}`,
      colour: label >= 0 ? `c${label}` : model.manifest.arrays.elbo ? "elbo" : "none",
      z: Float32Array.from(model.units, (u) => u.mean),
      row: null,
      a: null,
      b: null,
      c: null,
      label: 0,
      step: null,
      tab: "point",
      mode: given.length ? "lasso" : "decode",
      path: "linear",
      unit: null,
      view: null,
      lasso: null,
      level: null,
      theme: null,
      selection: null,
      selectionName: "",
    };
    this.first = { ...this.state };
    Object.assign(this.state, this.fitting(readLink(globalThis.location?.hash ?? "")));
    this.writeSoon = latest(async () => {
      await new Promise((resolve) => setTimeout(resolve, 200));
      const different = {};
      for (const name of LINKED) {
        const [now, then] = [this.state[name], this.first[name]];
        if (name === "z" ? now.some((v, i) => v !== then[i]) : now !== then) different[name] = now;
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
    const { columns, arrays, snapshots } = model.manifest;
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
      z: (z) => z.length === model.size,
      step: (step) => snapshots.some((one) => one.step === step),
      label: (code) => code < model.manifest.classes.length,
      unit: (unit) => unit < model.size,
      level: (text) => {
        const [place, code] = text.slice(1).split(".").map(Number);
        return columns[place]?.kind === "category" && code < columns[place].levels.length;
      },
    };
    const kept = Object.fromEntries(
      Object.entries(link).filter(([name, value]) => !checks[name] || checks[name](value)),
    );
    if (kept.z) kept.z = Float32Array.from(kept.z);
    return kept;
  }

  on(listener) {
    this.listeners.push(listener);
  }

  set(patch) {
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
      for (const listener of this.listeners) Promise.resolve(listener(changed)).catch((error) => this.errors(error));
      this.writeSoon();
    });
  }

  // --- which rows are shown ---

  rowAt(place) {
    return this.shown.rows ? this.shown.rows[place] : place;
  }

  placeOf(row) {
    return this.shown.rows ? this.shown.rows.indexOf(row) : row;
  }

  async showStep(step) {
    const { model } = this;
    const snapshot = step === null ? null : model.manifest.snapshots.find((one) => one.step === step);
    if (!snapshot) {
      this.shown = { mean: model.mean, rows: null, n: model.n };
      this.decoder = model.decoder;
    } else {
      const rows = await model.once("snapshot rows", () => readArray(model.manifest.snapshot_rows));
      const shape = [rows.length, model.size];
      const mean = await model.once(`step ${step}`, () => readArray({ file: snapshot.mean, dtype: "float32", shape }));
      const decoder =
        snapshot.decoder &&
        (await model.once(`decoder ${step}`, () => model.makeDecoder(model.manifest.decoder, snapshot.decoder)));
      if (this.state.step !== step) return false;
      this.shown = { mean, rows, n: rows.length };
      this.decoder = decoder ?? model.decoder;
    }
    this.axes = null;
    await ask("means", { values: this.shown.mean, latentSize: model.size });
    if ([this.state.x, this.state.y].some((axis) => axis[0] === "p")) await this.principal();
    return true;
  }

  async principal() {
    this.axes ??= await ask("principal");
    return this.axes;
  }

  selectedMask() {
    const { selection } = this.state;
    if (!selection) return null;
    const mask = new Uint8Array(this.shown.n);
    for (const place of selection) mask[place] = 1;
    return mask;
  }

  // Select the rows shown that have a level of a column, "c2.3": column 2, its level 3.
  async selectLevel(level) {
    const [place, code] = level.slice(1).split(".").map(Number);
    const { name, levels } = this.model.manifest.columns[place];
    const values = await this.model.column(place);
    const places = [];
    for (let i = 0; i < this.shown.n; i++) if (values[this.rowAt(i)] === code) places.push(i);
    const selectionName = `${name} = ${levels[code]}`;
    this.set({ selection: Uint32Array.from(places), selectionName, level, lasso: null });
  }

  // --- questions ---

  // The k rows whose posterior means are nearest, as [{row, distance}]; distances in spreads of the active units.
  async nearest(z, k = 1, exceptRow = -1) {
    const { units, weight } = this.model.manifest.far;
    const { rows, distances } = await ask("nearest", {
      z,
      units,
      weight,
      k,
      except: exceptRow < 0 ? -1 : this.placeOf(exceptRow),
    });
    return rows.map((place, i) => ({ row: this.rowAt(place), distance: distances[i] }));
  }

  // {near: 0..1 and more in units of what is far, words}: how far a point is from every row.
  farness(distance) {
    const { median, far } = this.model.manifest.far;
    if (!far) return { share: 0, words: "there are too few rows to say what is far from them" };
    const share = distance / far;
    if (share <= 1) return { share, words: distance <= median ? "in the midst of the data" : "within the data" };
    return {
      share,
      words: `far from the data: ${format(share, 2)} times as far as 99 % of the rows are from each other`,
    };
  }

  decode(z, n = 1, codes = this.state.label) {
    return this.decoder.decode(z, n, codes);
  }

  choose(row) {
    const z = this.latentOf(row);
    if (!this.model.manifest.conditional) this.set({ row, z });
    else this.model.classOf(row).then((label) => this.set({ row, z, label }), this.errors);
  }

  // The posterior mean of a row in the model shown now.
  latentOf(row) {
    const place = this.placeOf(row);
    const { mean } = this.shown;
    if (place < 0) return this.model.latent(row);
    return mean.slice(place * this.model.size, (place + 1) * this.model.size);
  }

  async reconstruction(row) {
    if (this.decoder === this.model.decoder && this.decoder.kind === "stored") return this.model.reconstruction(row);
    return this.decoder.decode(this.latentOf(row), 1, await this.model.classOf(row));
  }

  async toNearest() {
    const [found] = await this.nearest(this.state.z);
    if (found) this.choose(found.row);
  }

  // [[name, value]] of a row: its id, its labels, the parts of its ELBO.
  async factsOf(row) {
    const { model } = this;
    const facts = [["row", model.id(row)]];
    const { columns, arrays } = model.manifest;
    for (let i = 0; i < columns.length; i++) {
      if (["cell", "coordinate"].includes(columns[i].role)) continue;
      const value = (await model.column(i))[row];
      facts.push([
        columns[i].name,
        columns[i].kind === "category" ? (columns[i].levels[value] ?? "none") : format(value),
      ]);
    }
    for (const [name, word] of [
      ["elbo", "ELBO"],
      ["log_likelihood", "log p(x | z)"],
      ["kl", "KL"],
    ]) {
      if (arrays[name]) facts.push([word, `${format((await model.array(name))[row])} nats`]);
    }
    return facts;
  }
}
