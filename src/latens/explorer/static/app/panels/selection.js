// The rows of the lasso, or of a category: how many, what they have in common, their ids.

import { breathe, button, count3, format, h, latest, replace } from "../dom.js";
import { download, saveCsv } from "../save.js";
import { isPhoto } from "../thumbs.js";
import { cut, heading, panel, saveStrip, strip, thumbWidth } from "./parts.js";

const [SOME, SHEET] = [17, 24]; // rows that are shown: beside their mean, and of photographs alone
const PHOTO = 64; // CSS pixels of a photograph
const SLICE = 100000; // rows between two rests

// For each number below n; of many the page answers in between.
async function slices(n, each) {
  for (let from = 0; from < n; from += SLICE) {
    if (from) await breathe();
    for (let i = from; i < Math.min(n, from + SLICE); i++) each(i);
  }
}

export function selectionPanel(app) {
  const { model } = app;
  const body = h("div", { class: "stack" });
  const tables = h("div", { class: "stack" });
  const pictures = h("div", { class: "strip" });
  const photos = isPhoto(model.event);
  const title = h("span", {}, photos ? "Examples" : "Decoded mean, and examples");
  const rows = () => app.state.selection ?? new Uint32Array(0);
  const ids = (chosen) => Array.from(chosen, (row) => model.id(row)).join("\n");

  async function table(kind) {
    const lines = [];
    const chosen = rows();
    for (let i = 0; i < model.manifest.columns.length; i++) {
      const column = model.manifest.columns[i];
      if (column.kind !== kind || (column.role === "cell" && i >= 64)) continue;
      const values = await model.column(i);
      if (kind === "category") {
        // The last place counts rows without a level, whose code is -1.
        const none = column.levels.length;
        const [inside, all] = [new Float64Array(none + 1), new Float64Array(none + 1)];
        await slices(chosen.length, (j) => inside[values[chosen[j]] < 0 ? none : values[chosen[j]]]++);
        await slices(values.length, (j) => all[values[j] < 0 ? none : values[j]]++);
        const found = Array.from(inside.keys())
          .filter((level) => inside[level])
          .sort((p, q) => inside[q] - inside[p]);
        for (const level of found.slice(0, 12)) {
          const share = (n, of) => `${format((100 * n) / of, 3)} %`;
          const name = `${column.name} = ${column.levels[level] ?? "none"}`;
          lines.push([name, count3(inside[level]), share(inside[level], chosen.length), share(all[level], model.n)]);
        }
      } else lines.push([column.name, ...(await moments(values, chosen))]);
      if (model.n > SLICE) await breathe();
    }
    if (kind === "number") {
      for (const [name, word] of model.manifest.words) {
        if (model.manifest.arrays[name]) lines.push([`${word} (nats)`, ...(await moments(await app.array(name), app.state.selection))]);
      }
    }
    return lines;
  }

  async function moments(values, chosen) {
    const of = async (count, at) => {
      let [n, sum, squares] = [0, 0, 0];
      await slices(count, (i) => {
        const v = at(i);
        if (!Number.isFinite(v)) return;
        n += 1;
        sum += v;
        squares += v * v;
      });
      const mean = sum / n;
      return [mean, Math.sqrt(Math.max(squares / n - mean * mean, 0))];
    };
    const [mean, spread] = await of(chosen.length, (i) => values[chosen[i]]);
    const [overall] = await of(values.length, (i) => values[i]);
    return [format(mean), format(spread), format(overall)];
  }

  const asTable = (head, lines) =>
    lines.length
      ? h(
          "div",
          { class: "tablebox" },
          h(
            "table",
            { class: "values" },
            h(
              "thead",
              {},
              h(
                "tr",
                {},
                head.map((word) => h("th", { scope: "col" }, word)),
              ),
            ),
            h(
              "tbody",
              {},
              lines.map(([name, ...rest]) =>
                h(
                  "tr",
                  {},
                  h("th", { scope: "row" }, name),
                  rest.map((cell) => h("td", {}, cell)),
                ),
              ),
            ),
          ),
        )
      : null;

  function exportCsv() {
    const chosen = rows();
    const header = ["row_id", ...model.units.map((u) => `mean${u.index}`)];
    const lines = function* () {
      yield header;
      for (const row of chosen) yield [model.id(row), ...model.latent(row)];
    };
    saveCsv("selection", lines()).catch(app.errors);
  }

  const show = latest(async () => {
    const { selection } = app.state;
    if (!selection?.length) {
      replace(
        body,
        h(
          "p",
          { class: "muted" },
          selection
            ? "The selection is empty."
            : "Choose Lasso (key L) and draw around some points, or click a label under the scatter: Shift adds, " +
                "Alt removes.",
        ),
      );
      replace(pictures);
      replace(tables);
      pictures.made = pictures.items = null;
      return;
    }
    const chosen = rows();
    const [categories, numbers] = [await table("category"), await table("number")];
    replace(
      body,
      h(
        "p",
        {},
        h("strong", {}, `${count3(chosen.length)} ${photos ? "photograph" : "row"}${chosen.length > 1 ? "s" : ""}`),
        ` of ${count3(model.n)}: ${app.pickedWords()}`,
      ),
      h(
        "div",
        { class: "actions" },
        button("Copy ids", (event) => copy(event.currentTarget, ids(chosen))),
        button("Ids as text", () =>
          download(
            "selection.txt",
            new Blob([`${ids(chosen)}\n`], { type: "text/plain" }),
          ),
        ),
        button("Ids and latents as CSV", exportCsv),
      ),
    );
    replace(
      tables,
      asTable(["level", "rows", "of these", "of all"], categories),
      asTable(["number", "mean", "standard deviation", "mean of all"], numbers),
    );
    const centre = new Float32Array(model.size);
    const { mean } = model;
    await slices(chosen.length, (i) => {
      const place = selection[i] * model.size;
      for (let j = 0; j < model.size; j++) centre[j] += mean[place + j] / chosen.length;
    });
    const count = Math.min(chosen.length, photos ? SHEET : SOME);
    const some = Array.from({ length: count }, (_, i) => chosen[Math.floor((i * chosen.length) / count)]);
    if (photos) title.textContent = count < chosen.length ? `${count} of these ${count3(chosen.length)}` : "These photographs";
    const [decoded, ...values] = await Promise.all([app.decode(centre), ...some.map((row) => model.row(row))]);
    strip(
      app,
      pictures,
      [
        !photos && {
          values: cut(decoded, 0, model.cells),
          caption: "their mean",
          onclick: () => app.set({ z: centre }),
          title: "decoded at the mean of their latents",
        },
        ...some.map((row, i) => ({
          values: Float32Array.from(values[i]),
          caption: model.id(row),
          onclick: () => app.choose(row),
        })),
      ].filter(Boolean),
      photos ? PHOTO : thumbWidth(app),
    );
  });

  const element = panel(
    "Selection",
    body,
    photos ? null : tables,
    heading(title, saveStrip(app, "selection", pictures, photos ? 8 : 9)),
    pictures,
    photos ? tables : null,
  );
  return { id: "selection", title: "Selection", element, wants: ["selection", "theme"], update: show };
}

export async function copy(control, text) {
  const before = control.textContent;
  try {
    await navigator.clipboard.writeText(text);
    control.textContent = "Copied";
  } catch {
    control.textContent = "The browser blocked it";
  }
  setTimeout(() => {
    control.textContent = before;
  }, 1500);
}
