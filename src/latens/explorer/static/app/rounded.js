// What a page in one file stores in fewer bytes: numbers as whole steps, pictures by what their pixels have more than
// their neighbours.

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

// Pictures one after another, each of (height, width, channels); they are written over.
export function fromNeighbours(values, [height, width, channels]) {
  const row = width * channels;
  for (let start = 0; start < values.length; start += height * row) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < row; x++) {
        const at = start + y * row + x;
        const left = x >= channels ? values[at - channels] : 0;
        const above = y > 0 ? values[at - row] : 0;
        const corner = x >= channels && y > 0 ? values[at - row - channels] : 0;
        const [least, most] = left < above ? [left, above] : [above, left];
        values[at] += corner >= most ? least : corner <= least ? most : left + above - corner;
      }
    }
  }
  if (channels === 3) {
    for (let at = 0; at < values.length; at += 3) {
      values[at] += values[at + 1];
      values[at + 2] += values[at + 1];
    }
  }
  return values;
}
