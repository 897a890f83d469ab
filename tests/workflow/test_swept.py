"""Settings of a sweep against each other, of numbers by hand: seeds that diverged leave the others paired."""

import math
from pathlib import Path

import numpy as np
import pytest

from latens.cli.sweep_table import words_of_table
from latens.runs.sweep import Job, Plan, Sweep
from latens.workflow.compare import Rows, estimate_of
from latens.workflow.sweep import Setting, Swept, SweptRun, _difference, over_seeds


def of_seeds(*each: float | list[float] | None) -> list[SweptRun]:
    """One run a seed, of its mean or of its rows; None diverged."""
    runs = []
    for seed, value in enumerate(each):
        job = Job(0, seed, None, Path("run"), Path("found"))
        if value is None:
            runs.append(SweptRun(job, "diverged at step 3"))
        else:
            rows = Rows("elbo", np.asarray(value, float) * np.ones(4), 1, "", "")
            runs.append(SweptRun(job, "", estimate_of(rows, None), rows))
    return runs


def test_a_seed_that_diverged_in_either_setting_is_not_paired() -> None:
    # The gaps of seeds 0 and 2 are -1 and -3: mean -2, standard error 1, and t of one degree of freedom is 12.7062.
    found = _difference(of_seeds(1.0, 9.0, 3.0, None), of_seeds(2.0, None, 6.0, 7.0), "best")
    assert (found.value, found.over) == (-2.0, "seeds")
    assert (found.low, found.high) == pytest.approx((-14.7062, 10.7062), abs=1e-4)


def test_one_seed_that_both_have_is_compared_by_its_rows() -> None:
    # Rows -1, -1, -3, -3: mean -2, standard error 2 / sqrt(12), and t of three degrees of freedom is 3.18245.
    one, other = of_seeds(None, [1.0, 2.0, 1.0, 2.0], 50.0), of_seeds(70.0, [2.0, 3.0, 4.0, 5.0], None)
    found = _difference(one, other, "best")
    assert (found.value, found.over) == (-2.0, "rows")
    wide = 3.18245 * 2 / math.sqrt(12)
    assert (found.low, found.high) == pytest.approx((-2 - wide, -2 + wide), abs=1e-4)


def test_settings_without_a_seed_in_common_have_no_difference() -> None:
    gap = _difference(of_seeds(None, 1.0), of_seeds(1.0, None), "best")
    assert {gap.to_json()[name] for name in ("value", "low", "high")} == {None}
    settings = [
        Setting(name, {"lr": name}, None, tuple(runs), over_seeds([1.0]), runs[at].estimate, behind)
        for name, runs, at, behind in (("a", of_seeds(1.0, None), 0, None), ("b", of_seeds(None, 1.0), 1, gap))
    ]
    result = Swept("elbo", "nats", "", tuple(settings))
    plan = Plan([], {"lr": "a,b"}, [{"lr": "a"}, {"lr": "b"}], [0, 1])
    said = words_of_table(result, Sweep("latens-sweep", 1, [], "", 1, plan, {"rows": 4, "name": "data"}))
    assert "1 of 2 diverged" in said
    assert "no seed in common" in said
    assert "nan" not in said
    assert said.startswith("These seeds do not tell a from b: their intervals hold 0 or are unknown.\n")
