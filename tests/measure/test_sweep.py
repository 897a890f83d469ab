"""Settings of a sweep: means over seeds with intervals by hand, who is best, and who goes on under halving."""

import csv
from collections.abc import Mapping
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from latens.cli.sweep_table import save_table
from latens.errors import ConfigError
from latens.runs.sweep import Plan, job_of, names_of, write_rows
from latens.workflow.sweep import over_seeds, pending, rounds, swept

ABOUT = {"name": "log_marginal", "num_samples": 2, "what": "", "protocol": "made up", "unit": "nats"}


def plan(*rates: str, seeds: int = 1, budgets: tuple[float, ...] = ()) -> Plan:
    chosen = [{"optimizer.learning_rate": rate} for rate in rates]
    kind = "steps" if budgets else None
    return Plan(["digits"], {"optimizer.learning_rate": ",".join(rates)}, chosen, list(range(seeds)), None, kind,
                list(budgets))  # fmt: skip


def put(
    of: Plan, folder: Path, rate: str, seed: int, rows: list[float] | None, budget: float | None = None,
    weight: list[float] | None = None, **about: str | float | None,
) -> None:  # fmt: skip
    setting = [each["optimizer.learning_rate"] for each in of.chosen].index(rate)
    job = job_of(of, folder, setting, seed, budget)
    job.found.mkdir(parents=True, exist_ok=True)
    found = {"diverged": "not finite"} if rows is None else {**ABOUT, **about, "rows": rows, "weight": weight}
    write_rows(job, found)


def filled(of: Plan, folder: Path, values: Mapping[str, list[list[float] | None]]) -> Path:
    for rate, seeds in values.items():
        for seed, rows in enumerate(seeds):
            put(of, folder, rate, seed, rows)
    return folder


def test_the_interval_over_seeds_is_students() -> None:
    found = over_seeds([1.0, 2.0, 6.0])
    # t of 2 degrees of freedom at 0.975 is 4.30265; s = sqrt(7), so the half is 4.30265 sqrt(7 / 3).
    assert found.value == 3.0
    assert (found.low, found.high) == pytest.approx((3.0 - 6.57251, 3.0 + 6.57251), abs=1e-4)
    alone = over_seeds([4.0])
    assert (alone.value, np.isnan(alone.low), np.isnan(alone.high)) == (4.0, True, True)


def test_means_errors_and_differences_are_those_by_hand(tmp_path: Path) -> None:
    of = plan("0.001", "0.003", seeds=3)
    low = [[-3.0, -1.0], [-4.0, -2.0], [-5.0, -1.0]]  # means -2, -3, -3
    high = [[-1.0, -1.0], [-2.0, 0.0], [-4.0, 0.0]]  # means -1, -1, -2
    best, other = swept(of, filled(of, tmp_path, {"0.001": low, "0.003": high})).settings
    assert (best.name, other.name) == ("learning_rate=0.003", "learning_rate=0.001")
    assert best.mean is not None
    assert best.estimate is not None
    assert best.mean.value == pytest.approx(-4 / 3)
    half = stats.t.ppf(0.975, 2) * np.std([-1, -1, -2], ddof=1) / np.sqrt(3)
    assert (best.mean.low, best.mean.high) == pytest.approx((-4 / 3 - half, -4 / 3 + half))
    # Over rows: the means over seeds are -7/3 and -1/3, whose standard error is half of their distance.
    assert (best.estimate.value, best.estimate.standard_error, best.estimate.n) == pytest.approx((-4 / 3, 1.0, 2))
    assert best.difference is None
    gap = other.difference
    assert gap is not None
    assert (gap.value, gap.over) == (pytest.approx(-4 / 3), "seeds")  # -1, -2, -1 by seed
    half = stats.t.ppf(0.975, 2) * np.std([-1, -2, -1], ddof=1) / np.sqrt(3)
    assert (gap.low, gap.high) == pytest.approx((-4 / 3 - half, -4 / 3 + half))
    assert other.best_run == tmp_path / "learning_rate=0.001" / "seed=0"


def test_errors_over_draws_stand_in_the_files_and_unknown_ones_are_said(tmp_path: Path) -> None:
    """Before, `sweep.csv` and the settings of `sweep.json` had the error over rows alone."""
    of = plan("0.001", "0.003", "0.01", seeds=2)
    for seed in (0, 1):
        put(of, tmp_path, "0.001", seed, [-3.0, -1.0], draws_error=0.1 + 0.2 * seed, at_least=None)
        put(of, tmp_path, "0.003", seed, [-2.0, -1.0], draws_error=None, at_least=0.4)
        put(of, tmp_path, "0.01", seed, None)
    found = swept(of, tmp_path)
    told = {each["name"]: each["draws_error"] for each in found.to_json(tmp_path)["settings"]}
    assert told == {"learning_rate=0.003": None, "learning_rate=0.001": pytest.approx(0.2), "learning_rate=0.01": None}
    save_table(found, tmp_path)
    lines = list(csv.DictReader((tmp_path / "sweep.csv").read_text().splitlines()))
    bound = "a lower bound, by an unknown amount"
    assert [(line["draws_error"], line["bound"]) for line in lines] == [
        ("nan", bound), ("nan", bound), ("0.1", ""), ("0.30000000000000004", ""), ("nan", ""), ("nan", ""),
    ]  # fmt: skip


def test_one_seed_is_compared_over_rows_and_weights_count(tmp_path: Path) -> None:
    of = plan("0.001", "0.003")
    put(of, tmp_path, "0.001", 0, [-3.0, -1.0, -2.0], weight=[2.0, 1.0, 1.0])
    put(of, tmp_path, "0.003", 0, [-2.0, -1.0, 0.0], weight=[2.0, 1.0, 1.0])
    best, other = swept(of, tmp_path).settings
    assert best.mean is not None
    assert best.estimate is not None
    assert (best.mean.value, best.estimate.value) == (-1.25, -1.25)  # (2 x -2 - 1) / 4
    assert other.difference is not None
    assert (other.difference.value, other.difference.over) == (-1.0, "rows")  # (2 x -1 + 0 - 2) / 4
    share = np.array([0.5, 0.25, 0.25])
    error = np.sqrt(np.sum(share**2 * (np.array([-1.0, 0.0, -2.0]) + 1.0) ** 2) * 3 / 2)
    half = stats.t.ppf(0.975, 2) * error
    assert (other.difference.low, other.difference.high) == pytest.approx((-1.0 - half, -1.0 + half))


def test_a_setting_has_the_error_over_draws_of_its_runs(tmp_path: Path) -> None:
    of = plan("0.001", "0.003", "0.01", seeds=2)
    lacks = {"0.001": [(0.1, 0.1), (0.3, 0.3)], "0.003": [(0.1, 0.1), (None, 0.5)], "0.01": [(None, None)] * 2}
    for rate, runs in lacks.items():
        for seed, (error, at_least) in enumerate(runs):
            put(of, tmp_path, rate, seed, [-1.0 - float(rate), -2.0], draws_error=error, at_least=at_least)
    told = [each.estimate for each in swept(of, tmp_path).settings]
    known, unknown, without = told
    assert known is not None
    assert unknown is not None
    assert without is not None
    assert (known.draws_error, known.at_least, known.protocol) == (pytest.approx(0.2), pytest.approx(0.2), "made up")
    assert (unknown.draws_error, unknown.at_least) == (np.inf, pytest.approx(0.3))
    assert unknown.protocol == "made up; a lower bound, by an unknown amount"
    assert (without.draws_error, without.protocol) == (None, "made up")


def test_the_order_in_which_settings_are_typed_changes_nothing(tmp_path: Path) -> None:
    values = {"0.001": [[-2.0, -1.0]], "0.003": [[-1.0, 0.0]], "0.01": [[0.0, -1.0]]}  # the last two are level
    for number, rates in enumerate(permutations(values)):
        folder, of = tmp_path / str(number), plan(*rates)
        told = [(each.name, each.mean.value) for each in swept(of, filled(of, folder, values)).settings if each.mean]
        assert told == [("learning_rate=0.003", -0.5), ("learning_rate=0.01", -0.5), ("learning_rate=0.001", -1.5)]
        assert of.differences(plan("1e-3", "3e-3", "1e-2")) == []


def test_a_setting_that_diverged_comes_last_and_all_of_them_are_an_error(tmp_path: Path) -> None:
    of = plan("0.001", "0.003", "1.0", seeds=2)
    values = {"0.001": [[-9.0], [-9.0]], "0.003": [[-1.0], None], "1.0": [None, None]}
    result = swept(of, filled(of, tmp_path, values))
    assert [(each.name, each.diverged) for each in result.settings] == [
        ("learning_rate=0.001", 0), ("learning_rate=0.003", 1), ("learning_rate=1", 2),
    ]  # fmt: skip
    partly, gone = result.settings[1:]
    assert (partly.mean.value, partly.difference.value) == (-1.0, 8.0)
    assert (gone.mean, gone.estimate, gone.difference) == (None, None, None)
    assert gone.to_json(tmp_path)["runs"][0] == {
        "run": "learning_rate=1/seed=0", "seed": 0, "value": None, "diverged": "not finite",
    }  # fmt: skip
    alone = plan("1.0", seeds=2)
    with pytest.raises(ConfigError, match="every run of the sweep diverged"):
        swept(alone, filled(alone, tmp_path / "b", {"1.0": [None, None]}))


def test_numbers_of_two_kinds_are_not_compared(tmp_path: Path) -> None:
    of = plan("0.001", "0.003")
    put(of, tmp_path, "0.001", 0, [-1.0])
    put(of, tmp_path, "0.003", 0, [-1.0], name="cross_entropy_bound")
    with pytest.raises(ConfigError, match="log_marginal and cross_entropy_bound"):
        swept(of, tmp_path)


def test_halving_drops_the_worse_half_at_each_budget(tmp_path: Path) -> None:
    of = plan("1.0", "2.0", "3.0", "4.0", "5.0", budgets=(5.0, 10.0, 20.0, 40.0))
    kept = {5.0: [1, 2, 3, 4, 5], 10.0: [3, 4, 5], 20.0: [4, 5], 40.0: [5]}
    for budget, rates in kept.items():
        left = pending(of, tmp_path)
        assert [(job.budget, job.run.parent.name) for job in left] == [
            (budget, f"learning_rate={rate}") for rate in rates
        ]
        for rate in rates:
            put(of, tmp_path, f"{rate}.0", 0, [rate + budget], budget)
    assert pending(of, tmp_path) == []
    assert [len(jobs) for jobs in rounds(of, tmp_path)] == [5, 3, 2, 1]
    result = swept(of, tmp_path)
    assert [(each.name[-1], each.budget) for each in result.settings] == [
        ("5", 40.0), ("4", 20.0), ("3", 10.0), ("2", 5.0), ("1", 5.0),
    ]  # fmt: skip
    gaps = [each.difference.value for each in result.settings[1:]]
    assert gaps == [-1.0, -2.0, -3.0, -4.0]  # from the best at the same budget


def test_names_are_short_safe_and_never_alike() -> None:
    def named(*settings: dict[str, str]) -> list[str]:
        return names_of(Plan(["digits"], {}, list(settings), [0]))

    assert named({}) == ["default"]
    assert named({"optimizer.learning_rate": "1e-3", "network.hidden": "[64, 32]"}) == [
        "learning_rate=0.001,hidden=64+32"
    ]
    assert named({"optimizer.learning_rate": "1", "optimizer.critic.learning_rate": "2"}) == [
        "optimizer.learning_rate=1,optimizer.critic.learning_rate=2"
    ]
    one, other = named({"network.encoder": "a/b"}, {"network.encoder": "a b"})
    assert one.startswith("encoder=a-b-")
    assert one != other
    long, longer = named({"network.encoder": "a" * 300}, {"network.encoder": "a" * 301})
    assert len(long) == len(longer) == 129
    assert long != longer


def test_differences_of_plans_are_told_in_words() -> None:
    was = plan("0.001", "0.003", seeds=2)
    assert plan("3e-3", "1e-3", seeds=2).differences(was) == []
    assert plan("0.001", "0.01", seeds=3).differences(was) == [
        "--set optimizer.learning_rate is 0.001,0.01 and was 0.001,0.003",
        "the seeds are 0 to 2 and were 0 to 1",
    ]
    assert plan("0.001", "0.003", seeds=2, budgets=(1.0, 2.0)).differences(was) == [
        "--halving is [1.0, 2.0] and was not given"
    ]
    other = Plan(["wine"], was.options, was.chosen, was.seeds)
    assert other.differences(was) == ["the training is `wine` and was `digits`"]
