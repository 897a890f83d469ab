// Runs the page's modules that need no browser, for tests/support/explorer_fixtures.py: a JSON question on stdin, an answer
// on stdout. `app` is the address of the folder of modules.
import { readFileSync } from "node:fs";

const [app] = process.argv.slice(2);
const load = (name) => import(new URL(name, app));
const bytes = (file) => {
  const raw = readFileSync(file);
  return raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.byteLength);
};

const ANSWERS = {
  async decode({ jobs }) {
    const { readSafetensors } = await load("safetensors.js");
    const { pageDecoder } = await load("decode.js");
    return jobs.map(({ spec, file, size, z, n, codes }) =>
      Array.from(pageDecoder(spec, readSafetensors(bytes(file)), size)(z, n, codes)),
    );
  },
  async cells({ column, values }) {
    const { cellText } = await load("event.js");
    return values.map((value) => cellText(column, value));
  },
  async times({ days }) {
    const { numberText } = await load("event.js");
    return days.map((day) => numberText({ days: true }, day));
  },
  async places({ grid, cells }) {
    const { numberAt } = await load("grid.js");
    return cells.map((cell) => numberAt(grid, cell));
  },
  async texts({ event, rows }) {
    const { textOf } = await load("event.js");
    return rows.map((row) => textOf(event, row));
  },
  async activations({ x }) {
    const { ACTIVATIONS } = await load("networks.js");
    return Object.fromEntries(Object.entries(ACTIVATIONS).map(([name, f]) => [name, x.map(f)]));
  },
  async damaged({ file }) {
    const { readSafetensors } = await load("safetensors.js");
    try {
      readSafetensors(bytes(file));
      return "read";
    } catch (error) {
      return error.message;
    }
  },
  async plane({ x, y, polygon }) {
    const { insidePolygon } = await load("geometry.js");
    return Array.from(insidePolygon(Float32Array.from(x), Float32Array.from(y), polygon));
  },
  async density({ x, y, share }) {
    const { BLUR, CELLS, contour, densities, levelHolding } = await load("density.js");
    const box = [-5, 5, -10, 10];
    const [cells] = densities(Float32Array.from(x), Float32Array.from(y), box, null, 1);
    return { pieces: contour(cells, levelHolding(cells, share), box), smoothing: (BLUR * 10) / CELLS, sum: cells.reduce((a, b) => a + b) };
  },
  async space({ mean, size, z, units, weight, k, except }) {
    const { nearestRows } = await load("geometry.js");
    return { nearest: nearestRows(Float32Array.from(mean), size, z, units, weight, k, except) };
  },
  async paths({ a, b, steps }) {
    const { path, traversal } = await load("geometry.js");
    return {
      linear: Array.from(path(a, b, steps, "linear")),
      spherical: Array.from(path(a, b, steps, "spherical")),
      along: Array.from(traversal(a, 1, -1, 1, 3)),
    };
  },
  async links({ states, hashes }) {
    const { readLink, writeLink } = await load("permalink.js");
    return { back: states.map((state) => readLink(`#${writeLink(state)}`)), read: hashes.map(readLink) };
  },
  async csv({ rows }) {
    const { csvText } = await load("save.js");
    return csvText(rows);
  },
  async inOrder({ names }) {
    return (await load("dom.js")).inOrder(names);
  },
  // What rows of a table have that are as it was asked for, beside what is said of them.
  async alike({ cells, asked, given, place, level, said }) {
    const { alikeText, besideText, rowsAlike } = await load("alike.js");
    const columns = cells.map((_, cell) => ({ cell }));
    const model = { n: cells[0].length, manifest: { columns }, column: async (i) => Float32Array.from(cells[i], (v) => v ?? NaN) };
    const found = await rowsAlike(model, asked, given);
    if (!found) return null;
    const text = await besideText(model, asked[place], place, found, level, said);
    return { ...found, note: alikeText(found, model.n), text };
  },
  // The values of a column of What if that are compared.
  async compared({ column }) {
    return (await load("panels/compare.js")).lines(column);
  },
  async fixed({ value }) {
    return (await load("dom.js")).fixed(value);
  },
  async order({ n }) {
    const { mixedOrder } = await load("points.js");
    return Array.from(await mixedOrder(n));
  },
};

const { what, ...question } = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(await ANSWERS[what](question)));
