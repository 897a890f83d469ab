// What a page in one file stores in fewer bytes: numbers as whole steps.

// Numbers from -1/2 to 1/2 by their place: the last steps of MurmurHash3, by A. Appleby (public domain).
function noise(place) {
  let x = place ^ (place >>> 16);
  x = Math.imul(x, 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return ((x ^ (x >>> 16)) >>> 0) / 4294967296 - 0.5;
}

// The noise was taken off before rounding, so that the steps are not seen as a grid; each number is off by half a step at
// the most. `scale` and `shift` are those of the columns.
export function unrounded(values, scale, shift) {
  const columns = scale.length;
  const found = new Float32Array(values.length);
  for (let i = 0, c = 0; i < values.length; i++, c = c + 1 === columns ? 0 : c + 1) {
    found[i] = shift[c] + scale[c] * (values[i] + noise(i));
  }
  return found;
}
