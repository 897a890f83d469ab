"""The rules of a table as the page reads them: by the places of columns and the codes of names."""

from typing import Any

import numpy as np

from latens.data import effects, equations, implied, lines, rates
from latens.data.columns import ColumnType
from latens.data.schema import Schema
from latens.workflow.detours import detours_of

MOST_CELLS = 10_000
"""Cells of a number up to which the page is told which of them occur."""


def page_rules(facts: Any, schema: Schema, most: int) -> dict[str, list[dict[str, Any]]]:
    """Describe what gives columns of a table, for rules between its first columns."""
    types, names = list(schema.types or ()), schema.names
    at = names.index

    def known(one: Any) -> bool:
        return all(at(name) < most for name in (one.target, *one.columns))

    def code(name: str, word: str) -> int:
        values = types[at(name)].values
        return values.index(word) if word in values else -1

    said = [
        {
            "by": by,
            "column": k,
            "says": implied.each_told(rule, schema, sure=True).tolist(),
            "named": types[k].named,
            "cuts": list(rule.cuts),
            "part": "month" if rule.month else "weekday" if rule.weekday else "",
        }
        for rule, by, k in implied.placed(implied.read(facts.get("implied")), schema)
        if known(rule) and not any(types[i].after for i in by)  # whose date the page does not know
    ]
    term = lambda one: [at(one[0]), one[1], one[2]]  # noqa: E731
    exact = [
        {"target": at(one.target), "terms": [term(own) for own in one.terms], "factor": one.factor,
         "rate": term(one.rate) if one.rate else None, "excess": one.excess,
         "plus": term(one.plus) if one.plus else None, "constant": one.constant, "cycle": one.cycle,
         "among": one.among, "times": list(one.times)}
        for one in equations.placed(equations.read(facts.get("equations")), schema)
        if known(one) and not one.or_nothing  # which it is, the page does not know
    ]  # fmt: skip
    rated = [
        {"target": at(one.target), "bases": [at(name) for name in one.bases],
         "by": [at(name) for name in one.by], "above": one.above,
         "rates": list(one.rates), "part": len(one.used) > 1,
         "allowed": [[[code(*pair) for pair in zip(one.by, words)], above, list(places)]
                     for words, above, places in one.allowed]}
        for one in rates.placed(rates.read(facts.get("rates")), schema)
        if known(one)
    ]  # fmt: skip
    near = [
        {"target": at(one.target), "base": at(one.base), "by": [at(name) for name in one.by], "logs": one.logs,
         "apart": [list(band) for band in one.apart], "without": [list(one.not_base), list(one.not_target)],
         "occur": [_occurring(types[at(name)]) for name in (one.target, one.base)],
         "groups": [{"codes": [code(*pair) for pair in zip(one.by, kind.names)], "slope": kind.slope,
                     "level": kind.level, "width": kind.width, "edges": list(kind.edges), "back": kind.back}
                    for kind in one.groups]}
        for one in lines.placed(lines.read(facts.get("lines")), schema)
        if known(one)
    ]  # fmt: skip
    about = [
        {"target": at(one.target), "logs": one.logs, "level": one.level, "width": one.width,
         "edges": list(one.edges), "apart": [list(band) for band in one.apart],
         "of": [at(name) for name in one.of if name in names and at(name) < most],
         "occur": _occurring(types[at(one.target)]),
         "terms": [{"columns": [at(name) for name in term.columns], "logs": term.logs, "knots": list(term.knots),
                    "kinds": [[code(name, word) if types[at(name)].named else float(word)
                               for name, word in zip(term.columns, words)] for words in term.kinds],
                    "effects": list(term.effects), "unit": equations.unit_of(types[at(term.columns[0])])}
                   for term in one.terms]}
        for one in effects.placed(effects.read(facts.get("effects")), schema)
        if known(one)
    ]  # fmt: skip
    left_out = [
        {"column": at(one.column), "through": [at(name) for name in one.through if name in names]}
        for one in detours_of(facts)
        if one.column in names and at(one.column) < most
    ]
    return {"implied": said, "equations": exact, "rates": rated, "lines": near, "effects": about, "detours": left_out}


def _occurring(one: ColumnType) -> list[float] | None:
    """The cells that a number has, where it has few of its grid."""
    cells = np.arange(min(one.size, MOST_CELLS), dtype=np.float64)
    own = one.occurring(cells)
    return None if one.size > MOST_CELLS or np.array_equal(own, cells) else np.unique(own).tolist()
