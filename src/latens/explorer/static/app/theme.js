// Colours, the same as in the figures of latens: ten classes apart under simulated colour blindness, and viridis
// without the end that fades into the background. Drawn things take them from here, so that exports carry them too.

// The same marks on both grounds.
const MARKS = {
  first: "#0072b2",
  second: "#d55e00",
  classes: [
    "#444db4",
    "#eb9901",
    "#2d8f65",
    "#b964bb",
    "#af040c",
    "#5ebd93",
    "#7f3971",
    "#c09cf1",
    "#fa1a03",
    "#9235fe",
  ],
  ramp: [0.15, 0.87],
};
export const THEMES = {
  light: { ...MARKS, background: "#ffffff", text: "#22262b", muted: "#6b737d", grid: "#e4e7eb", dead: "#c3c9d1" },
  dark: { ...MARKS, background: "#16191f", text: "#e6e9ee", muted: "#98a1ad", grid: "#2c323b", dead: "#4a525e" },
};

// Viridis at even distances.
const VIRIDIS = [
  "440154",
  "482475",
  "414487",
  "355f8d",
  "2a788e",
  "21918c",
  "22a884",
  "44bf70",
  "7ad151",
  "bddf26",
  "fde725",
].map(rgb);
// Blue, white, orange for what has a sign (on a dark page the middle is dark).
const SIGNED = { light: ["0072b2", "ffffff", "d55e00"].map(rgb), dark: ["0072b2", "16191f", "d55e00"].map(rgb) };

export function rgb(hex) {
  const value = Number.parseInt(hex.replace("#", ""), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

function along(stops, t) {
  const at = Math.min(Math.max(t, 0), 1) * (stops.length - 1);
  const i = Math.min(Math.floor(at), stops.length - 2);
  return [0, 1, 2].map((c) => Math.round(stops[i][c] + (stops[i + 1][c] - stops[i][c]) * (at - i)));
}

// Classes after the tenth: hues at even steps in some lightnesses (Oklab, Ottosson 2020). First, step and order are
// those of which the first forty classes lie furthest apart.
const FURTHER = { lightness: [0.69, 0.54, 0.8], chroma: 0.13, first: 165, step: 145.7 };

export function further(i) {
  const { lightness, chroma, first, step } = FURTHER;
  const light = lightness[i % lightness.length];
  const hue = ((first + step * i) * Math.PI) / 180;
  const [a, b] = [chroma * Math.cos(hue), chroma * Math.sin(hue)];
  const l = (light + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (light - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (light - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ].map((v) => Math.round(255 * Math.min(1, Math.max(0, v <= 0.0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - 0.055))));
}

export const ramp = (name, t) =>
  along(VIRIDIS, THEMES[name].ramp[0] + t * (THEMES[name].ramp[1] - THEMES[name].ramp[0]));
export const signed = (name, t) => along(SIGNED[name], 0.5 + 0.5 * t);
export const css = ([r, g, b]) => `rgb(${r},${g},${b})`;

let chosen = null;
const system = globalThis.matchMedia?.("(prefers-color-scheme: dark)");
const listeners = new Set();

export const themeName = () => chosen ?? (system?.matches ? "dark" : "light");
export const theme = () => THEMES[themeName()];

export function chooseTheme(name) {
  chosen = name ?? null;
  if (chosen) document.documentElement.dataset.theme = chosen;
  else delete document.documentElement.dataset.theme;
  for (const listener of listeners) listener();
}

export function onTheme(listener) {
  listeners.add(listener);
}

system?.addEventListener("change", () => {
  if (!chosen) for (const listener of listeners) listener();
});
