// The scatter of posterior means: drag or hover to decode, draw a lasso, move and zoom, point at a row for its card.

import { breathe, button, count3, format, h, latest, perFrame, replace, s, select } from "./dom.js";
import { colourChoices, colourValues, columnGroup, levelColour, pointColours } from "./colours.js";
import { contour, densities, levelHolding } from "./density.js";
import { extent } from "./geometry.js";
import { listen, MODES } from "./gestures.js";
import { fillCard, legend } from "./legend.js";
import { viewOptions } from "./options.js";
import { overlay } from "./overlay.js";
import { Points } from "./points.js";
import { fileButtons } from "./scatter-files.js";
import { css, theme } from "./theme.js";
import { isPhoto, Thumbs } from "./thumbs.js";

const HELP =
  "Points of the latent space. Arrow keys move the decoded point, with Shift the view; plus and minus zoom, " +
  "0 shows all, Enter goes to the nearest row, A, B and C mark it, Escape clears the selection.";
const NEAR = 12; // pixels from a point that count as on it
const CLOSEST = 1e-4; // of what all rows take up: single precision shows no more
const FURTHEST = 10;
const FEWEST = 50; // rows from which on some may lie outside of the first view
const AT_AN_END = 0.01; // the share of rows at either end of an axis that may
const SQUEEZED = 1.5; // all rows take up so many times what nearly all do
const MOST_TRACED = 60; // classes with a contour and a name at their centre

const UNUSED = "No latent unit is used, so all rows have the same latents.";

export class Scatter {
  constructor(app) {
    this.app = app;
    this.canvas = h("canvas", { class: "points", "aria-hidden": "true" });
    this.over = s("svg", { class: "over", "aria-hidden": "true" });
    this.card = h("div", { class: "card", hidden: true, role: "status" });
    this.thumbs = isPhoto(app.model.event) ? new Thumbs(this) : null;
    this.stage = h(
      "div",
      { class: "stage", tabindex: 0, role: "application", "aria-label": HELP },
      this.canvas,
      this.thumbs?.canvas,
      this.over,
      this.card,
    );
    this.legend = h("div", { class: "legend", role: "group", "aria-label": "colours" });
    this.selected = h("div", { class: "selected", role: "status" });
    this.hint = !("z" in app.began);
    this.tools = h("div", { class: "tools" });
    this.undo = button("Undo", () => app.undo(), { title: "Ctrl+Z", disabled: true });
    this.redo = button("Redo", () => app.redo(), { title: "Ctrl+Shift+Z", disabled: true });
    app.onpast = () => {
      this.undo.disabled = !app.past.length;
      this.redo.disabled = !app.future.length;
    };
    this.note = h("p", { class: "note", "aria-live": "polite" });
    this.away = h("p", { class: "away", role: "status" });
    this.options = viewOptions(app);
    this.element = h(
      "section",
      { class: "panel scatter", "aria-label": "latent space" },
      this.tools,
      this.options,
      this.stage,
      this.away,
      this.selected,
      this.legend,
      this.note,
    );
    this.points = new Points(this.canvas);
    this.points.onrestored = () => this.draw();
    if (!this.points.gl) this.note.textContent = "This browser has no WebGL 2: at most 120,000 points are drawn.";
    else if (app.unused) this.note.textContent = UNUSED;
    this.redraw = perFrame((moving) => this.draw(moving));
    this.showCard = latest((place) => fillCard(this, place));
    new ResizeObserver(() => this.#resize()).observe(this.stage);
    listen(this);
  }

  // --- what is drawn ---

  axisChoices() {
    const { model } = this.app;
    const choices = model.order.map((u) => [
      `u${u}`,
      `unit ${u}${model.units[u].active ? "" : " (unused)"}`,
      "latent units",
    ]);
    if (model.size > 1)
      choices.push(["p0", "principal axis 1", "principal axes"], ["p1", "principal axis 2", "principal axes"]);
    model.manifest.columns.forEach((column, i) => {
      if (column.kind === "number") choices.push([`c${i}`, column.name, columnGroup(column)]);
    });
    return choices;
  }

  buildTools() {
    const { app } = this;
    const { state } = app;
    const choices = this.axisChoices();
    replace(
      this.tools,
      select("across", choices, state.x, (x) => app.set({ x, view: null })),
      select("up", choices, state.y, (y) => app.set({ y, view: null })),
      select("colour", colourChoices(app), state.colour, (colour) => app.set({ colour })),
      h(
        "div",
        { class: "modes", role: "group", "aria-label": "what dragging does" },
        MODES.map(([mode, word, key]) =>
          button(word, () => app.set({ mode }), {
            "aria-pressed": String(state.mode === mode),
            title: `key ${key.toUpperCase()}`,
            "data-mode": mode,
          }),
        ),
      ),
      button("Show all", () => this.showAll(), { title: "key 0" }),
      this.undo,
      this.redo,
      fileButtons(this),
    );
  }

  axisName(axis) {
    const place = Number(axis.slice(1));
    if (axis[0] === "u") return `unit ${place}`;
    if (axis[0] === "p")
      return `principal axis ${place + 1} (${format(100 * this.app.model.axes.shares[place], 3)} % of the variance)`;
    return this.app.model.manifest.columns[place].name;
  }

  // Coordinates anew: axes changed.
  async place() {
    const { app } = this;
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const up = app.state.y;
    const x = await app.coordinates(app.state.x);
    await breathe();
    const y = await app.coordinates(up);
    if (turn !== this.turn) return;
    await breathe();
    [this.x, this.y] = [x, y];
    this.setView(app.state.view);
    await this.points.set(x, y);
    await breathe();
    if (turn !== this.turn) return;
    await this.recolour();
    if (turn !== this.turn) return;
    this.stage.dataset.ready = "true";
  }

  whole() {
    const [x0, x1] = extent(this.x);
    const [y0, y1] = extent(this.y);
    const [px, py] = [(x1 - x0 || 1) * 0.06, (y1 - y0 || 1) * 0.06];
    return [x0 - px, x1 + px, y0 - py, y1 + py];
  }

  // A view of the same middle that is neither so close that single precision ends, nor so far that nothing is seen.
  limited(view) {
    const all = this.whole();
    const bounds = (low, high, from, to) => {
      const wide = Math.min(Math.max(high - low, CLOSEST * (to - from)), FURTHEST * (to - from));
      const middle = Math.min(Math.max((low + high) / 2, from - 0.4 * wide), to + 0.4 * wide);
      return wide === high - low && middle === (low + high) / 2 ? [low, high] : [middle - wide / 2, middle + wide / 2];
    };
    return [...bounds(view[0], view[1], all[0], all[1]), ...bounds(view[2], view[3], all[2], all[3])];
  }

  // As much of a factor of the size of a view as `limited` lets through, the same for both axes.
  bounded(factor, [x0, x1, y0, y1]) {
    const all = this.whole();
    const [across, up] = [(all[1] - all[0]) / (x1 - x0), (all[3] - all[2]) / (y1 - y0)];
    const [least, most] = [CLOSEST * Math.max(across, up), FURTHEST * Math.min(across, up)];
    return Math.min(Math.max(factor, Math.min(least, 1)), Math.max(most, 1));
  }

  setView(view) {
    this.view = this.fitted(view ? this.limited(view) : this.most());
  }

  // The part of the plane in which nearly all rows lie, where a few lie so far away that they would squeeze the others.
  most() {
    const all = this.whole();
    if (this.x.length < FEWEST) return all;
    const around = (values, low, high) => {
      const sorted = Float32Array.from(values).filter(Number.isFinite).sort();
      const at = (share) => sorted[Math.round(share * (sorted.length - 1))];
      const [from, to] = [at(AT_AN_END), at(1 - AT_AN_END)];
      const wide = 0.25 * (to - from);
      return (to - from + 2 * wide) * SQUEEZED < high - low ? [Math.max(low, from - wide), Math.min(high, to + wide)] : [low, high];
    };
    return [...around(this.x, all[0], all[1]), ...around(this.y, all[2], all[3])];
  }

  // How many rows lie outside of the view that the page begins with; 0 in any other view.
  outside() {
    if (this.app.state.view !== null) return 0;
    let count = 0;
    for (let i = 0; i < this.x.length; i++) if (!this.lies(i, this.view)) count += 1;
    return count;
  }

  // Whether a point lies in a part of the plane.
  lies(i, box) {
    return this.x[i] >= box[0] && this.x[i] <= box[1] && this.y[i] >= box[2] && this.y[i] <= box[3];
  }

  // All rows, however far away some of them are.
  showAll() {
    const all = this.whole();
    this.app.set({ view: this.most().some((edge, i) => edge !== all[i]) ? all : null });
  }

  // With equal scales: as much more of one axis as makes a step as long as on the other.
  fitted([x0, x1, y0, y1]) {
    if (!this.app.state.equal || !this.width) return [x0, x1, y0, y1];
    const step = Math.max((x1 - x0) / this.width, (y1 - y0) / this.height);
    const [cx, cy] = [(x0 + x1) / 2, (y0 + y1) / 2];
    const [wide, tall] = [step * this.width, step * this.height];
    return [cx - wide / 2, cx + wide / 2, cy - tall / 2, cy + tall / 2];
  }

  // Show another part of the plane; the address follows once it is at rest.
  look(view) {
    this.setView(view);
    this.redraw(true);
    clearTimeout(this.settled);
    this.settled = setTimeout(() => this.app.set({ view: this.view }), 250);
  }

  async recolour() {
    if (!this.x) return;
    const { app } = this;
    this.found = await colourValues(app, app.state.colour);
    const n = this.x.length;
    const alpha = Math.min(1, app.state.opacity * (n > 200000 ? 0.4 : n > 20000 ? 0.65 : 0.9));
    const turn = (this.colouring = (this.colouring ?? 0) + 1);
    const colours = await pointColours(this.found, this.points.order, alpha, app.selectedMask());
    if (turn !== this.colouring || colours.length !== this.points.n) return;
    this.points.colours(colours);
    legend(this);
    this.trace();
    this.draw();
  }

  // Contours and centres of what is shown now: of each class, or of all points together.
  trace() {
    const { found, x, y, app } = this;
    const [named, t] = [found.kind === "category", theme()];
    const levels = named ? found.levels.slice(0, MOST_TRACED) : [""];
    const groups = levels.map((level, i) => [level, named ? css(levelColour(i)) : t.text]);
    this.contours = [];
    if (app.state.contours) {
      const box = this.whole();
      densities(x, y, box, named ? found.values : null, groups.length).forEach((cells, k) => {
        for (const share of named ? [0.5] : [0.5, 0.9]) {
          const level = levelHolding(cells, share);
          if (level > 0) this.contours.push({ colour: groups[k][1], pieces: contour(cells, level, box) });
        }
      });
    }
    this.centres = [];
    if (!app.state.names || !named) return;
    const sums = groups.map(() => [0, 0, 0]);
    for (let i = 0; i < x.length; i++) {
      const sum = sums[found.values[i]];
      if (sum) [sum[0], sum[1], sum[2]] = [sum[0] + x[i], sum[1] + y[i], sum[2] + 1];
    }
    groups.forEach(([level], k) => {
      const [sx, sy, n] = sums[k];
      if (n) this.centres.push([level, sx / n, sy / n]);
    });
  }

  #resize() {
    const { app } = this;
    const scale = Math.max(1, globalThis.devicePixelRatio || 1);
    this.width = this.stage.clientWidth;
    this.height = this.stage.clientHeight;
    this.canvas.width = Math.round(this.width * scale);
    this.canvas.height = Math.round(this.height * scale);
    this.over.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    this.over.setAttribute("width", this.width);
    this.over.setAttribute("height", this.height);
    if (this.x) this.setView(app.state.view);
    this.draw();
  }

  pointSize() {
    const n = this.x?.length ?? 0;
    const plain = n > 200000 ? 1.5 : n > 20000 ? 2.4 : n > 3000 ? 4 : 6;
    return this.app.state.size * plain * Math.max(1, globalThis.devicePixelRatio || 1);
  }

  px = (v) => ((v - this.view[0]) / (this.view[1] - this.view[0])) * this.width;
  py = (v) => (1 - (v - this.view[2]) / (this.view[3] - this.view[2])) * this.height;
  fromX = (p) => this.view[0] + (p / this.width) * (this.view[1] - this.view[0]);
  fromY = (p) => this.view[2] + (1 - p / this.height) * (this.view[3] - this.view[2]);

  draw(moving = false) {
    if (!this.view || !this.width) return;
    this.points.draw(this.view, this.pointSize(), moving && this.x.length > 120000);
    replace(this.over, overlay(this));
    this.thumbs?.draw(moving);
    if (!moving) this.sayEmpty();
    if (moving && this.x.length > 120000) {
      clearTimeout(this.later);
      this.later = setTimeout(() => this.draw(), 150);
    }
  }

  // Words under a view of a small part in which no row lies.
  sayEmpty() {
    const [x0, x1, y0, y1] = this.view;
    const all = this.whole();
    const near = (x1 - x0) * (y1 - y0) < 0.05 * (all[1] - all[0]) * (all[3] - all[2]);
    let i = near ? 0 : this.x.length;
    while (i < this.x.length && !this.lies(i, this.view)) i++;
    const empty = near && i === this.x.length;
    const n = empty ? 0 : this.outside();
    const far = `${count3(n)} of ${count3(this.x.length)} rows ${n === 1 ? "is" : "are"} outside this view. `;
    const words = empty ? "There are no rows in this view. " : n ? far : "";
    if (words === this.said) return;
    this.said = words;
    const all0 = button("Show all", () => this.showAll(), { title: "key 0" });
    replace(this.away, words ? [words, all0] : null);
  }

  // Where the decoded point lies in this plane; null on axes that are no function of the latent.
  pointer() {
    const { app } = this;
    const { z } = app.state;
    return z && this.moves() ? [app.along(app.state.x, z)[0], app.along(app.state.y, z)[0]] : null;
  }

  // Whether a point of this plane is a latent.
  moves() {
    return this.app.state.x[0] !== "c" && this.app.state.y[0] !== "c";
  }

  // The latent at a point of the plane: what the plane does not say stays as it is.
  moved(x, y) {
    const { app } = this;
    const z = Float32Array.from(app.state.z);
    if (!this.moves()) return null;
    for (const [axis, value] of [[app.state.x, x], [app.state.y, y]]) {
      const place = Number(axis.slice(1));
      if (axis[0] === "u") z[place] = value;
      else {
        const way = value - app.along(axis, z)[0];
        for (let j = 0; j < z.length; j++) z[j] += way * app.model.axes.steps[place][j];
      }
    }
    return z;
  }

  // --- pointer and keys ---

  // The place of the point nearest to a pixel, or -1.
  under(px, py, reach = NEAR) {
    if (!this.x) return -1;
    const box = [this.fromX(px - reach), this.fromX(px + reach), this.fromY(py + reach), this.fromY(py - reach)];
    let best = -1;
    let least = reach * reach;
    for (let i = 0; i < this.x.length; i++) {
      if (!this.lies(i, box)) continue;
      const away = (this.px(this.x[i]) - px) ** 2 + (this.py(this.y[i]) - py) ** 2;
      if (away <= least) [best, least] = [i, away];
    }
    return best;
  }

  zoom(factor, px = this.width / 2, py = this.height / 2) {
    const [x, y] = [this.fromX(px), this.fromY(py)];
    const [x0, x1, y0, y1] = this.view;
    const by = this.bounded(factor, this.view);
    this.look([x + (x0 - x) * by, x + (x1 - x) * by, y + (y0 - y) * by, y + (y1 - y) * by]);
  }

  // How many rows are selected, and what clears it: in sight whatever panel is open.
  nameSelection() {
    const { app } = this;
    const { selection } = app.state;
    if (!selection) return replace(this.selected);
    const n = selection.length;
    replace(
      this.selected,
      h("strong", {}, `${count3(n)} row${n === 1 ? "" : "s"} selected`),
      h("span", { class: "muted" }, app.pickedWords()),
      button("Clear", () => app.clear(), { title: "key Escape" }),
      h("span", { class: "muted keys" }, "Shift adds, Alt removes"),
    );
  }

  hover(px, py) {
    const { app } = this;
    app.hover(app.state.mode === "decode" ? this.moved(this.fromX(px), this.fromY(py)) : null);
    const place = this.under(px, py);
    this.stage.classList.toggle("on-point", place >= 0);
    if (place < 0) {
      this.card.hidden = true;
      this.pointed = -1;
      return;
    }
    if (place !== this.pointed) this.showCard(place);
    this.pointed = place;
    const right = px + 240 > this.width;
    this.card.style.left = `${Math.max(4, right ? px - 16 - this.card.offsetWidth : px + 16)}px`;
    this.card.style.top = `${Math.max(4, Math.min(py - 20, this.height - 210))}px`;
  }
}
