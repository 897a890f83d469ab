"""What the default takes for pictures, what it leaves alone, and how many products a step costs."""

import numpy as np
import pytest

import latens
from latens.cli.training import before
from latens.config import NetworkConfig, VAEConfig, override
from latens.data import check
from latens.recipes import get_recipe
from latens.recipes.pictures import few_pictures, work


def resolved(x: np.ndarray, **settings: object) -> tuple[VAEConfig, str]:
    config = override(get_recipe("default").config, {k.replace("__", "."): v for k, v in settings.items()})
    experiment = latens.fitting.prepare(config, latens.read(x))
    assert isinstance(experiment.config, VAEConfig)
    return experiment.config, "\n".join([*experiment.reasons, *before(experiment)])


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize(
    ("shape", "widths", "likelihood"),
    [((16, 16), (32, 64), "logistic-mixture"), ((20, 33, 3), (32, 64, 128), "normal"),
     ((28, 28), (32, 64, 128), "logistic-mixture"), ((64, 64, 3), (32, 64, 128, 128), "normal"),
     ((17, 16, 1), (32, 64), "logistic-mixture")],
)  # fmt: skip
def test_colour_gets_a_normal_and_grey_a_logistic(shape: tuple, widths: tuple[int, ...], likelihood: str) -> None:
    config, reasons = resolved(pixels(60, *shape))
    assert (config.network.kind, config.network.hidden) == ("conv", widths)
    assert (config.likelihood.family, f"likelihood: {likelihood}, because a " in reasons) == (likelihood, True)
    assert config.likelihood.options == ({} if likelihood == "normal" else {"components": 1})
    assert check(latens.read(pixels(60, *shape)))["likelihood"] == likelihood
    assert f"model    default, {likelihood} likelihood, 32 latent units, conv network " in reasons
    assert "training pictures are few" in reasons
    assert few_pictures(latens.read(pixels(60, *shape))).endswith("alike or blurred; more pictures help")
    assert "for pictures of " + " x ".join(map(str, shape)) in reasons
    # Few pictures are moved, by an eighth of the shorter side; many are not, and what was given stays.
    assert config.data.shift == min(shape[:2]) // 8
    assert "at random (--set data.shift=0 leaves them" in reasons
    assert resolved(pixels(60, *shape), data__shift=0)[0].data.shift == 0


def test_colour_has_a_mixture_where_it_is_asked_for() -> None:
    x = pixels(60, 16, 16, 3)
    config, _ = resolved(x, likelihood="logistic-mixture")
    assert (config.likelihood.family, config.likelihood.options) == ("logistic-mixture", {"components": 1})
    config, said = resolved(x, likelihood__options={"components": 3})
    assert (config.likelihood.family, config.likelihood.options) == ("logistic-mixture", {"components": 3})
    assert "likelihood: logistic-mixture, because likelihood.options.components is set" in said
    config, _ = resolved(x // 16)  # few levels
    assert (config.network.kind, config.likelihood.family) == ("dense", "categorical")


def test_many_pictures_are_not_moved() -> None:
    config, reasons = resolved(pixels(2600, 16, 16))
    assert (config.network.kind, config.data.shift, "data.shift" in reasons) == ("conv", None, False)
    assert resolved(pixels(60, 8, 8))[0].data.shift is None  # dense networks


def test_what_was_chosen_and_what_is_no_picture_stays() -> None:
    config, _ = resolved(pixels(60, 20, 20), network="dense")
    assert (config.network.kind, config.likelihood.family) == ("dense", "normal")
    config, _ = resolved(pixels(60, 20, 20), network__hidden=[8])
    assert (config.network.kind, config.network.hidden) == ("dense", (8,))
    config, _ = resolved(pixels(60, 20, 20), likelihood="discretised-logistic")
    assert (config.network.kind, config.likelihood.family) == ("conv", "discretised-logistic")
    config, _ = resolved(pixels(60, 20, 20), likelihood__options={"components": 3}, likelihood__output_bias="zero")
    assert config.likelihood.options == {"components": 3}
    assert (config.likelihood.family, config.likelihood.output_bias) == ("logistic-mixture", "zero")
    config, _ = resolved(pixels(60, 8, 8))
    assert (config.network.kind, config.likelihood.family) == ("dense", "normal")
    config, _ = resolved(np.random.default_rng(0).normal(size=(60, 20, 20)))  # windows of times and numbers
    assert (config.network.kind, config.likelihood.family) == ("dense", "correlated-normal")


@pytest.mark.parametrize("shape", [(16, 16), (8, 8), (9,)])
def test_pixels_that_are_binarised_get_a_bernoulli(shape: tuple[int, ...]) -> None:
    config, reasons = resolved(pixels(60, *shape), data__binarize="stochastic")
    assert config.likelihood.family == "bernoulli"
    assert "likelihood: bernoulli, for data.binarize=stochastic" in reasons


def test_products_are_counted_by_hand() -> None:
    # 4 x 4 becomes 2 x 2 with 16 taps of 1 channel to 2; a block is two kernels of 9 taps of 2 channels to 2.
    assert work(NetworkConfig(kind="conv", hidden=(2,), kernel_size=4), (4, 4)) == 4 * 16 * 2
    assert work(NetworkConfig(kind="conv", hidden=(2,), kernel_size=4, blocks=1), (4, 4)) == 4 * (
        16 * 2 + 2 * 9 * 2 * 2
    )


def test_what_is_said_of_units_and_epochs_can_be_true():
    """32 units are not a quarter of 3,072 values, and 3 epochs do not end after 45 without a gain."""
    _, reasons = resolved(pixels(60, 32, 32, 3))
    assert "32 latent units, the most that are taken unasked" in reasons
    _, reasons = resolved(pixels(60, 10, 10))
    assert "25 latent units, a quarter of the values" in reasons
    _, reasons = resolved(pixels(60, 10, 10), training__epochs=3.0)
    assert "up to 3 epochs, too few for early stopping, which waits for" in reasons
