// The latent units: how much each says (KL), and how the aggregated posterior lies against the prior.

import { format, h, latest, replace, select } from "../dom.js";
import { bars, densities } from "../chart.js";
import { histogram } from "../geometry.js";
import { saveButtons } from "../save.js";
import { theme } from "../theme.js";
import { heading, panel } from "./parts.js";

const BINS = 48;

export function unitsPanel(app) {
  const { model } = app;
  const kl = h("div", {});
  const against = h("div", {});
  const note = h("p", { class: "note" });
  const chooser = h("div", {});
  let drawn = null;
  let table = null;

  const levels = model.manifest.levels ?? [];
  const byLevel = h("div", {});
  const size = (level) => level.shape.join(" x ");

  const show = latest(async () => {
    const t = theme();
    if (levels.length) {
      replace(
        byLevel,
        bars(
          levels
            .map((level, i) => ({
              name: `level ${i + 1}: ${size(level)}`,
              short: String(i + 1),
              value: level.kl,
              colour: t.first,
            }))
            .reverse(),
          { title: `KL (nats) by level of the model, in the order of sampling; level 1 is sampled last` },
        ),
      );
    }
    const ordered = model.order.slice(0, 64).map((unit) => model.units[unit]);
    replace(
      kl,
      bars(
        ordered.map((u) => ({
          name: `unit ${u.index}`,
          short: String(u.index),
          value: model.weightOf(u.index),
          colour: u.active ? t.first : t.dead,
        })),
        { title: `${model.measure} by unit; unused units are grey` },
      ),
    );
    const unit = app.state.unit ?? model.order[0];
    replace(
      chooser,
      select(
        "unit",
        model.order.map((u) => [String(u), `unit ${u}`]),
        String(unit),
        (u) => app.set({ unit: Number(u) }),
      ),
    );
    const draws = await posteriorDraws(unit);
    const prior = model.manifest.arrays.prior ? model.unitValues(unit, await model.array("prior")) : null;
    const both = [...sorted(draws), ...(prior ? sorted(prior) : [])];
    const [low, high] = [Math.min(...both), Math.max(...both)];
    const items = [{ name: "aggregated posterior", counts: histogram(draws, low, high, BINS), colour: t.first }];
    if (prior) items.push({ name: "prior", counts: histogram(prior, low, high, BINS), colour: t.second, dash: "5 3" });
    drawn = densities(items, low, high, { title: `unit ${unit}: density of draws`, xLabel: `unit ${unit}` });
    replace(against, drawn);
    const wide = (high - low) / BINS;
    table = [
      ["from", "to", ...items.map((item) => item.name)],
      ...Array.from({ length: BINS }, (_, i) => [
        low + i * wide,
        low + (i + 1) * wide,
        ...items.map((item) => item.counts[i]),
      ]),
    ];
    const u = model.units[unit];
    note.textContent = prior
      ? `Posterior means of the rows: mean ${format(u.mean, 3)}, spread ${format(u.spread, 3)}. If the two densities ` +
        "differ, samples from the prior decode to unusual rows."
      : "An autoencoder has no prior.";
  });

  // One draw from the posterior of each of at most 50,000 rows.
  async function posteriorDraws(unit) {
    const means = model.unitValues(unit);
    const log = model.manifest.arrays.log_var ? model.unitValues(unit, await app.array("log_var")) : null;
    const step = Math.max(1, Math.floor(means.length / 50000));
    const out = [];
    let state = 1;
    const uniform = () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return (state + 0.5) / 4294967296;
    };
    for (let i = 0; i < means.length; i += step) {
      const noise = Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
      out.push(log ? means[i] + Math.exp(0.5 * log[i]) * noise : means[i]);
    }
    return Float32Array.from(out);
  }

  const sorted = (values) => {
    const all = Array.from(values).sort((p, q) => p - q);
    return [all[Math.floor(0.002 * all.length)], all[Math.min(all.length - 1, Math.ceil(0.998 * all.length))]];
  };

  const saveKl = saveButtons("units", {
    svg: () => kl.querySelector("svg"),
    csv: () => [
      ["unit", "kl_nats", "spread_of_mean", "active"],
      ...model.units.map((u) => [u.index, u.kl ?? Number.NaN, u.spread, u.active ? 1 : 0]),
    ],
  });
  const saveLevels = saveButtons("levels", {
    svg: () => byLevel.querySelector("svg"),
    csv: () => [["level", "shape", "kl_nats"], ...levels.map((level, i) => [i + 1, size(level), level.kl])],
  });
  const saveAgainst = saveButtons("prior-and-posterior", { svg: () => drawn, csv: () => table });
  const element = panel(
    "Units",
    ...(levels.length ? [heading("KL of each level", saveLevels), byLevel] : []),
    heading("Each unit", saveKl),
    kl,
    heading("Aggregated posterior and prior", saveAgainst),
    chooser,
    against,
    note,
  );
  return { id: "units", title: "Units", element, wants: ["unit", "theme"], update: show };
}
