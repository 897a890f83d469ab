// What happened in training: ELBO, log-likelihood and KL over the epochs.

import { h, replace } from "../dom.js";
import { lines } from "../chart.js";
import { saveButtons } from "../save.js";
import { theme } from "../theme.js";
import { heading, panel } from "./parts.js";

export function trainingPanel(app) {
  const { model } = app;
  const charts = h("div", { class: "stack" });

  function records() {
    return model.manifest.history;
  }

  function show() {
    const history = records();
    const t = theme();
    const number = (record, name) => (typeof record[name] === "number" ? record[name] : Number.NaN);
    const drawn = model.manifest.words.map(([term, word]) => {
      const title = `${term === "log_likelihood" ? "E " : ""}${word} (nats)`;
      const series = [
        ["train", t.first, undefined],
        ["validation", t.second, "5 3"],
      ]
        .map(([split, colour, dash]) => ({
          name: split,
          colour,
          dash,
          x: history.map((r) => number(r, "step")),
          y: history.map((r) => number(r, `${split}_${term}`)),
        }))
        .filter((one) => one.y.some(Number.isFinite));
      const markers = [];
      const best = model.manifest.facts.best_step;
      if (typeof best === "number" && history.some((r) => r.step === best)) markers.push({ x: best, label: "best" });
      const svg = series.length ? lines(series, { title, xLabel: "step", markers }) : null;
      const name = `training-${term.replace("_", "-")}`;
      return (
        svg && [
          heading(
            "",
            saveButtons(name, {
              svg: () => svg,
              csv: () => [
                ["step", ...series.map((one) => one.name)],
                ...history.map((r, i) => [r.step, ...series.map((one) => one.y[i])]),
              ],
            }),
          ),
          svg,
        ]
      );
    }).filter(Boolean);
    replace(
      charts,
      drawn.length
        ? drawn
        : h(
            "p",
            { class: "muted" },
            "A model file has no training history. Open a run folder.",
          ),
    );
  }

  const element = panel("Training", charts);
  return {
    id: "training",
    title: "Training",
    element,
    wants: ["theme"],
    update: async () => show(),
  };
}
