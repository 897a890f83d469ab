"""What commands say of what they did: no more and no less than is true."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from msgspec.structs import replace

from latens.cli.main import main
from latens.cli.training import draws_of
from latens.data import load
from latens.evaluation import Estimate
from latens.recipes import get_recipe
from latens.workflow.groups import beware
from latens.workflow.metrics import Summary


@pytest.mark.parametrize(
    ("rows", "words"), [(100, "a grid of 64 rows, evenly chosen among all 100"), (9, "x.png: 9 rows")]
)
def test_a_picture_of_many_latents_says_how_many_it_shows(
    rows: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "z.npz", z=np.linspace(-1, 1, 2 * rows, dtype=np.float32).reshape(-1, 2))
    assert main(["decode", "pretrained:digits-2d", str(tmp_path / "z.npz"), "--out", str(tmp_path / "x.png")]) == 0
    found = capsys.readouterr()
    assert words in found.out + found.err
    side = 8 if rows == 100 else 3
    height, width = imread(tmp_path / "x.png").shape[:2]
    assert height == width
    assert round(height / (112 * 9 / 8)) == side


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"keep": "best"}, "the test rows also chose the epoch"),
        ({"keep": "last", "patience": 3}, "the test rows also chose when training ended"),
        ({"keep": "last", "patience": None}, "the test rows were validated on in training; they chose nothing"),
    ],
)
def test_what_the_test_rows_chose(given: dict[str, Any], words: str) -> None:
    config = get_recipe("tiao").config
    config = replace(config, training=replace(config.training, **given))
    held_out, warnings = beware("test", load("iris").test_as_validation(), grey=False, config=config)
    assert held_out is False
    assert [name for name, _ in warnings] == ["not-held-out"]
    assert warnings[0][1].startswith(words)


@pytest.mark.parametrize(
    ("steps", "rows", "draws"), [(693, 198, 1000), (33, 198, 100), (516, 198, 1000), (515, 198, 100)]
)
def test_a_run_ends_with_more_draws_where_training_took_longer(steps: int, rows: int, draws: int) -> None:
    """`latens demo` (693 steps of 128 rows) took 100, which lack 1.5 nats beside an error over rows of 0.8."""
    assert draws_of(rows, steps * 128) == draws


def test_every_number_says_what_its_draws_may_make_it_wrong_by() -> None:
    """Before, the table of `evaluate --all` had the error over rows alone."""
    made = [Estimate(-90.93, 0.82, 100, 198), Estimate(-60.2, 0.4, 100, 198), Estimate(-59.9, 0.4, 100, 50)]
    errors = {"log_marginal": (np.inf, 1.1), "gap": (0.123, None), "log_marginal_upper": (-np.inf, None)}
    metrics = {name: one.with_draws_error(*errors[name]) for name, one in zip(errors, made)}
    metrics["active_units"] = Estimate(16.0, float("nan"), 0, 198, "units")
    lines = Summary(metrics, "test", True, (), (), "pixel").table_text().splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "over rows over draws",
        "log_marginal -90.93 ± 0.82 unknown nats 198 rows",
        "gap -60.20 ± 0.40 ± 0.12 nats 198 rows",
        "log_marginal_upper -59.90 ± 0.40 unknown nats 50 rows",
        "active_units 16 units 198 rows",
        "unknown: log_marginal: a lower bound, by an unknown amount",
        "unknown: log_marginal_upper: an upper bound, by an unknown amount",
    ]
    alone = Summary({"active_units": metrics["active_units"]}, "test", True, (), (), "pixel").table_text()
    assert alone.split() == ["active_units", "16", "units", "198", "rows"]


@pytest.mark.parametrize(("gain", "told"), [(-0.47, True), (-0.4, False), (0.47, False)])
def test_a_tree_that_is_better_by_two_errors_has_a_command_beside_it(gain: float, told: bool) -> None:
    metrics = {"log_marginal": Estimate(-16.0, 0.5, 1000, 81), "gain_over_tree": Estimate(gain, 0.21, 1000, 81)}
    lines = Summary(metrics, "test", True, (), (), "column").text().splitlines()
    (line,) = [line for line in lines if "tree of columns" in line]
    assert line.endswith("; more draws of the bound gain a little: --set objective.num_samples=20") == told
