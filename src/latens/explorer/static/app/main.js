// The page from its beginning: read the data, build the panels, keep them in step with the state.

import { App } from "./app.js";
import { ask, start } from "./background.js";
import { Model, progress, readManifest } from "./data.js";
import { breathe, button, count3, freshId, h, replace } from "./dom.js";
import { aboutPanel } from "./panels/about.js";
import { decodedBox } from "./panels/decoded.js";
import { pathsPanel } from "./panels/paths.js";
import { pointPanel } from "./panels/point.js";
import { rowsPanel } from "./panels/rows.js";
import { copy, selectionPanel } from "./panels/selection.js";
import { tablePanel } from "./panels/table.js";
import { trainingPanel } from "./panels/training.js";
import { unitsPanel } from "./panels/units.js";
import { whatIfPanel } from "./panels/whatif.js";
import { readLink } from "./permalink.js";
import { Scatter } from "./scatter.js";
import { chooseTheme, onTheme, themeName } from "./theme.js";
import { isPhoto } from "./thumbs.js";

const WIDE = matchMedia("(min-width: 1600px)"); // two panels side by side

const root = document.getElementById("explorer");

function fail(error) {
  document.getElementById("start")?.remove();
  const text =
    error instanceof TypeError && /fetch/i.test(error.message)
      ? "The data could not be read."
      : String(error?.message ?? error);
  const box = h("div", { class: "error", role: "alert" }, h("strong", {}, "Error: "), text.slice(0, 400));
  const old = root.querySelector(".error");
  if (old) old.replaceWith(box);
  else root.prepend(box);
}

function header(app) {
  const { manifest } = app.model;
  const toggle = button(
    themeName() === "dark" ? "Light" : "Dark",
    () => {
      app.set({ theme: themeName() === "dark" ? "light" : "dark" });
    },
    { id: "theme" },
  );
  const facts = [
    app.model.empty ? "no rows" : `${count3(manifest.rows.shown)} ${isPhoto(app.model.event) ? "photographs" : "rows"}`,
    app.model.size && !isPhoto(app.model.event) ? `${app.model.units.filter((u) => u.active).length} of ${app.model.size} units active` : "",
  ]
    .filter(Boolean)
    .join(" · ");
  return h(
    "header",
    {},
    h("h1", {}, manifest.title),
    h("span", { class: "muted" }, facts),
    h("span", { class: "grow" }),
    button("Copy link", copyLink, { title: ownOnly() ? OWN_ONLY : "a link to what you see" }),
    toggle,
  );
}

// An address of this machine opens for nobody else.
const ownOnly = () => /^(127\.|localhost$|\[::1\]$)/.test(location.hostname);
const OWN_ONLY =
  "This link opens on this machine only, while its server runs. " +
  "For others: latens explore RUN --export page.html, and send them the file.";

async function copyLink(event) {
  await copy(event.currentTarget, location.href);
  if (!ownOnly()) return;
  root.querySelector(".linknote")?.remove();
  const note = h("p", { class: "note linknote", role: "status" }, OWN_ONLY);
  root.querySelector("header").after(note);
  setTimeout(() => note.remove(), 12000);
}

// Panels as tabs: arrow keys move between them; above them the decoded point, whichever is open.
function tabs(app, panels, decoded) {
  const ids = panels.map(() => freshId("tab"));
  const list = h("div", { class: "tabs", role: "tablist", "aria-label": "panels" });
  const controls = panels.map((one, i) =>
    h(
      "button",
      {
        type: "button",
        role: "tab",
        id: ids[i],
        "aria-controls": `${ids[i]}-panel`,
        onclick: () => app.set({ tab: one.id }),
        onkeydown: (event) => {
          const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
          const to = step
            ? (i + step + panels.length) % panels.length
            : event.key === "Home"
              ? 0
              : event.key === "End"
                ? panels.length - 1
                : -1;
          if (to < 0) return;
          event.preventDefault();
          controls[to].focus();
          app.set({ tab: panels[to].id });
        },
      },
      one.title,
    ),
  );
  list.append(...controls);
  const boxes = panels.map((one, i) =>
    h("div", { role: "tabpanel", id: `${ids[i]}-panel`, "aria-labelledby": ids[i] }, one.element),
  );
  // On a wide window a second panel stands beside the chosen one: the point, or the selection beside the point.
  const beside = h("div", { class: "beside" });
  const place = h("div", { class: "chosen-panel" }, boxes);
  const second = () => (WIDE.matches ? (app.state.tab === "point" ? "selection" : "point") : null);
  const shown = () => panels.filter((one) => one.id === app.state.tab || one.id === second());
  const choose = () => {
    panels.forEach((one, i) => {
      const chosen = one.id === app.state.tab;
      controls[i].setAttribute("aria-selected", String(chosen));
      controls[i].tabIndex = chosen ? 0 : -1;
      boxes[i].hidden = !shown().includes(one);
      const home = chosen || one.id !== second() ? place : beside;
      if (boxes[i].parentElement !== home) home.append(boxes[i]);
    });
  };
  choose();
  return { element: h("div", { class: "side" }, decoded.element, list, h("div", { class: "panels" }, place, beside)), choose, shown };
}

async function build(model) {
  const app = new App(model);
  app.errors = fail;
  followLink = () => {};
  if (app.state.theme) chooseTheme(app.state.theme);
  if (model.manifest.conditional && app.began.label === undefined) {
    app.state.label = app.first.label = await model.classOf(app.state.row ?? 0);
  }
  document.title = `${model.manifest.title} · latens`;
  const training = trainingPanel(app);
  if (model.empty) {
    app.state.tab = "training";
    const note = h("p", { class: "empty" }, "The data have no rows.");
    replace(root, header(app), note, training.element);
    app.on((changed) => changed.has("theme") && chooseTheme(app.state.theme));
    redrawAll = () => training.update();
    await training.update();
    return;
  }
  const panels = [
    pointPanel(app),
    pathsPanel(app),
    rowsPanel(app),
    tablePanel(app),
    selectionPanel(app),
    unitsPanel(app),
    ...(model.manifest.what_if ? [whatIfPanel(app)] : []),
    training,
    aboutPanel(app),
  ];
  if (!panels.some((one) => one.id === app.state.tab)) app.state.tab = app.first.tab;
  const scatter = new Scatter(app);
  const decoded = decodedBox(app);
  app.onhover = () => decoded.update().catch(fail);
  const side = tabs(app, panels, decoded);
  globalThis.latens = { app, scatter, panels }; // for tests, and for whoever opens the console
  replace(root, header(app), h("div", { class: "columns" }, scatter.element, side.element));
  await breathe();
  await ask("means", { values: model.mean, latentSize: model.size });
  scatter.buildTools();
  const fresh = new Set(); // panels that show the state as it is
  const update = async (changed) => {
    for (const one of panels) if (!changed || one.wants.some((name) => changed.has(name))) fresh.delete(one);
    const box = !changed || decoded.wants.some((name) => changed.has(name)) ? decoded.update() : null;
    for (const one of side.shown()) {
      if (fresh.has(one)) continue;
      fresh.add(one);
      await one.update(changed);
    }
    await box;
  };
  app.on(async (changed) => {
    if (changed.delete("theme")) chooseTheme(app.state.theme); // which draws everything anew
    if (!changed.size) return;
    if (changed.has("tab")) side.choose();
    const placed = ["x", "y"].some((name) => changed.has(name));
    if (["picks", "filters", "search"].some((name) => changed.has(name))) {
      if (!(await app.select())) return;
      changed.add("selection");
      scatter.nameSelection();
    }
    if (placed) {
      scatter.buildTools();
      scatter.place().catch(fail);
    } else {
      if (changed.has("mode")) scatter.buildTools();
      if (changed.has("view") || changed.has("equal")) scatter.setView(app.state.view);
      const coloured = ["colour", "selection", "opacity", "contours", "names"].some((name) => changed.has(name));
      if (coloured) scatter.recolour().catch(fail);
      else scatter.redraw();
    }
    await update(changed);
  });
  widen = () => {
    side.choose();
    update(new Set()).catch(fail);
  };
  redrawAll = () => Promise.all([scatter.recolour(), update(new Set(["theme"]))]);
  travel = (forward) => (forward ? app.redo() : app.undo());
  followLink = () => app.set({ ...app.linked(app.first), ...app.fitting(readLink(location.hash)) });
  await app.select();
  scatter.nameSelection();
  await Promise.all([scatter.place(), update(null)]);
  document.documentElement.dataset.ready = "true";
}

// What the whole page answers to: a change of theme, another address.
let redrawAll = async () => {};
let followLink = () => {};
let travel = () => {};
let widen = () => {};
WIDE.addEventListener("change", () => widen());
onTheme(() => {
  const toggle = document.getElementById("theme");
  if (toggle) toggle.textContent = themeName() === "dark" ? "Light" : "Dark";
  redrawAll().catch(fail);
});
addEventListener("hashchange", () => followLink());
addEventListener("keydown", (event) => {
  const typing = event.target.matches?.("input:not([type=range]):not([type=checkbox]), select");
  const key = event.key.toLowerCase();
  if (!["z", "y"].includes(key) || !(event.ctrlKey || event.metaKey) || typing) return;
  event.preventDefault();
  travel(key === "y" || event.shiftKey);
});

async function open() {
  const began = readLink(location.hash);
  if (began.theme) chooseTheme(began.theme);
  await start();
  progress.heard = () => {
    const [bar, words] = ["progress", "loaded"].map((id) => document.getElementById(id));
    if (!bar) return;
    [bar.max, bar.value] = [progress.of, progress.got];
    const [got, of] = [progress.got, progress.of].map((bytes) => (bytes / 1e6).toFixed(1));
    words.textContent = `Loading: ${got} of ${of} MB`;
  };
  const manifest = await readManifest();
  const model = new Model(manifest);
  await model.load();
  document.getElementById("start")?.remove();
  await build(model);
}

open().catch(fail);
