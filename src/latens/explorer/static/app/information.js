// Mutual information of the rows and the columns of a table of probabilities, and its error over repeats.

// In nats.
export function information(table) {
  const rows = table.map((row) => row.reduce((a, b) => a + b, 0));
  const columns = table[0].map((_, s) => table.reduce((sum, row) => sum + row[s], 0));
  const whole = rows.reduce((a, b) => a + b, 0);
  let sum = 0;
  table.forEach((row, g) => {
    row.forEach((p, s) => {
      if (p > 0) sum += (p / whole) * Math.log((p * whole) / (rows[g] * columns[s]));
    });
  });
  return sum;
}

const meanOf = (tables) =>
  tables[0].map((row, g) => row.map((_, s) => tables.reduce((sum, one) => sum + one[g][s], 0) / tables.length));

// A function of the mean of tables, with the jackknife's error and without its bias.
export function jackknife(tables, of) {
  const n = tables.length;
  const whole = of(meanOf(tables));
  const without = tables.map((_, i) => of(meanOf(tables.filter((_, k) => k !== i))));
  const mean = without.reduce((a, b) => a + b, 0) / n;
  const spread = without.reduce((sum, one) => sum + (one - mean) ** 2, 0) / n;
  return { nats: Math.max(0, n * whole - (n - 1) * mean), error: Math.sqrt((n - 1) * spread) };
}
