"""The explorer serves no number that is NaN or infinite: a model that overflows is refused as by the commands."""

import dataclasses
import json
from typing import Any

import jax
import numpy as np
import pytest
from explorer_fixtures import SMALL
from server_fixtures import ask

from latens.config import override
from latens.data import Dataset, load
from latens.errors import DivergedError
from latens.explorer.payload import payload
from latens.explorer.server import PageServer, decoder_of
from latens.fitting import prepare
from latens.recipes import get_recipe
from latens.trained.trained_model import TrainedModel


def made(recipe: str, **settings: object) -> tuple[TrainedModel, Dataset]:
    """An untrained model of three columns."""
    rows = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    chosen = SMALL | {name.replace("__", "."): value for name, value in settings.items()}
    experiment = prepare(override(get_recipe(recipe).config, chosen), load(rows, name="rows"))
    return experiment.trained(experiment.new_model()), experiment.data


def enlarged(trained: TrainedModel, part: str) -> TrainedModel:
    """The model with the weights of the networks of a part times 1e20."""

    def one(path: Any, leaf: Any) -> Any:
        name = jax.tree_util.keystr(path)
        return leaf * np.float32(1e20) if name.startswith(part) and "network" in name else leaf

    return dataclasses.replace(trained, model=jax.tree_util.tree_map_with_path(one, trained.model))


@pytest.mark.parametrize(
    ("recipe", "settings", "part", "words"),
    [
        ("default", {}, "", "posterior means"),
        ("default", {}, ".decoder", "ELBO"),
        ("autoencoder", {}, ".decoder", "decoded means"),
    ],
)
@pytest.mark.parametrize("serve", [False, True])
def test_a_model_that_overflows_is_refused(recipe: str, settings: dict, part: str, words: str, serve: bool) -> None:
    trained, data = made(recipe, **settings)
    payload(trained, data, serve=serve)
    with pytest.raises(DivergedError, match=f"{words}: .* rows hold NaN or infinity"):
        payload(enlarged(trained, part), data, serve=serve)


def test_the_server_decodes_finite_numbers_only() -> None:
    trained, data = made("default")
    files = payload(trained, data, serve=True)
    raw = np.ones((2, 3), "<f4").tobytes()
    for model, expected in ((trained, 200), (enlarged(trained, ".decoder"), 500)):
        with PageServer(files, decoder=decoder_of(model, files)) as page:
            response, body = ask(page, "/decode", "POST", raw)
        assert response.status == expected
        if expected == 200:
            means = trained.decode(np.ones((2, 3), np.float32)).ravel()
            np.testing.assert_allclose(np.frombuffer(body, "<f4"), means, rtol=1e-5, atol=1e-6)
        else:
            assert b"decoded means: 2 of 2 rows hold NaN or infinity, row 0 is the first" in body


def test_large_codes_are_described_in_finite_numbers() -> None:
    """Means of 1e25, whose squares single precision does not hold."""
    from latens.explorer.payload import units_of

    means = np.float32(1e25) * np.arange(8, dtype=np.float32).reshape(4, 2)
    found = json.loads(json.dumps(units_of(means, None, np.ones(2)), allow_nan=False))
    np.testing.assert_allclose([unit["spread"] for unit in found], 1e25 * np.sqrt(5.0) * np.ones(2), rtol=1e-6)
