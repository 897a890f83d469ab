"""Which computed columns have the mean that the means of their parts give."""

import numpy as np
import pytest

from latens.data.equations import Equation, is_linear, value_of

a, b, c = (("a", "x", 1, 0.0), ("b", "x", 1, 0.0), ("c", "1-x/100", 1, 0.0))


@pytest.mark.parametrize(
    ("rule", "free", "linear"),
    [
        (Equation("y", (a, b), 0.0, 0.0, 9, 0), {"a", "b"}, True),
        (Equation("y", (a, ("b", "x", -1, 0.0)), 0.0, 0.0, 9, 0), {"a", "b"}, True),
        (Equation("y", (a,), 2.0, 0.0, 9, 0, constant=3.5), {"a"}, True),
        (Equation("y", (a,), 2.0, 0.0, 9, 0, excess=True, constant=-3.5), {"a"}, False),
        (Equation("y", (a, ("b", "x", -1, 0.0)), 0.0, 0.0, 9, 0, excess=True), {"a"}, False),
        (Equation("y", (a, c), 1.0, 0.0, 9, 0), {"a"}, True),
        (Equation("y", (a, c), 1.0, 0.0, 9, 0), {"c"}, True),
        (Equation("y", (a, c), 1.0, 0.0, 9, 0), {"a", "c"}, False),
        (Equation("y", (a, ("b", "x", -1, 0.0)), 1.0, 0.0, 9, 0), {"b"}, False),
        (Equation("y", (a, b), 0.0, 0.0, 9, 0, rate=c), {"a", "b"}, True),
        (Equation("y", (a, b), 0.0, 0.0, 9, 0, rate=c), {"c"}, True),
        (Equation("y", (a, b), 0.0, 0.0, 9, 0, rate=c), {"b", "c"}, False),
        (Equation("y", (a,), 0.0, 0.0, 9, 0, rate=("c", "x", -1, 0.0)), {"c"}, False),
        (Equation("y", (a,), 0.0, 0.0, 9, 0, rate=c, plus=b), {"a", "b"}, True),
    ],
)
def test_the_mean_is_that_of_the_means_where_a_rule_is_linear(rule: Equation, free: set[str], linear: bool) -> None:
    assert is_linear(rule, free) == linear
    # By the law itself: two rows in which all free cells are low or high together.
    cells = {"a": (1.0, 5.0), "b": (2.0, 4.0), "c": (10.0, 70.0)}
    rows = np.array([[cells[name][place * (name in free)] for name in "abc"] for place in (0, 1)])
    mean = value_of(rule, "abc", rows).mean()
    of_means = value_of(rule, "abc", rows.mean(axis=0)[None])[0]
    assert (mean == pytest.approx(of_means)) == linear
