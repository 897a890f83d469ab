// One event as a picture: an image, a curve, or the columns of a table as bars of their distance from the mean.

import { format, h } from "./dom.js";
import { dayText, minuteText, numberAt } from "./grid.js";
import { css, ramp, signed, theme, themeName } from "./theme.js";

// Standardised: how many standard deviations a column lies from its mean in training.
export function standardised(event, values) {
  return Array.from(values, (v, i) => {
    const { shift, scale } = event.columns?.[i] ?? {
      shift: (event.low + event.high) / 2,
      scale: (event.high - event.low) / 4,
    };
    return (v - shift) / (scale || 1);
  });
}

// A stored cell in words: of columns that have a type its name, its number in the unit of the column, its date.
export function cellText(column, value) {
  if (!column?.kind || !Number.isFinite(value)) return format(value);
  const { levels, kind, counts } = column;
  if (levels) return levels[Math.min(Math.max(Math.round(value), 0), levels.length - 1)];
  const number = numberAt(column, value);
  if (kind === "date") {
    const text = dayText(counts === "days" ? number : number / 86400);
    return counts === "time" ? text.slice(11, 19) : text.slice(0, counts === "days" ? 10 : 19);
  }
  return kind === "duration" ? `${format(number)} s` : format(number);
}

// The difference of two cells, likewise.
export function differenceText(column, value) {
  if (!column?.kind || !Number.isFinite(value)) return format(value);
  if (column.levels) return Math.round(value) ? "another" : "the same";
  const unit = column.counts === "days" ? " days" : column.counts ? " s" : "";
  return `${format(column.step * value)}${unit}`;
}

// A number of a column that can colour the points: dates are days since 1970.
export const numberText = (column, value) =>
  !column?.days || !Number.isFinite(value) ? format(value)
    : value >= 0 && value < 3 ? minuteText(value).slice(11) // a time of the day
    : minuteText(value).slice(0, Number.isInteger(value) ? 10 : 16);

// The text of a row of codes, of which a 0 is the end.
export function textOf(event, values) {
  const pieces = [];
  for (const value of values) {
    if (!(Math.round(value) > 0)) break;
    pieces.push(event.values[Math.round(value) - 1] ?? "");
  }
  return pieces.join(event.pieces === "words" ? " " : "");
}

const [LETTER, LINE, MOST_LINES] = [7.3, 16, 14];

// How wide a row of text is drawn, in CSS pixels.
export const textWidth = (event) => Math.min(260, 12 + LETTER * Math.min(event.shape[0], 34));

// options: width in CSS pixels; error: the values are differences, shown around zero up to `most`.
export function drawEvent(event, values, { width = 112, error = false, most = 1, label = "" } = {}) {
  const canvas = h("canvas", {
    class: `event ${event.kind}`,
    role: "img",
    "aria-label": label && event.kind === "text" ? `${label}: ${describe(event, values)}` : label || describe(event, values),
  });
  if (event.kind === "image") image(canvas, event, values, width, error, most);
  else if (event.kind === "text") text(canvas, textOf(event, values), width);
  else if (event.kind === "table") bars(canvas, event, values, width, error);
  else curve(canvas, event, values, width, error, most);
  return canvas;
}

export function describe(event, values) {
  if (event.kind === "image") return "image";
  if (event.kind === "text") return textOf(event, values);
  if (event.kind === "curve") return `curve of ${values.length} numbers`;
  return `row of ${values.length} columns`;
}

function image(canvas, event, values, width, error, most) {
  const [height, across, channels] = event.image;
  canvas.width = across;
  canvas.height = height;
  if (channels === 3) canvas.classList.add("photo");
  canvas.style.width = `${width}px`;
  canvas.style.height = `${Math.round((width * height) / across)}px`;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(across, height);
  const name = themeName();
  const range = event.high - event.low || 1;
  for (let i = 0; i < across * height; i++) {
    let colour;
    if (error) {
      let sum = 0;
      for (let c = 0; c < channels; c++) sum += values[i * channels + c];
      colour = signed(name, sum / channels / (most || 1));
    } else {
      colour = [0, 1, 2].map((c) => (255 * (values[i * channels + (channels === 3 ? c : 0)] - event.low)) / range);
    }
    for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = colour[c]; // a clamped array: it rounds and bounds
    pixels.data[4 * i + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
}

function sized(canvas, width, height) {
  const scale = Math.max(1, globalThis.devicePixelRatio || 1);
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  return context;
}

// A text in letters of one width, in as many lines as it needs.
function text(canvas, words, width) {
  const room = Math.max(1, Math.floor((width - 8) / LETTER));
  const lines = [];
  let line = "";
  for (const word of Array.from(words.replaceAll("\n", "⏎").matchAll(/\S*\s?/g), ([found]) => found).filter(Boolean)) {
    let left = Array.from(word);
    if (line && Array.from(line).length + left.length > room + 1) lines.push(line), (line = "");
    for (; left.length > room; left = left.slice(room)) lines.push(left.slice(0, room).join(""));
    line += left.join("");
  }
  if (line || !lines.length) lines.push(line || "(empty)");
  if (lines.length > MOST_LINES) lines.splice(MOST_LINES, Infinity, "…");
  const context = sized(canvas, width, 6 + LINE * lines.length);
  context.font = "12px ui-monospace, SFMono-Regular, Menlo, 'DejaVu Sans Mono', monospace";
  context.fillStyle = words ? theme().text : theme().muted;
  lines.forEach((one, i) => context.fillText(one, 4, LINE * (i + 1) - 2));
}

// A table row: for each column a bar from its mean, in standard deviations (three of them fill half the width).
function bars(canvas, event, values, width, error) {
  const each = Math.max(2, Math.min(9, Math.floor(width / Math.max(values.length, 1))));
  const height = Math.max(24, Math.min(width, each * values.length));
  const context = sized(canvas, width, height);
  const step = height / values.length;
  const name = themeName();
  const z = error ? Array.from(values, (v, i) => v / (event.columns?.[i]?.scale || 1)) : standardised(event, values);
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(z[i])) continue;
    const t = Math.min(Math.max(z[i] / 3, -1), 1);
    context.fillStyle = css(signed(name, Math.sign(t) * (0.35 + 0.65 * Math.abs(t))));
    context.fillRect(width / 2, i * step + 0.5, (t * width) / 2, Math.max(1, step - 1));
  }
  context.fillStyle = theme().muted;
  context.fillRect(width / 2, 0, 1, height);
}

function curve(canvas, event, values, width, error, most) {
  const height = Math.round(width * 0.6);
  const context = sized(canvas, width, height);
  const channels = event.shape.length > 1 ? event.shape.at(-1) : 1;
  const length = values.length / channels;
  const [low, high] = error ? [-most, most] : [event.low, event.high];
  const classes = theme().classes;
  context.strokeStyle = theme().grid;
  context.strokeRect(0.5, 0.5, width - 1, height - 1);
  for (let c = 0; c < channels; c++) {
    context.strokeStyle = channels > 1 ? classes[c % classes.length] : error ? theme().second : theme().first;
    context.lineWidth = 1.3;
    context.beginPath();
    for (let i = 0; i < length; i++) {
      const v = values[i * channels + c];
      const px = 2 + (i / Math.max(length - 1, 1)) * (width - 4);
      const py = height - 2 - ((v - low) / (high - low || 1)) * (height - 4);
      if (Number.isFinite(v)) context.lineTo(px, py);
    }
    context.stroke();
  }
}

// The largest difference: what the darkest colour of an error map stands for.
export function largest(values) {
  let most = 0;
  for (const v of values) if (Math.abs(v) > most) most = Math.abs(v);
  return most;
}

export const rampCss = (t) => css(ramp(themeName(), t));
