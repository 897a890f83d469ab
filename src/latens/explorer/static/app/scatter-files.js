// The scatter as a file: PNG, SVG (above twenty thousand points a picture with drawn axes), CSV.

import { button, h, s } from "./dom.js";
import { drawnLegend } from "./legend.js";
import { overlay } from "./overlay.js";
import { download, saveCsv, saveSvg, toBlob } from "./save.js";
import { css, theme } from "./theme.js";

const MOST_VECTOR = 20000;

export function fileButtons(scatter) {
  const guard = (work) => () => Promise.resolve(scatter.x && work(scatter)).catch(scatter.app.errors);
  return h(
    "div",
    { class: "save", role: "group", "aria-label": "save the scatter" },
    button("PNG", guard(writePng)),
    button("SVG", guard(writeSvg)),
    button(
      "CSV",
      guard(() => saveCsv("latent-space", table(scatter))),
    ),
  );
}

async function picture(scatter) {
  const canvas = h("canvas", { width: scatter.canvas.width, height: scatter.canvas.height });
  const context = canvas.getContext("2d");
  scatter.draw();
  context.drawImage(scatter.canvas, 0, 0); // in the same task as the drawing, while its pixels are there
  return canvas;
}

async function asSvg(scatter) {
  const t = theme();
  const legend = drawnLegend(scatter);
  const [width, height] = [scatter.width + legend.width, scatter.height];
  const svg = s(
    "svg",
    { width, height, viewBox: `0 0 ${width} ${height}` },
    s("rect", { width, height, fill: t.background }),
  );
  if (scatter.x.length > MOST_VECTOR) {
    svg.append(
      s("image", {
        width: scatter.width,
        height: scatter.height,
        href: (await picture(scatter)).toDataURL("image/png"),
      }),
    );
  } else {
    const colours = new Uint8Array(scatter.points.lastColours.buffer);
    const r = scatter.pointSize() / 2 / Math.max(1, globalThis.devicePixelRatio || 1);
    const [x0, x1, y0, y1] = scatter.view;
    const group = s("g", {});
    scatter.points.order.forEach((i, k) => {
      if (!(scatter.x[i] >= x0 && scatter.x[i] <= x1 && scatter.y[i] >= y0 && scatter.y[i] <= y1)) return;
      group.append(
        s("circle", {
          cx: scatter.px(scatter.x[i]).toFixed(2),
          cy: scatter.py(scatter.y[i]).toFixed(2),
          r,
          fill: css(colours.subarray(4 * k, 4 * k + 3)),
          "fill-opacity": (colours[4 * k + 3] / 255).toFixed(2),
        }),
      );
    });
    svg.append(group);
  }
  svg.append(...overlay(scatter, true), ...legend.items);
  return svg;
}

async function writeSvg(scatter) {
  saveSvg("latent-space", await asSvg(scatter));
}

async function writePng(scatter) {
  const points = await picture(scatter);
  const legend = drawnLegend(scatter);
  const scale = points.width / scatter.width;
  const width = scatter.width + legend.width;
  const canvas = h("canvas", { width: Math.round(width * scale), height: points.height });
  const context = canvas.getContext("2d");
  context.fillStyle = theme().background;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(points, 0, 0);
  const over = s(
    "svg",
    { width, height: scatter.height, xmlns: "http://www.w3.org/2000/svg" },
    ...overlay(scatter, true),
    ...legend.items,
  );
  const image = new Image();
  const url = URL.createObjectURL(new Blob([new XMLSerializer().serializeToString(over)], { type: "image/svg+xml" }));
  await new Promise((resolve, reject) => {
    image.onload = resolve;
    image.onerror = reject;
    image.src = url;
  });
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  URL.revokeObjectURL(url);
  download("latent-space.png", await toBlob(canvas));
}

function* table(scatter) {
  const { app, found } = scatter;
  const header = ["row_id", scatter.axisName(app.state.x), scatter.axisName(app.state.y)];
  if (found.kind !== "none") header.push(found.name);
  yield header;
  for (let i = 0; i < scatter.x.length; i++) {
    const row = [app.model.id(i), scatter.x[i], scatter.y[i]];
    if (found.kind === "category") row.push(found.levels[found.values[i]] ?? "");
    else if (found.kind === "number") row.push(found.values[i]);
    yield row;
  }
}
