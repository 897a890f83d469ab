"""Training curves and the KL of units: the lines and bars are the numbers."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from latens.errors import DataError
from latens.figures import best_row, save, training_curves, training_curves_table, unit_kl_bars, unit_kl_table
from latens.figures.style import THEMES

HISTORY = {
    "epoch": np.arange(1, 5),
    "train_elbo": np.array([-200.0, -120.0, -100.0, -90.0]),
    "validation_elbo": np.array([-210.0, np.nan, -101.5, -103.0]),
    "train_log_likelihood": np.array([-190.0, -105.0, -80.0, -68.0]),
    "train_kl": np.array([10.0, 15.0, 20.0, 22.0]),
    "seconds": np.zeros(2),
}


def test_lines_are_the_history_and_the_best_epoch_is_marked():
    axes = training_curves(HISTORY)
    assert [ax.get_title("left") for ax in axes] == ["ELBO", "Log-likelihood", "KL"]
    minus = "\N{MINUS SIGN}"
    assert [ax.get_title("right") for ax in axes] == [
        f"best epoch 3: validation {minus}101.50",
        f"best epoch 3: train {minus}80.00",
        "best epoch 3: train 20.00",
    ]
    train, train_mark, validation, validation_mark, best = axes[0].lines
    np.testing.assert_array_equal(train.get_xydata(), np.stack([HISTORY["epoch"], HISTORY["train_elbo"]], axis=1))
    assert validation.get_xydata().tolist() == [[1, -210], [3, -101.5], [4, -103]]
    assert train_mark.get_xydata().tolist() == [[3, -100]]
    assert validation_mark.get_xydata().tolist() == [[3, -101.5]]
    assert list(best.get_xdata()) == [3, 3]
    np.testing.assert_array_equal(axes[2].lines[0].get_ydata(), HISTORY["train_kl"])
    assert axes[0].get_ylabel() == "nats per row"
    assert axes[0].get_xlabel() == "epoch"


def test_best_row_prefers_validation_and_finite_numbers():
    assert best_row(HISTORY) == 2
    assert best_row({"train_elbo": [-3.0, np.inf, -2.0, np.nan]}) == 2
    assert best_row({"train_elbo": [-3.0, -4.0], "validation_elbo": [np.nan, np.nan]}) == 0
    assert best_row({"train_elbo": [np.nan], "train_kl": [1.0]}) is None


def test_a_given_best_row_is_marked_and_checked():
    (ax,) = training_curves({"step": [100, 200, 300], "train_kl": [1.0, 2.0, 3.0]}, best=1)
    assert ax.get_title("right") == "best step 200: train 2.00"
    with pytest.raises(DataError, match="only 0 to 2"):
        training_curves({"step": [100, 200, 300], "train_kl": [1.0, 2.0, 3.0]}, best=3)


def test_curves_table_and_its_file(tmp_path):
    table = training_curves_table(HISTORY)
    assert list(table) == ["epoch", "train_elbo", "validation_elbo", "train_log_likelihood", "train_kl"]
    *_, path = save(training_curves(HISTORY), tmp_path / "x", table)
    lines = path.read_text().splitlines()
    assert lines[2] == "2,-120.0,NaN,-105.0,15.0"
    assert len(lines) == 5


def test_one_epoch_and_nothing_finite_can_be_drawn(tmp_path):
    (ax,) = training_curves({"epoch": [1], "train_elbo": [-5.0]})
    assert ax.get_xlim() == (0.0, 2.0)
    (ax,) = training_curves({"epoch": [1, 2], "train_elbo": [np.nan, np.nan]})
    assert ax.lines[0].get_xydata().tolist() == []
    save(ax, tmp_path / "x")


@pytest.mark.parametrize(
    ("history", "says"),
    [
        ({}, "no 'epoch'"),
        ({"epoch": [1]}, "no curve"),
        ({"epoch": [], "train_elbo": []}, "holds nothing"),
        ({"epoch": [1, 2], "train_elbo": [1.0]}, "equally long"),
        ({"epoch": [1, np.nan], "train_elbo": [1.0, 2.0]}, "NaN"),
    ],
)
def test_history_that_cannot_be_drawn_is_refused(history, says):
    with pytest.raises(DataError, match=says) as caught:
        training_curves(history)
    assert caught.value.fix


def test_bars_are_sorted_and_active_units_stand_out():
    kl = np.array([0.5, 0.01, 2.0, 0.5], np.float32)
    active = np.array([True, False, True, True])
    ax = unit_kl_bars(kl, active)
    assert [bar.get_height() for bar in ax.patches] == [2.0, 0.5, 0.5, np.float32(0.01)]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["2", "0", "3", "1"]
    first, grid = THEMES["light"].first, THEMES["light"].grid
    assert [to_hex(bar.get_facecolor()) for bar in ax.patches] == [first, first, first, grid]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["active: 3", "inactive: 1"]
    assert ax.get_title("left") == "KL of 4 latent units, 3.01 nats in all"
    assert ax.get_ylabel() == "KL (nats)"


def test_bars_table_and_its_file(tmp_path):
    table = unit_kl_table([0.25, 3.0, -0.5], [0, 1, 0])
    *_, path = save(unit_kl_bars([0.25, 3.0, -0.5], [0, 1, 0]), tmp_path / "x", table)
    assert path.read_text() == "unit,kl,active\n1,3.0,true\n0,0.25,false\n2,-0.5,false\n"
    assert list(unit_kl_table([1.0])) == ["unit", "kl"]


@pytest.mark.parametrize("count", [1, 2, 30, 31, 200])
def test_any_number_of_units(count):
    kl = np.random.default_rng(count).gamma(1.0, size=count)
    ax = unit_kl_bars(kl)
    assert [bar.get_height() for bar in ax.patches] == sorted(kl.tolist(), reverse=True)
    assert ax.get_legend() is None
    assert ax.get_xlabel().startswith("latent unit" if count <= 30 else "rank")


@pytest.mark.parametrize("arguments", [([],), ([np.nan],), ([1.0, 2.0], [True]), ([[1.0]],)])
def test_units_that_cannot_be_drawn_are_refused(arguments):
    with pytest.raises(DataError) as caught:
        unit_kl_bars(*arguments)
    assert caught.value.fix
