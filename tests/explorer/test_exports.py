"""What an exported page computes by itself: columns given others, tables, convolutional decoders."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from explorer_fixtures import needs_node, node, untrained

from latens import evaluation
from latens.data import Dataset, Preparation, load
from latens.data.schema import Column, Schema
from latens.distributions import DiagonalNormal, StandardNormal
from latens.evaluation.conditional_samples import shares_given
from latens.explorer import payload
from latens.explorer.decoder import decoder_arrays, in_data_units, page_decoder
from latens.explorer.whatif import answers
from latens.io.named_arrays import tree_to_arrays
from latens.io.safetensors import pack
from latens.kinds.tables.columns import ColumnType, FrameColumn, number_type
from latens.kinds.tables.dtypes import name_of
from latens.kinds.tables.typed import as_frame
from latens.kinds.tables.where import Conditions
from latens.models import Conditional, LatentModel, NormalHead
from latens.models.heads.pixel_heads import PixelHead
from latens.models.heads.table import TableHead, TableInput
from latens.models.priors import FixedPrior, MixturePrior
from latens.networks import ConvDecoder, Dense, LinearPath
from latens.trees import Frozen
from latens.workflow.trained import TrainedModel

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


def table_model(*, prior: str = "mixture", network: Any = None) -> TrainedModel:
    """A model of random weights whose columns hang on z."""
    keys = jax.random.split(jax.random.key(7), 6)
    head: Any = TableHead(TYPES)
    down = network or Dense([D, 16, head.num_outputs], activation="silu", key=keys[2])
    seen, latent = TableInput(TYPES), NormalHead((D,), scale="softplus")
    up = Dense([*seen.shape, 12, latent.num_outputs], activation="tanh", key=keys[3])
    mixture = MixturePrior.create((D,), (C,), components=4, key=keys[4])
    mixture = eqx.tree_at(lambda p: p.log_scale, mixture, 0.3 * jax.random.normal(keys[5], (4, D)) - 0.7)
    law: Any = {"mixture": mixture, "normal": StandardNormal((D,))}.get(prior)
    law = FixedPrior(Frozen(DiagonalNormal(jnp.zeros(D), jnp.zeros(D)))) if law is None else law
    model = LatentModel(law, Conditional(up, latent, seen), Conditional(down, head))
    return TrainedModel(model, SCHEMA, Preparation())


def rows_with_gaps(trained: TrainedModel, n: int = 200) -> Dataset:
    frame = as_frame(trained.sample(n, seed=1), SCHEMA)
    return load(frame.with_columns(day=pl.when(pl.int_range(n) != 5).then("day")), schema=SCHEMA)


class Asked:
    """A page's own answers, by node."""

    def __init__(self, trained: TrainedModel, folder: Path) -> None:
        self.files = payload(trained, rows_with_gaps(trained))
        self.manifest = json.loads(self.files["data/manifest.json"])
        given = self.manifest["given"]
        self.names = {"file": given["file"], "prior": self.manifest["arrays"]["prior"]["file"]}
        self.names |= {"outputs": given["outputs"] and given["outputs"]["file"]}
        self.names |= {"decoder": None if given["outputs"] else self.manifest["decoder"]["file"]}
        self.folder = folder

    def __call__(self, *questions: dict[str, Any]) -> list[dict[str, Any]]:
        paths = {}
        for name, file in self.names.items():
            paths[name] = file and str(self.folder / f"{name}.bin")
            if file:
                (self.folder / f"{name}.bin").write_bytes(self.files[file])
        return node("given", manifest=self.manifest, questions=list(questions), **paths)


def expected(trained: TrainedModel, cells: dict[int, float]) -> Any:
    """By as many draws as leave little error."""
    low = np.array([cells.get(i, -np.inf) for i in range(C)])
    high = np.array([cells.get(i, np.inf) for i in range(C)])
    return shares_given(trained.model, Conditions(low, high), TYPES, key=jax.random.key(1), enough=8_000)


DATE, INCOME = str(np.datetime64(int(TYPES[2].low) + 3, "D")), TYPES[1].texts(np.array([700]))[0]
QUESTIONS: list[tuple[list[Any], dict[int, float]]] = [
    ([], {}),
    ([[0, 1]], {0: 1.0}),
    ([[2, DATE], [3, 2]], {2: 3.0, 3: 2.0}),
    ([[1, INCOME], [0, 0], [4, "2"]], {1: 700.0, 0: 0.0, 4: 2.0}),
    ([[5, "2020-09-13T18:26:40"], [1, INCOME], [2, DATE], [3, 0]], {5: 14400.0, 1: 700.0, 2: 3.0, 3: 0.0}),
]


@needs_node
@pytest.mark.parametrize("which", ["mixture", "normal"])
def test_the_page_answers_as_latens_does(which: str, tmp_path: Path) -> None:
    """Shares of every free column and the probability of what is fixed, with none, one and several columns fixed."""
    trained = table_model(prior=which)
    asked = Asked(trained, tmp_path)
    assert asked.manifest["given"]["encoder"] is not None
    found = asked(*({"given": given} for given, _ in QUESTIONS))
    own = answers(trained)
    assert own is not None
    for (given, cells), answer in zip(QUESTIONS, found):
        assert "refused" not in answer
        reference = expected(trained, cells)
        assert answer["effective"] > 900
        error = 4.0 / np.sqrt(answer["effective"]) + 4.0 / np.sqrt(reference.effective)
        assert answer["probability"] == pytest.approx(np.exp(reference.log_probability), rel=error)
        assert [one["column"] for one in answer["columns"]] == [i for i in range(C) if i not in cells]
        server = {one["column"]: one for one in json.loads(own(json.dumps({"given": given}).encode()))["columns"]}
        for one in answer["columns"]:
            same = server[one["column"]]
            assert set(one) == set(same)
            bars = np.array(same["shares"])
            np.testing.assert_allclose(sum(one["shares"]), 1.0, atol=1e-6)
            assert np.all(np.abs(np.array(one["shares"]) - bars) < error * np.sqrt(bars) + 1e-5)
            if "quantiles" in same:
                assert all(type(a) is type(b) for a, b in zip(one["quantiles"], same["quantiles"]))


@needs_node
def test_what_is_exact_is_the_same_to_five_digits(tmp_path: Path) -> None:
    """Without a say of z every answer is that of the shares: nothing is drawn that could differ."""
    trained = table_model()
    still = jax.tree.map(lambda leaf: 0.0 * leaf, trained.model.decoder.network)
    trained = replace(trained, model=eqx.tree_at(lambda m: m.decoder.network, trained.model, still))
    own = answers(trained)
    assert own is not None
    found = Asked(trained, tmp_path)(*({"given": given} for given, _ in QUESTIONS))
    for (given, _), answer in zip(QUESTIONS, found):
        same = json.loads(own(json.dumps({"given": given}).encode()))
        for one, other in zip(answer["columns"], same["columns"], strict=True):
            np.testing.assert_allclose(one["shares"], other["shares"], rtol=2e-5, atol=2e-6)
            assert one.get("quantiles") == other.get("quantiles") or one["column"] == 5  # said by the nearest choice
            if isinstance(other.get("mean"), float):
                assert one["mean"] == pytest.approx(other["mean"], rel=1e-5)


@needs_node
@pytest.mark.parametrize("scale", ["softplus", "log-scale", "log-variance"])
def test_the_page_encodes_what_is_fixed(scale: Any, tmp_path: Path) -> None:
    """Wrong draws would be weighed right, and few of them would count: so they are looked at themselves."""
    trained = table_model()
    trained = replace(
        trained, model=eqx.tree_at(lambda m: m.encoder.head, trained.model, NormalHead((D,), scale=scale))
    )
    spec = Asked(trained, tmp_path).manifest["given"]["encoder"]
    (tmp_path / "encoder").write_bytes(pack(tree_to_arrays(trained.model), {}))
    cells = np.array([[1.0, 700.0, 3.0, 2.0, 2.0, 14400.0], [2.0, 40.0, 19.0, 0.0, 0.0, 0.0]])
    masks = np.array([[True] * 6, [True, False, True, False, False, True], [False] * 6])
    rows = [[float(cell) if seen else None for cell, seen in zip(row, mask)] for row in cells for mask in masks]
    found = np.array(node("encode", spec=spec, file=str(tmp_path / "encoder"), size=D, rows=rows))
    for one, (row, mask) in zip(found, ((row, mask) for row in cells for mask in masks)):
        normal = trained.model.posterior(jnp.asarray(row, jnp.float32), mask=jnp.asarray(mask))
        np.testing.assert_allclose(one, np.concatenate([normal.loc, normal.log_scale_array()]), atol=2e-5)
    assert np.ptp(found, axis=0).min() > 0.05


@needs_node
def test_a_row_with_a_gap_and_a_changed_cell(tmp_path: Path) -> None:
    trained = table_model()
    own = answers(trained)
    assert own is not None
    row = [0.0, 700.0, None, 2.0, 1.0, 7200.0]
    question = {"given": [[3, 0]], "row": row}
    [answer, still] = Asked(trained, tmp_path)(question, {"given": [], "row": row})
    same = json.loads(own(json.dumps(question).encode()))
    assert [one["own"] for one in answer["columns"]] == [one["own"] for one in same["columns"]]
    assert answer["columns"][2]["own"] == ""
    error = 6.0 / np.sqrt(answer["effective"])
    for one, other in zip(answer["columns"], same["columns"], strict=True):
        for told, told_there in ((one, other), (one["was"], other["was"])):
            bars = np.array(told_there["shares"])
            assert np.all(np.abs(np.array(told["shares"]) - bars) < error * np.sqrt(bars) + 1e-5)
        assert one["moved"] == pytest.approx(other["moved"], abs=error)
    assert {one["moved"] for one in still["columns"]} == {0.0}


@needs_node
def test_other_priors_and_networks_weigh_draws_of_the_prior(tmp_path: Path) -> None:
    """No density of the prior, and a network the page does not compute: fewer draws count, and the shares are right."""
    head = table_model().model.decoder.head
    weight = jax.random.normal(jax.random.key(0), (head.num_outputs, D))

    class Tilt(eqx.Module):
        weight: jax.Array

        def __call__(self, z: Any) -> Any:
            return self.weight @ z

    for trained in (table_model(prior="fixed"), table_model(network=Tilt(weight))):
        asked = Asked(trained, tmp_path)
        given = asked.manifest["given"]
        assert given["encoder"] is None
        assert (given["outputs"] is None) == (page_decoder(trained.model) is not None)
        for (_, cells), answer in zip(QUESTIONS[:3], asked(*({"given": one} for one, _ in QUESTIONS[:3]))):
            reference = expected(trained, cells)
            error = 5.0 / np.sqrt(answer["effective"])
            for one in answer["columns"]:
                if not TYPES[one["column"]].named:
                    continue
                p = reference.columns[one["column"]]
                assert np.all(np.abs(np.array(one["shares"]) - p) < error * np.sqrt(p) + 1e-3)


@needs_node
def test_a_model_that_is_told_conditions_answers_as_told(tmp_path: Path) -> None:
    """Encoder and decoder read a vector, which stands in their first biases in the page."""
    plain = table_model()
    told = Frozen(jnp.array([4.0, -3.0]))
    wide = lambda part, k: jax.random.normal(jax.random.key(k), (2, part.network.layers[0].weight.shape[1]))  # noqa: E731
    first = lambda p: p.network.layers[0].weight  # noqa: E731
    parts = {}
    for k, name in enumerate(("encoder", "decoder")):
        part: Any = getattr(plain.model, name)
        part = eqx.tree_at(first, part, jnp.concatenate([first(part), wide(part, k)]))
        parts[name] = Conditional(part.network, part.head, part.standardise, ("given",), told)
    trained = replace(plain, model=LatentModel(plain.model.prior_part, parts["encoder"], parts["decoder"]))
    asked = Asked(trained, tmp_path)
    assert asked.manifest["given"]["encoder"] is not None
    moved = []
    for (_, cells), answer in zip(QUESTIONS[1:3], asked(*({"given": given} for given, _ in QUESTIONS[1:3]))):
        reference = expected(trained, cells)
        assert answer["effective"] > 900
        error = 4.0 / np.sqrt(answer["effective"]) + 4.0 / np.sqrt(reference.effective)
        assert answer["probability"] == pytest.approx(np.exp(reference.log_probability), rel=error)
        untold = expected(plain, cells)
        for one in answer["columns"]:
            if TYPES[one["column"]].named:
                p, other = reference.columns[one["column"]], untold.columns[one["column"]]
                assert np.all(np.abs(np.array(one["shares"]) - p) < error * np.sqrt(p) + 1e-5)
                moved.append(0.5 * np.abs(p - other).sum())
    assert max(moved) > 0.2  # what it is told matters


@needs_node
def test_values_that_no_row_can_have_are_refused(tmp_path: Path) -> None:
    asked = Asked(table_model(), tmp_path)
    typed = [[1, "1e9"], [1, "nan"], [1, "0.05"], [1, ""], [2, "2021-02-31"], [2, "1999-01-01"], [5, "noon"]]
    for answer in asked(*({"given": [one]} for one in typed)):
        assert "cannot be that" in answer["refused"]


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
    values = evaluation.decode(trained.model, z).reshape(6, -1)
    found = decoded(trained, z, tmp_path)
    scale = np.array([1.0 if one.kind == "category" else one.cells for one in TYPES])
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
            values = evaluation.decode(trained.model, z).reshape(3, -1)
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
    np.testing.assert_allclose(page, evaluation.decode(trained.model, z, mean="seen").reshape(5, -1), atol=0.5)
    assert np.ptp(values) > 20.0


def test_a_large_convolution_is_left_to_pictures_made_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    trained, data = untrained("default", load("digits"), network__kind="conv")
    assert page_decoder(trained.model) is not None
    monkeypatch.setattr("latens.explorer.decoder.MOST_WEIGHTS", 100)
    manifest = json.loads(payload(trained, data, most_rows=20)["data/manifest.json"])
    assert (manifest["decoder"]["kind"], "more weights" in manifest["decoder"]["why"]) == ("precomputed", True)
