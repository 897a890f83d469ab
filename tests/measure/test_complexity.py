"""The length of a picture's code, and unusual pictures by what of their surprise it does not explain."""

import csv
import json
import math
import zlib

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import latens
from latens.cli.main import main
from latens.config import override
from latens.recipes import get_recipe
from latens.workflow.complexity import are_pictures, code_lengths
from latens.workflow.outliers import conformal, detect, scores_of

BYTE = 8.0 * math.log(2.0)


def deflated(data):
    coder = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    return len(coder.compress(bytes(data)) + coder.flush())


def filtered(x, kind):
    """The five filters of PNG, byte by byte as the standard writes them."""
    height, width, colours = x.shape

    def at(i, j, c):
        return int(x[i, j, c]) if i >= 0 and j >= 0 else 0

    made = []
    for i in range(height):
        for j in range(width):
            for c in range(colours):
                a, b, corner = at(i, j - 1, c), at(i - 1, j, c), at(i - 1, j - 1, c)
                p = a + b - corner
                nearest = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - corner), 2, corner))[2]
                guess = (0, a, b, (a + b) // 2, nearest)[kind]
                made.append((int(x[i, j, c]) - guess) % 256)
    return made


@pytest.mark.parametrize("shape", [(9, 7), (6, 8, 3)])
def test_the_length_is_that_of_the_shortest_of_pngs_filters(shape):
    rng = np.random.default_rng(0)
    ramp = np.add.outer(*(np.arange(side) * 9 for side in shape[:2]))
    ramp = ramp if len(shape) == 2 else np.stack([ramp, ramp + 3, 255 - ramp], axis=2)
    pictures = np.stack([rng.integers(0, 256, shape), np.full(shape, 7), ramp % 256, (ramp > 50) * 200])
    exact = [min(deflated(filtered(x.reshape(*shape[:2], -1), kind)) for kind in range(5)) for x in pictures]
    np.testing.assert_allclose(code_lengths(pictures), BYTE * np.array(exact), rtol=1e-12)
    assert np.argmax(exact) == 0
    assert np.argmin(exact) == 1


def test_two_levels_are_bits_and_many_are_two_bytes():
    rng = np.random.default_rng(1)
    bits = rng.integers(0, 2, (3, 8, 16))
    np.testing.assert_allclose(code_lengths(bits, 2), [BYTE * deflated(np.packbits(x, axis=1)) for x in bits])
    wide = rng.integers(0, 65536, (2, 8, 8))
    split = np.stack([wide >> 8, wide & 255], axis=3)
    exact = [min(deflated(filtered(x, kind)) for kind in range(5)) for x in split]
    np.testing.assert_allclose(code_lengths(wide, 65536), BYTE * np.array(exact))


@pytest.fixture(scope="module")
def digits():
    data = latens.read("digits")
    settings = {"training.steps": 300, "network.hidden": [64], "posterior.latent_dim": 8}
    return data, latens.workflow.train(latens.workflow.prepare(override(get_recipe("default").config, settings), data))[
        0
    ]


def test_p_values_are_those_of_the_excess(digits):
    data, trained = digits
    held_out = data.subset("test")
    new = latens.read(np.asarray(data.x)[:40], schema=trained.schema)
    found = detect(trained, data, held_out, new, num_samples=20)
    x = np.asarray(data.x)
    np.testing.assert_array_equal(found.code_length, code_lengths(x[:40].reshape(-1, 8, 8), 17))
    np.testing.assert_array_equal(found.score, found.surprise - found.code_length)
    options = {"num_samples": 20, "key": latens.evidence.batched.jax.random.key(0)}
    own = scores_of(trained, data, held_out, others=1, **options).surprise - code_lengths(
        x[held_out].reshape(-1, 8, 8), 17
    )
    np.testing.assert_allclose(found.p_value, conformal(own, found.score), atol=1.5 / (len(own) + 1))


@pytest.mark.parametrize("binarize", ["threshold", "stochastic"])
def test_black_and_white_is_coded_as_the_model_sees_it(binarize):
    data = latens.read("digits")
    settings = {"training.steps": 2, "network.hidden": [8], "data.binarize": binarize, "likelihood.family": "bernoulli"}
    trained = latens.workflow.train(latens.workflow.prepare(override(get_recipe("default").config, settings), data))[0]
    found = detect(trained, data, data.subset("test"), data, num_samples=2)
    shares = np.asarray(data.x).reshape(-1, 8, 8) / 16.0
    if binarize == "threshold":
        exact = code_lengths(shares > 0.5, 2)
        np.testing.assert_array_equal(found.code_length, exact)
    assert found.code_length.max() <= BYTE * deflated(np.random.default_rng(0).bytes(8)) + 1e-9
    again = detect(trained, data, data.subset("test"), data, num_samples=2)
    np.testing.assert_array_equal(found.code_length, again.code_length)


def test_simple_pictures_of_another_kind_are_found_by_the_excess_alone():
    """Of noise around a grey, pictures of that grey alone are the most probable there are."""
    rng = np.random.default_rng(0)
    noise = np.clip(np.round(rng.normal(8.0, 3.0, (1200, 8, 8))), 0, 16).astype(np.uint8)
    data = latens.read(noise[:1000])
    small = {"training.steps": 200, "network.hidden": [16], "posterior.latent_dim": 2}
    trained = latens.workflow.train(latens.workflow.prepare(override(get_recipe("default").config, small), data))[0]
    grey = np.repeat(np.arange(7, 10), 50)[:, None, None] * np.ones((1, 8, 8), np.uint8)
    rows = np.concatenate([noise[1000:], grey.astype(np.uint8)])
    found = detect(trained, data, data.subset("test"), latens.read(rows, schema=trained.schema), num_samples=20)
    other = np.arange(len(rows)) >= 200
    assert roc_auc_score(other, found.surprise) == 0.0
    assert roc_auc_score(other, found.score) == 1.0


def test_tables_and_pictures_with_gaps_have_no_code():
    table = latens.read(np.random.default_rng(0).normal(size=(60, 64)))
    assert not are_pictures(table)
    assert are_pictures(latens.read("digits"))
    x = np.random.default_rng(0).integers(0, 256, (60, 8, 8)).astype(np.float64)
    x[3, 2, 2] = np.nan
    assert not are_pictures(latens.read(x / 255.0, missing="nan"))


def test_the_command_says_by_what_pictures_are_compared(tmp_path, capsys):
    run, out = str(tmp_path / "run"), tmp_path / "found.csv"
    small = ["--steps", "20", "--set", "network.hidden=16", "--num-samples", "3", "--out", run, "--quiet"]
    assert main(["fit", "digits", *small]) == 0
    assert main(["detect", run, "digits", "--out", str(out), "--num-samples", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["score"] == "excess"
    with out.open() as file:
        rows = list(csv.DictReader(file))
    for row in rows[:20]:
        assert float(row["excess"]) == pytest.approx(float(row["surprise"]) - float(row["code_length"]), abs=1e-3)
    words = ["detect", run, "digits", "--out", str(tmp_path / "again.csv"), "--num-samples", "3"]
    assert main(words) == 0
    assert "pictures are compared by how much their surprise" in capsys.readouterr().err
