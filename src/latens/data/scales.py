"""Answers that have an order which everyone knows: their names stand in it, not by the alphabet."""

from collections.abc import Iterable

LEAST_NAMES = 3
"""Names of a scale from which on a column is taken for one."""

_SCALES = (
    "strongly disagree, disagree, somewhat disagree, slightly disagree, neither agree nor disagree, neutral, "
    "undecided, slightly agree, somewhat agree, agree, strongly agree",
    "never, almost never, rarely, seldom, occasionally, sometimes, often, frequently, very often, usually, "
    "almost always, always",
    "very dissatisfied, dissatisfied, somewhat dissatisfied, neither satisfied nor dissatisfied, neutral, "
    "somewhat satisfied, satisfied, very satisfied",
    "very unlikely, unlikely, neutral, likely, very likely",
    "very poor, poor, fair, average, good, very good, excellent",
    "not at all, slightly, a little, somewhat, moderately, quite a bit, very, very much, extremely",
    "very low, low, medium, moderate, high, very high",
    "tiny, small, medium, large, very large, extra large",
    "xxs, xs, s, m, l, xl, xxl, xxxl",
    "monday, tuesday, wednesday, thursday, friday, saturday, sunday",
    "mon, tue, wed, thu, fri, sat, sun",
    "january, february, march, april, may, june, july, august, september, october, november, december",
    "jan, feb, mar, apr, may, jun, jul, aug, sep, oct, nov, dec",
)
"""Each scale from its least to its largest name, in lower case."""

_PLACES = [{name: place for place, name in enumerate(scale.split(", "))} for scale in _SCALES]


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Names in the order of the scale that has them all, else by the alphabet."""
    distinct = sorted(names)
    plain = [" ".join(name.casefold().split()) for name in distinct]
    if len(set(plain)) == len(plain) >= LEAST_NAMES:
        for places in _PLACES:
            if all(name in places for name in plain):
                return tuple(name for _, name in sorted(zip((places[one] for one in plain), distinct)))
    return tuple(distinct)
