// What holds in the data says of columns whose cells are not fixed: a cell that others give, cells that are equally
// likely along a line of another column, and the names that are left. `spec` is what the manifest says under `rules`.

const COUNT = 100; // cells that stand for a distribution
const LONG = { weeks: 7, months: 365.2425 / 12, years: 365.2425 }; // days of spans counted in whole numbers
const SECONDS = { hours: 3600, minutes: 60 }; // of times of the day
const INSIDE = 0.5; // share of cells that must lie on the grid of a column that they give
const PRIMES = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53];
const COVERED = 0.5; // the probability of kinds of rows that have a line, at the least

// The day of a number of days or seconds.
const dayOf = (number, written) => new Date(864e5 * Math.floor(written === "D" ? number : number / 86400));

function formed(value, form, written) {
  if (form in SECONDS) return value / SECONDS[form];
  if (form === "tan") return Math.tan((value * Math.PI) / 180);
  if (form === "year") return dayOf(value, written).getUTCFullYear();
  if (form === "full years") return Math.floor((value + 0.75) / LONG.years);
  if (form in LONG) return rounded(value / LONG[form]);
  const part = form.endsWith("/100") ? value / 100 : value;
  return form === "x" || form === "days" ? part : form.startsWith("1-") ? 1 - part : 1 + part;
}

// To the nearest whole number, halves to the even one, as NumPy does.
const rounded = (x) => (x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));

export function between(sorted, q) {
  const at = q * (sorted.length - 1);
  const k = Math.min(Math.floor(at), sorted.length - 2);
  return sorted.length < 2 ? sorted[0] : sorted[k] + (at - k) * (sorted[k + 1] - sorted[k]);
}

// The month of the date of a cell, or its day of the week from Monday on.
function partOf({ low, step, written }, cell, part) {
  const date = dayOf(Math.round(low + cell * step), written);
  return part === "month" ? date.getUTCMonth() : (date.getUTCDay() + 6) % 7;
}

export function rulesOf(spec, grids) {
  const number = (cells, i) => grids[i].low + cells[i] * grids[i].step;
  const place = (i, value) => Math.round((value - grids[i].low) / grids[i].step);
  const inside = (i, cell) => Number.isFinite(cell) && cell >= 0 && cell < grids[i].size;
  const kindOf = (cells, by, codes) => by.every((i, k) => cells[i] === codes[k]);

  // The place of what the names of columns say, the range of a number, or a part of a date; -1 where they say nothing or one is not known.
  function toldBy({ by, says, cuts = [], part = "" }, at) {
    const placeOf = (i) => {
      if (part) return partOf(grids[i], at(i), part);
      return cuts.length ? cuts.filter((cut) => cut <= grids[i].low + (at(i) + 1e-6) * grids[i].step).length : at(i);
    };
    return by.some((i) => Number.isNaN(at(i))) ? -1 : (by.reduce((own, i) => own?.[placeOf(i)], says) ?? -1);
  }

  function ofNames(rule, cells) {
    const { column, named } = rule;
    const told = toldBy(rule, (i) => cells[i]);
    return named || told < 0 ? null : [column, told];
  }

  function valueOf({ terms, factor, rate, excess, plus, constant, cycle, among, times }, values) {
    const part = ([i, form]) => formed(values[i], form, grids[i].written);
    const rated = rate ? part(rate) ** rate[2] : 1 / (among ?? 1);
    const value = factor
      ? terms.reduce((made, one) => made * part(one) ** one[2], factor) + (constant ?? 0)
      : terms.reduce((made, one, k) => made + (times?.[k] ?? 1) * one[2] * part(one), 0) * rated +
        (plus ? plus[2] * part(plus) : 0) + (constant ?? 0);
    if (cycle) return ((value % cycle) + cycle) % cycle;
    return excess ? Math.max(value, 0) : value;
  }

  const columnsOf = ({ terms, rate, plus }) => [...terms, ...(rate ? [rate] : []), ...(plus ? [plus] : [])].map(([i]) => i);

  // Times, and the time from one to another, in seconds.
  const valuesOf = (cells) => grids.map((grid, i) => (grid.low + cells[i] * grid.step) * (SECONDS[grid.written] ?? 1));

  // Whether the mean of what an equation gives is what the means of the free columns give.
  function linear({ terms, factor, rate, excess, cycle }, free) {
    const own = (factor ? terms : rate ? [rate] : []).filter(([i]) => free(i));
    const twice = rate && free(rate[0]) && terms.some(([i]) => free(i));
    const odd = terms.some(([, form]) => ["year", "tan", "full years"].includes(form) || form in LONG);
    return !excess && !cycle && !odd && !twice && own.length <= 1 && own.every((one) => one[2] === 1);
  }

  function ofEquation(rule, cells) {
    return [rule.target, place(rule.target, valueOf(rule, valuesOf(cells)))];
  }

  function ofRate({ target, bases, by, above, rates, allowed, part }, cells) {
    const value = bases.reduce((made, i) => made * number(cells, i), 1);
    const own = allowed.find(([codes, over]) => kindOf(cells, by, codes) && over === (above !== null && value > above));
    const places = own ? own[2] : rates.map((_, k) => k);
    if (places.length !== 1 || (part ? value <= 0 : value < 0)) return null;
    return [target, place(target, value * rates[places[0]])];
  }

  const exact = [
    ...spec.implied.filter((one) => !one.named).map((one) => [one.column, (cells) => ofNames(one, cells)]),
    ...spec.equations.map((one) => [one.target, (cells) => ofEquation(one, cells)]),
    ...spec.rates.map((one) => [one.target, (cells) => ofRate(one, cells)]),
  ];

  // The cells of the target of a line, or back of its base; null where nothing says which line it is. One column of
  // names may be unknown: each kind counts as much as its name is probable.
  function along(line, cells, back, shares) {
    const [from, to] = back ? [line.target, line.base] : [line.base, line.target];
    if (Number.isNaN(cells[from]) || line.by.filter((i) => Number.isNaN(cells[i])).length > 1) return null;
    const weights = line.groups.map(({ codes }) =>
      line.by.reduce((made, i, k) => made * (codes[k] < 0 ? 0 : Number.isNaN(cells[i]) ? shares(i)[codes[k]] : Number(cells[i] === codes[k])), 1),
    );
    const whole = weights.reduce((a, b) => a + b, 0);
    if (!(whole >= COVERED)) return null;
    const apart = line.without[back ? 1 : 0]; // numbers at which there is no line
    if (apart.some((value) => Math.abs(number(cells, from) - value) < grids[from].step / 2)) return null;
    const scaled = (value) => (line.logs ? Math.log(value) : value);
    const known = scaled(number(cells, from));
    const occur = line.occur[back ? 1 : 0];
    const made = line.groups.flatMap((kind, g) => {
      const count = rounded((COUNT * weights[g]) / whole);
      if (count && back && !kind.back) return [NaN];
      return Array.from({ length: count }, (_, k) => {
        // Back the band of the base is not known before it is: the one of what the middle of the line says.
        const base = back ? (known - kind.level) / kind.slope : known;
        const left = kind.width * between(line.apart[kind.edges.filter((edge) => edge < base).length], (k + 0.5) / count);
        const value = back ? (known - left - kind.level) / kind.slope : kind.level + kind.slope * known + left;
        const cell = Math.min(Math.max(place(to, line.logs ? Math.exp(value) : value), 0), grids[to].size - 1);
        return occur ? occur.reduce((best, one) => (Math.abs(one - cell) < Math.abs(best - cell) ? one : best)) : cell;
      });
    });
    return !made.length || made.some(Number.isNaN) ? null : made.sort((a, b) => a - b);
  }

  // The effect of a term on a row, whose cell of a column `at` says: 0 where none is known for it.
  function effectOf({ columns, logs, knots, kinds, effects, unit }, at) {
    const plain = (i) => grids[i].low + at(i) * grids[i].step;
    if (!knots.length) {
      const fits = (value, i) => (isNamed(i) ? at(i) === value : Math.abs(plain(i) - value) < grids[i].step / 2);
      const kind = kinds.findLastIndex((own) => own.every((value, k) => fits(value, columns[k])));
      return kind < 0 ? 0 : effects[kind];
    }
    const value = logs ? Math.log(plain(columns[0]) * unit) : plain(columns[0]) * unit;
    const k = knots.filter((knot) => knot <= value).length;
    if (Number.isNaN(value)) return 0;
    if (k === 0 || k === knots.length) return effects[Math.max(k - 1, 0)];
    return effects[k - 1] + ((value - knots[k - 1]) / (knots[k] - knots[k - 1])) * (effects[k] - effects[k - 1]);
  }

  // The cells of numbers about the sums of the effects of other columns, some of which are known, and of what equations
  // compute of them: all as rows. Cells of columns that are not known come together as chance has it: by multiples of
  // square roots of primes.
  // moved: whether a column is otherwise than without conditions, as the mass of a ball that is fixed.
  function about(effects, equations, cells, fixed, found, cellsOf, moved) {
    const rows = new Map();
    const made = new Map();
    let next = 0;
    const uniform = () => {
      const root = Math.sqrt(PRIMES[next++ % PRIMES.length]);
      return Array.from({ length: COUNT }, (_, k) => (0.5 + (k + 1) * root) % 1);
    };
    const at = (i, k) => (rows.has(i) ? rows.get(i)[k] : cells[i]);
    const hidden = (i) => Number.isNaN(cells[i]) && !fixed.has(i);
    const open = (i) => {
      if (!hidden(i) || rows.has(i)) return;
      const own = cellsOf(i);
      rows.set(i, uniform().map((u) => own[Math.floor(u * own.length)]));
    };
    const put = (target, own) => (rows.set(target, own), made.set(target, own));
    const says = ({ target, of, terms }) => {
      if (!hidden(target) || made.has(target) || found.has(target) || !of.every(hidden)) return false;
      const some = (test) => terms.some((term) => term.columns.some(test));
      return some((i) => !hidden(i) || made.has(i)) || (!moved(target) && some(moved));
    };
    const settle = (later) => {
      const toCome = new Set(later.filter(says).map((one) => one.target)); // a product waits for both of its parts
      for (const rule of equations) {
        const [target, columns] = [rule.target, columnsOf(rule)];
        const ready = columns.some((i) => made.has(i)) && !columns.some((i) => toCome.has(i));
        if (!hidden(target) || made.has(target) || !ready) continue;
        columns.forEach(open);
        const own = Array.from({ length: COUNT }, (_, k) => ofEquation(rule, cells.map((_, i) => at(i, k)))[1]);
        if (own.filter((cell) => inside(target, cell)).length < INSIDE * COUNT || !own.every(Number.isFinite)) continue;
        put(target, own.map((cell) => Math.min(Math.max(cell, 0), grids[target].size - 1)));
      }
    };
    for (const [turn, one] of effects.entries()) {
      const { target, logs, level, width, edges, apart, occur, terms } = one;
      if (!says(one)) continue;
      [...new Set(terms.flatMap((term) => term.columns))].forEach(open);
      const u = made.size ? uniform() : Array.from({ length: COUNT }, (_, k) => (k + 0.5) / COUNT);
      const own = u.map((share, k) => {
        const total = terms.reduce((sum, term) => sum + effectOf(term, (i) => at(i, k)), level);
        const value = total + width * between(apart[edges.filter((edge) => edge < total).length], share);
        const cell = Math.min(Math.max(place(target, logs ? Math.exp(value) : value), 0), grids[target].size - 1);
        return occur ? occur.reduce((best, one) => (Math.abs(one - cell) < Math.abs(best - cell) ? one : best)) : cell;
      });
      put(target, own);
      settle(effects.slice(turn + 1));
    }
    return new Map([...made].map(([target, own]) => [target, own.toSorted((a, b) => a - b)]));
  }

  const isNamed = (i) => grids[i].size === undefined;

  // The cells of names that are equally likely.
  function named(shares) {
    let sum = 0;
    const upto = Array.from(shares, (share) => (sum += share));
    return Array.from({ length: COUNT }, (_, k) => Math.max(upto.findIndex((own) => (k + 0.5) / COUNT < own / sum), 0));
  }

  // A map from places to the cells that are equally likely there; `cells` holds NaN where nothing is known.
  function given(cells, fixed, shares, { equally, middle, moved = () => false }) {
    const known = Float64Array.from(cells);
    const found = new Map();
    for (const [target] of exact) if (!fixed.has(target)) known[target] = NaN;
    for (let again = 0; again <= exact.length; again++) {
      for (const [target, rule] of exact) {
        const told = Number.isNaN(known[target]) ? rule(known) : null;
        if (!told || !inside(...told)) continue;
        known[target] = told[1];
        found.set(target, [told[1]]);
      }
    }
    const effects = spec.effects ?? []; // of pages that were exported before
    for (const { target } of [...spec.lines, ...effects]) if (!fixed.has(target) && !found.has(target)) known[target] = NaN;
    for (const line of spec.lines) {
      for (const [own, back] of [[line.target, false], [line.base, true]]) {
        const told = Number.isNaN(known[own]) && !fixed.has(own) && !found.has(own) ? along(line, known, back, shares) : null;
        if (told) found.set(own, told);
      }
    }
    const cellsOf = (i) => found.get(i) ?? (isNamed(i) ? named(shares(i)) : equally(i, COUNT));
    for (const [target, own] of about(effects, spec.equations, known, fixed, found, cellsOf, moved)) found.set(target, own);
    // What an equation computes of columns that are not known: of one by each of its cells, of several where the shares
    // have it, moved to the mean that their means give.
    for (const rule of spec.equations) {
      const { target } = rule;
      const own = cells.map((cell, i) => (found.get(i)?.length === 1 ? found.get(i)[0] : found.has(i) ? NaN : cell));
      const free = [...new Set(columnsOf(rule))].filter((i) => Number.isNaN(own[i]));
      if (fixed.has(target) || found.has(target) || !free.length) continue;
      let made;
      if (free.length === 1) made = cellsOf(free[0]).map((cell) => ofEquation(rule, own.with(free[0], cell))[1]);
      else if (linear(rule, (i) => free.includes(i))) {
        for (const i of free) own[i] = found.has(i) ? found.get(i).reduce((a, b) => a + b, 0) / found.get(i).length : middle(i);
        const by = valueOf(rule, valuesOf(own));
        const mean = (by / (SECONDS[grids[target].written] ?? 1) - grids[target].low) / grids[target].step;
        made = cellsOf(target).map((cell) => Math.round(cell + mean - middle(target)));
      } else continue;
      const within = made.filter((cell) => inside(target, cell)).length;
      // Of a sum the mean is shown as it is: its cells go with it, also to the end of their grid.
      if ((free.length === 1 && within < INSIDE * made.length) || !made.every(Number.isFinite)) continue;
      found.set(target, made.map((cell) => Math.min(Math.max(cell, 0), grids[target].size - 1)).sort((a, b) => a - b));
    }
    return found;
  }

  // The shares of a column of names, of which what is fixed may rule some out.
  function among(cells, place, shares) {
    let left = shares;
    const keep = (holds) => {
      const some = left.map((share, k) => (holds(k) ? share : 0));
      const [whole, rest] = [left, some].map((all) => all.reduce((a, b) => a + b, 0));
      if (rest > 0) left = some.map((share) => (share * whole) / rest);
    };
    for (const rule of spec.implied) {
      const { by, column, named } = rule;
      if (by.includes(place) && !Number.isNaN(cells[column])) {
        const said = (k) => toldBy(rule, (i) => (i === place ? k : cells[i]));
        keep((k) => said(k) < 0 || said(k) === cells[column]);
      }
      const told = column === place && named ? toldBy(rule, (i) => cells[i]) : -1;
      if (told >= 0) keep((k) => k === told);
    }
    return left;
  }

  // The means of numbers that are computed of others, by place: that of a sum is the sum of the means. `means` holds
  // those of all columns, `free` says of a place whether its cell is neither fixed nor given.
  function computed(means, free) {
    const values = Float64Array.from(means);
    const found = new Map();
    for (const rule of spec.equations) {
      const { target } = rule;
      if (!free(target) || !linear(rule, free)) continue;
      values[target] = valueOf(rule, values);
      found.set(target, values[target]);
    }
    return found;
  }

  return { given, among, computed };
}

// What the page shows of cells that are equally likely: bars, the mean, and quantiles.
export function ofCells(cells, grid, quantiles) {
  const bars = grid.edges.slice(1).map((edge, k) => {
    const last = k === grid.edges.length - 2;
    return cells.filter((cell) => cell >= grid.edges[k] && (cell < edge || (last && cell <= edge))).length / cells.length;
  });
  const mean = cells.reduce((a, b) => a + b, 0) / cells.length;
  return { bars, mean, at: quantiles.map((q) => cells[Math.max(Math.ceil(q * cells.length - 1e-9) - 1, 0)]) };
}
