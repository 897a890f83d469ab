// The numbers and dates of a table's columns, whose stored cells are places on a grid.

export const dayText = (days) => new Date(Math.round(864e5 * days)).toISOString();
// The same to the nearest minute: days are stored in single precision.
export const minuteText = (days) => new Date(6e4 * Math.round(1440 * days)).toISOString().slice(0, 16);

// The number of a cell; of a wide column the cells of a segment lie several steps apart.
export function numberAt({ low, step, wide }, cell) {
  if (!wide) return low + step * cell;
  const [starts, before, strides] = wide;
  const k = Math.max(starts.findLastIndex((start) => start <= cell), 0);
  return low + step * (before[k] + Math.round((cell - starts[k]) * strides[k]));
}
