// Names under bars: across where all of them fit, else upright, and of very many those of the highest bars.

import { s } from "./dom.js";

const [FLAT, LINE] = [11, 9.5]; // height of a line across, width of an upright one
const WIDEST = 6.2; // room of a letter: "Hamburg" is wider than seven usual letters
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

// What all names begin with up to a blank, which may be left out: "Group " of "Group A" and "Group B".
function beginning(names) {
  const first = names[0] ?? "";
  let end = names.length > 1 ? first.lastIndexOf(" ") + 1 : 0;
  while (end > 0 && !names.every((name) => name.startsWith(first.slice(0, end)) && name.length > end)) {
    end = first.lastIndexOf(" ", end - 2) + 1;
  }
  return first.slice(0, end);
}

// The names under bars of equal width from the left: {height, draw}, where draw(top, colour) gives the texts.
export function namesUnder(names, shares, width) {
  const wide = width / names.length;
  const fit = Math.floor(wide / WIDEST);
  const left = names.some((name) => name.length > fit) ? beginning(names).length : 0;
  const across = names.length <= MOST_FLAT && names.every((name) => name.length - left <= fit);
  const kept = across ? [...names.keys()] : chosen(shares, wide);
  const shown = (name) => (name === "" ? "(empty)" : name.slice(left));
  const words = kept.map((k) => cut(shown(names[k]), across ? fit : MOST_LETTERS));
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
