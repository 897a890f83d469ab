// What a panel shows as a file: PNG, SVG, CSV. Nothing leaves the browser.

import { breathe, button, h, s } from "./dom.js";
import { theme } from "./theme.js";

export function download(name, blob) {
  const url = URL.createObjectURL(blob);
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

// A cell that a spreadsheet would run as a formula is written as text.
export function csvCell(value) {
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : "";
  let text = String(value ?? "");
  if (/^[=+\-@\t\r]/.test(text) && !/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) text = `'${text}`;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export const csvText = (rows) => `${rows.map((row) => Array.from(row, csvCell).join(",")).join("\n")}\n`;

// Rows may be many: they are written by thousands, and the page answers in between.
export async function saveCsv(name, rows) {
  const parts = [];
  let some = [];
  for (const row of rows) {
    some.push(row);
    if (some.length < 20000) continue;
    parts.push(csvText(some));
    some = [];
    await breathe();
  }
  if (some.length) parts.push(csvText(some));
  download(`${name}.csv`, new Blob(parts, { type: "text/csv" }));
}

export function saveSvg(name, svg) {
  const copy = svg.cloneNode(true);
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  download(`${name}.svg`, new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" }));
}

export const toBlob = (canvas) => new Promise((resolve) => canvas.toBlob(resolve, "image/png"));

export async function savePng(name, svg, scale = 2) {
  const width = Number(svg.getAttribute("width"));
  const height = Number(svg.getAttribute("height"));
  const copy = svg.cloneNode(true);
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  const url = URL.createObjectURL(new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" }));
  try {
    const image = new Image();
    await new Promise((resolve, reject) => {
      image.onload = resolve;
      image.onerror = () => reject(new Error("the picture could not be drawn."));
      image.src = url;
    });
    const canvas = h("canvas", { width: width * scale, height: height * scale });
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    download(`${name}.png`, await toBlob(canvas));
  } finally {
    URL.revokeObjectURL(url);
  }
}

// Canvases and their captions side by side as one SVG: what a panel of pictures is saved as.
export function sheet(items, columns = Math.min(items.length, 10)) {
  const widths = items.map(({ canvas }) => Number.parseFloat(canvas.style.width) || canvas.width);
  const heights = items.map(({ canvas }) => Number.parseFloat(canvas.style.height) || canvas.height);
  const [w, tall] = [Math.max(...widths) + 8, Math.max(...heights) + 22];
  const rows = Math.ceil(items.length / columns);
  const svg = s("svg", { width: w * columns + 8, height: tall * rows + 8 });
  svg.append(s("rect", { width: w * columns + 8, height: tall * rows + 8, fill: theme().background }));
  items.forEach(({ canvas, caption }, i) => {
    const x = 8 + (i % columns) * w;
    const y = 8 + Math.floor(i / columns) * tall;
    const href = canvas.toDataURL("image/png");
    svg.append(
      s("image", { x, y, width: widths[i], height: heights[i], href, style: null, "image-rendering": "pixelated" }),
    );
    svg.append(
      s(
        "text",
        { x, y: y + heights[i] + 13, "font-size": 11, "font-family": "system-ui, sans-serif", fill: theme().text },
        caption ?? "",
      ),
    );
  });
  return svg;
}

// The three buttons of a panel. Each is a function that gives what is shown now, or null.
export function saveButtons(name, { svg, csv }) {
  const guard = (work) => async (event) => {
    const control = event.currentTarget;
    try {
      if ((await work()) === null) control.title = "There is nothing to save yet.";
    } catch (error) {
      control.title = String(error.message ?? error);
    }
  };
  const drawn = async (save) => {
    const found = await svg();
    return found ? save(name, found) : null;
  };
  return h(
    "div",
    { class: "save", role: "group", "aria-label": `save ${name}` },
    svg &&
      button(
        "PNG",
        guard(() => drawn(savePng)),
      ),
    svg &&
      button(
        "SVG",
        guard(() => drawn(saveSvg)),
      ),
    csv &&
      button(
        "CSV",
        guard(async () => {
          const rows = await csv();
          return rows ? saveCsv(name, rows) : null;
        }),
      ),
  );
}
