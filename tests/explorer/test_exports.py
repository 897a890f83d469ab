"""What an exported page computes by itself: tables, convolutional decoders."""

import json
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from explorer_fixtures import needs_node, node, untrained

from latens import latents
from latens.data import Preparation, load
from latens.data.schema import Column, Schema
from latens.distributions import StandardNormal
from latens.errors import ConfigError
from latens.explorer import payload
from latens.explorer.decoder import decoder_arrays, in_data_units, page_decoder
from latens.kinds.tables.columns import ColumnType, FrameColumn, number_type
from latens.kinds.tables.dtypes import name_of
from latens.models import Conditional, LatentModel, NormalHead
from latens.models.heads.pixel_heads import PixelHead
from latens.models.heads.table import TableHead, TableInput
from latens.networks import ConvDecoder, Dense, LinearPath
from latens.runtime.safetensors import pack, tree_to_arrays
from latens.trained.trained_model import TrainedModel

rng = np.random.default_rng(0)
HOSTILE = "<img src=x onerror=alert(1)>"
SEEN = name_of(pl.Datetime("us", "Europe/Paris"))
TYPES = (
    ColumnType("category", ("Lyon", HOSTILE, "Porto"), shares=(0.2, 0.3, 0.5)),
    number_type(v := np.round(rng.gamma(4.0, 50.0, 900), 1), v, FrameColumn(dtype="Float64")),
    number_type(v := 18_000.0 + rng.integers(0, 20, 300), v, FrameColumn(dtype="Date")),
    ColumnType("ordinal", ("S", "M", "L", "XL"), shares=(0.3, 0.2, 0.4, 0.1)),
    number_type(v := rng.poisson(3.0, 500).astype(float), v, FrameColumn(dtype="Int64")),
    number_type(v := 1.6e9 + 3600.0 * rng.integers(0, 9, 300), v, FrameColumn(dtype=SEEN)),
)
NAMES = ("city", "income", "day", "size", "rooms", "seen")
SCHEMA = Schema((6,), "mixed", columns=tuple(map(Column, NAMES)), types=TYPES)
C, D = len(TYPES), 3


def table_model() -> TrainedModel:
    """A model of random weights whose columns hang on z."""
    keys = jax.random.split(jax.random.key(7), 4)
    head: Any = TableHead(TYPES)
    down = Dense([D, 16, head.num_outputs], activation="silu", key=keys[2])
    seen, latent = TableInput(TYPES), NormalHead((D,), scale="softplus")
    up = Dense([*seen.shape, 12, latent.num_outputs], activation="tanh", key=keys[3])
    model = LatentModel(StandardNormal((D,)), Conditional(up, latent, seen), Conditional(down, head))
    return TrainedModel(model, SCHEMA, Preparation())


def decoded(trained: TrainedModel, z: np.ndarray, folder: Path) -> np.ndarray:
    """What the page makes of latents."""
    spec = page_decoder(trained.model)
    assert spec is not None
    arrays, file = decoder_arrays(tree_to_arrays(trained.model)), folder / "decoder.safetensors"
    file.write_bytes(pack(arrays, {}))
    job = {"spec": spec | in_data_units(trained.preparation), "file": str(file), "z": z.ravel().tolist(), "codes": 0}
    [found] = node("decode", jobs=[job | {"size": z[0].size, "n": len(z)}])
    return np.reshape(found, (len(z), -1))


@needs_node
def test_a_row_of_a_table_is_decoded(tmp_path: Path) -> None:
    trained, z = table_model(), (2.0 * rng.normal(size=(6, D))).astype(np.float32)
    values = latents.decode(trained.model, z).reshape(6, -1)
    found = decoded(trained, z, tmp_path)
    scale = np.array([1.0 if one.kind == "category" else one.num_values for one in TYPES])
    np.testing.assert_allclose(found / scale, values / scale, atol=1e-5)
    assert np.ptp(values / scale, axis=0).min() > 0.03  # all columns move


PICTURES = {
    "plain": (ConvDecoder, {"widths": (8, 6), "shape": (9, 7)}),
    "a kernel of 4 and blocks": (
        ConvDecoder,
        {"widths": (6, 5, 4), "shape": (16, 16), "kernel_size": 4, "num_blocks": 2},
    ),
    "one size": (ConvDecoder, {"widths": (4,), "shape": (5, 6, 3)}),
}


def picture_model(network: Any, head: Any, size: int, shape: tuple[int, ...]) -> TrainedModel:
    latent = NormalHead((size,))
    up = Dense([int(np.prod(shape)), latent.num_outputs], key=jax.random.key(0))
    model = LatentModel(StandardNormal((size,)), Conditional(up, latent), Conditional(network, head))
    return TrainedModel(model, Schema(shape, "real"), Preparation())


@needs_node
@pytest.mark.parametrize("name", list(PICTURES))
def test_convolutions_are_decoded(name: str, tmp_path: Path) -> None:
    """Odd sizes, both kernels, residual blocks, channels, a map of codes; with biases that are not 0."""
    made, options = PICTURES[name]
    shape = options["shape"]
    head = NormalHead(shape)
    for on_map in (False, True):
        places = 1
        if on_map:
            height, width = shape[:2]
            for _ in options["widths"]:
                height, width = -(-height // 2), -(-width // 2)
            places = height * width
        size = 2 * places if on_map else 3
        network = made(size, num_outputs=head.num_outputs, blocks=2, on_map=on_map, activation="silu",
                       key=jax.random.key(1), **options)  # fmt: skip
        leaves, tree = jax.tree.flatten(eqx.filter(network, eqx.is_array))
        keys = jax.random.split(jax.random.key(2), len(leaves))
        moved = [leaf + 0.1 * jax.random.normal(k, leaf.shape) for leaf, k in zip(leaves, keys)]
        network = eqx.combine(jax.tree.unflatten(tree, moved), network)
        path = LinearPath(network, 0.5 * jax.random.normal(jax.random.key(3), (size, int(np.prod(shape)))),
                          unit=jnp.linspace(0.5, 2.0, head.num_outputs))  # fmt: skip
        for each in (network, path):
            trained, z = picture_model(each, head, size, shape), rng.normal(size=(3, size)).astype(np.float32)
            values = latents.decode(trained.model, z).reshape(3, -1)
            np.testing.assert_allclose(decoded(trained, z, tmp_path), values, atol=1e-4)
            assert np.ptp(values) > 1.0


@needs_node
@pytest.mark.parametrize(("channels", "components"), [(1, 1), (1, 3), (2, 2), (3, 1), (3, 3)])
def test_pixels_of_mixtures_have_the_means_that_latens_shows(channels: int, components: int, tmp_path: Path) -> None:
    shape = (4, 5) if channels == 1 else (4, 5, channels)
    head = PixelHead(shape, components=components)
    network = Dense([3, 8, head.num_outputs], activation="tanh", key=jax.random.key(0))
    own = np.random.default_rng([channels, components])
    trained, z = picture_model(network, head, 3, shape), 2.0 * own.normal(size=(5, 3)).astype(np.float32)
    page = decoded(trained, z, tmp_path)
    # The page counts in double precision: single precision is off by up to a quarter of a level where scales are small.
    with jax.enable_x64(True):
        double = lambda leaf: np.asarray(leaf, np.float64) if eqx.is_inexact_array(leaf) else leaf  # noqa: E731
        model = jax.tree.map(double, trained.model)
        exact = [model.likelihood(jnp.asarray(one, jnp.float64)) for one in z]
        values = [one.moments()[0] if channels > 1 else one.mean() for one in exact]
        np.testing.assert_allclose(page, np.stack(values).reshape(5, -1), atol=1e-4)
    np.testing.assert_allclose(page, latents.decode(trained.model, z, mean="seen").reshape(5, -1), atol=0.5)
    assert np.ptp(values) > 20.0


def test_a_large_convolution_is_left_to_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    trained, data = untrained("default", load("digits"), network__kind="conv")
    assert page_decoder(trained.model) is not None
    monkeypatch.setattr("latens.explorer.decoder.MOST_WEIGHTS", 100)
    with pytest.raises(ConfigError, match="this decoder has more weights than a page should carry"):
        payload(trained, data, most_rows=20)
    manifest = json.loads(payload(trained, data, most_rows=20, serve=True)["data/manifest.json"])
    assert manifest["decoder"]["kind"] == "server"
