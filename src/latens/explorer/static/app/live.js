// A run that is still growing: its manifest is read again and again. The server sends it only when it has changed.

import { count3 } from "./dom.js";

const SECONDS = 2;
const MOST_FAILURES = 4;

// onChange(next) with every new manifest; onGone() where nobody answers any more. Returns what ends it.
export function follow(manifest, onChange, onGone = () => {}) {
  let last = "";
  let failures = 0;
  const timer = setInterval(async () => {
    if (document.hidden && failures === 0) return; // nobody looks
    try {
      const response = await fetch("data/manifest.json", { cache: "no-cache" });
      if (!response.ok) throw new Error(`status ${response.status}`);
      const text = await response.text();
      failures = 0;
      if (text === last) return;
      last = text;
      const next = JSON.parse(text);
      if (!next.live) clearInterval(timer);
      onChange(next);
    } catch {
      failures += 1;
      if (failures < MOST_FAILURES) return;
      clearInterval(timer);
      onGone();
    }
  }, 1000 * SECONDS);
  return () => clearInterval(timer);
}

// Where training stands, for the head of the page.
export function progressWords({ live, progress, seen_step: seen }) {
  if (progress?.step === undefined) return live ? "training" : ""; // before its first steps
  const { step, total_steps: total, epoch, rows_per_second: rate } = progress;
  const of = total ? ` of ${count3(total)}` : "";
  // The points are of a moment of their own: numbers follow every chunk, models are looked at now and then.
  const drawn = seen === undefined || seen === step ? "" : `; points and pictures are of step ${count3(seen)}`;
  if (!live) return `trained, ${count3(step)} steps${drawn}`;
  const speed = rate ? ` · ${count3(Math.round(rate))} rows a second` : "";
  return `training · step ${count3(step)}${of} · epoch ${Number(epoch.toPrecision(3))}${speed}${drawn}`;
}
