// Names under bars: across where all of them fit, else upright, and of very many those of the highest bars.

import { s } from "./dom.js";

const [FLAT, LINE, LETTER] = [11, 9.5, 5]; // height of a line across, width of an upright one, width of a letter
const WIDEST = 6.2; // room of a letter of an upright name: "Hamburg" is wider than seven usual letters
const MOST_LETTERS = 12;
const MOST_FLAT = 6; // bars whose names stand across

const cut = (name, letters) => (name.length > letters ? `${name.slice(0, letters - 1)}…` : name);

// The bars that have a name: all, or of narrow ones the highest that leave each other room.
function chosen(shares, wide) {
  const order = [...shares.keys()].sort((a, b) => shares[b] - shares[a] || a - b);
  const kept = [];
  for (const k of order) if (kept.every((other) => Math.abs(other - k) * wide >= LINE)) kept.push(k);
  return kept.sort((a, b) => a - b);
}

// The names under bars of equal width from the left: {height, draw}, where draw(top, colour) gives the texts.
export function namesUnder(names, shares, width) {
  const wide = width / names.length;
  const across = names.length <= MOST_FLAT;
  const letters = across ? Math.max(2, Math.floor(wide / LETTER)) : MOST_LETTERS;
  const kept = across ? [...names.keys()] : chosen(shares, wide);
  const words = kept.map((k) => cut(names[k] === "" ? "(empty)" : names[k], letters));
  const height = across ? FLAT : 4 + WIDEST * Math.max(0, ...words.map((word) => word.length));
  const draw = (top, fill) =>
    words.map((word, i) => {
      const x = (kept[i] + 0.5) * wide;
      const look = { "font-size": 9, "font-family": "system-ui, sans-serif", fill };
      if (across) return s("text", { ...look, x, y: top + FLAT - 2, "text-anchor": "middle" }, word);
      const turn = `rotate(-90 ${x + 3} ${top + 3})`;
      return s("text", { ...look, x: x + 3, y: top + 3, "text-anchor": "end", transform: turn }, word);
    });
  return { height, draw };
}
