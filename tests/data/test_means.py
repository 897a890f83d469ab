"""A column that is the mean of two or three others: found, checked, solved for any of them, and written."""

import numpy as np
import pandas as pd
import pytest

import latens
from latens.data import equations
from latens.data.mistakes import all_mistaken
from latens.data.rules import computed, rules_of, solved


def marks(count: int, n: int = 500, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    parts = rng.integers(0, 21, (n, count))
    frame = {f"test {k}": parts[:, k] for k in range(count)}
    return pd.DataFrame(frame | {"mean": parts.mean(axis=1).round(2), "coin": rng.choice(["a", "b"], n)})


@pytest.mark.parametrize("count", [2, 3])
def test_a_mean_is_found_and_solved(count: int) -> None:
    frame = marks(count)
    frame.loc[7, "mean"] += 3
    data = latens.load_data(frame, label="none", typed=True)
    facts = rules_of(data)
    (rule,) = equations.read(facts["equations"])
    added = " + ".join(f"test {k}" for k in range(count))
    assert (rule.words, rule.broken, rule.among) == (f"({added}) / {count}", 1, count)
    assert np.argwhere(all_mistaken(data)).tolist() == [[7, count]]
    x, others = np.array(data.x, np.float64), np.arange(len(frame)) != 7
    others &= np.asarray(data.outside == 0).all(axis=1)  # beyond the training rows
    for k in range(count + 1):
        hidden = np.zeros(x.shape, bool)
        hidden[others, k] = True
        made, sure = solved(facts, data.schema, np.where(hidden, 0.0, x), hidden)
        assert sure[others, k].all()
        np.testing.assert_array_equal(made[others], x[others])
    mixed = np.column_stack([x[::-1, 0], x[:, 1:]])
    made, beyond = computed(facts, data.schema, mixed)
    told = equations.numbers(made, data.schema)
    assert not equations.broken_by(rule, data.schema.names, told)[~beyond].any()
    # The mean of means, as any sum.
    assert equations.is_linear(rule, {f"test {k}" for k in range(count)})
    values = told[others]
    right = equations.value_of(rule, data.schema.names, values)
    assert right.mean() == pytest.approx(values[:, :count].mean())


def test_a_number_between_two_others_is_no_mean() -> None:
    frame = marks(2)
    frame["mean"] = (0.4 * frame["test 0"] + 0.6 * frame["test 1"]).round(2)
    found = equations.read(rules_of(latens.load_data(frame, label="none", typed=True)).get("equations"))
    assert not [one for one in found if one.among > 1]


def test_means_of_a_file_are_read_and_others_left_out() -> None:
    rule = equations.Equation("m", (("a", "x", 1, 0.0), ("b", "x", 1, 0.0)), 0.0, 0.005, 9, 0, among=2)
    assert equations.read([list(rule)]) == (rule,)
    for at, value in ((11, 0), (11, 2.0), (11, True), (11, 99), (2, 1.0), (7, True)):
        assert equations.read([[*rule[:at], value, *rule[at + 1 :]]]) == ()
