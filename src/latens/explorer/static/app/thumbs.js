// Colour pictures on the map: of those in view as many as have room, the same ones every time.

import { levelColour } from "./colours.js";
import { h, latest } from "./dom.js";
import { drawEvent } from "./event.js";
import { css } from "./theme.js";

const SIDE = 40; // CSS pixels
const MOST = 600; // pictures that are kept

export const isPhoto = (event) => event.kind === "image" && event.image[2] === 3;

export class Thumbs {
  constructor(scatter) {
    this.scatter = scatter;
    this.canvas = h("canvas", { class: "points thumbs", "aria-hidden": "true" });
    this.kept = new Map(); // drawn pictures by row
    this.places = []; // of the rows whose pictures are shown
    this.fill = latest(async () => {
      const { app } = this.scatter;
      for (const row of this.places.slice()) {
        if (this.kept.has(row)) continue;
        const values = await app.model.row(row);
        if (this.kept.size >= MOST) this.kept.delete(this.kept.keys().next().value);
        this.kept.set(row, drawEvent(app.model.event, values, { width: SIDE }));
      }
      this.paint();
    });
  }

  // Which rows have room: in the mixed order of the points, one in each square of the view.
  choose() {
    const { scatter } = this;
    const { order } = scatter.points;
    const taken = new Set();
    this.places = [];
    const room = SIDE + 4;
    for (const place of order) {
      const [px, py] = [scatter.px(scatter.x[place]), scatter.py(scatter.y[place])];
      if (!(px > SIDE / 2 && py > SIDE / 2 && px < scatter.width - SIDE / 2 && py < scatter.height - SIDE / 2)) continue;
      if (scatter.app.passing.fails?.[place]) continue;
      const [i, j] = [Math.floor(px / room), Math.floor(py / room)];
      // A picture may reach into the squares around its own.
      const near = this.places.some((other) => Math.max(Math.abs(scatter.px(scatter.x[other]) - px), Math.abs(scatter.py(scatter.y[other]) - py)) < room);
      if (taken.has(`${i},${j}`) || near) continue;
      taken.add(`${i},${j}`);
      this.places.push(place);
      if (this.places.length >= MOST) break;
    }
  }

  draw(moving) {
    if (!this.scatter.x || this.scatter.points.order.length !== this.scatter.x.length) return;
    if (moving) return this.paint();
    this.choose();
    this.paint();
    this.fill();
  }

  paint() {
    const { scatter, canvas } = this;
    const scale = Math.max(1, globalThis.devicePixelRatio || 1);
    [canvas.width, canvas.height] = [Math.round(scatter.width * scale), Math.round(scatter.height * scale)];
    const drawing = canvas.getContext("2d");
    drawing.scale(scale, scale);
    const { values, levels = [] } = scatter.found ?? {}; // of a class: a frame in its colour
    let drawn = 0;
    for (const place of this.places) {
      const picture = this.kept.get(place);
      if (!picture) continue;
      const tall = (SIDE * picture.height) / picture.width;
      const [left, top] = [scatter.px(scatter.x[place]) - SIDE / 2, scatter.py(scatter.y[place]) - tall / 2];
      if (levels[values?.[place]] !== undefined) {
        drawing.fillStyle = css(levelColour(values[place]));
        drawing.fillRect(left - 2, top - 2, SIDE + 4, tall + 4);
      }
      drawing.drawImage(picture, left, top, SIDE, tall);
      drawn += 1;
    }
    canvas.dataset.drawn = drawn;
  }
}
