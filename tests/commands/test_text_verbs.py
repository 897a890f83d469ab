"""What is drawn of a model of text: samples, beginnings, the way from one row to another, and files of it."""

import json
import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from paths import ROOT

from latens import read
from latens.cli.main import main
from latens.commands.base import Call, Result, finished
from latens.commands.encode import Decode
from latens.commands.sample import Sample
from latens.config import override
from latens.data import load
from latens.errors import ConfigError, DataError, UsageError
from latens.fitting import prepare, train
from latens.recipes import get_recipe
from latens.recipes.plan import RATE

WORDS = ["ab", "abc", "ba", "bca", "c", "cab", "aabb", "bcb"] * 12
SMALL = {
    "likelihood.width": 12,
    "network.hidden": [8],
    "posterior.latent_dim": 4,
    "training.steps": 40,
    "training.patience": None,
    "objective.free_bits": 1.0,
}


@pytest.fixture(scope="module")
def data():
    return read(WORDS)


@pytest.fixture(scope="module")
def trained(data):
    return train(prepare(override(get_recipe("default").config, SMALL), data))[0]


def test_rows_of_text_choose_the_recipe_text_and_keep_what_was_set(trained):
    config = trained.config
    assert (config.recipe, config.likelihood.family, config.network.kind) == ("text", "tokens", "recurrent")
    assert config.objective.options == {"free_bits": 1.0, "free_bits_group": 4}
    assert config.training.steps == 40


@pytest.mark.parametrize("rate", [0.006, 0.007])
def test_what_was_set_stays_also_where_default_has_the_same(data, rate, tmp_path, monkeypatch, capsys):
    """The recipe `default` decides on 0.006 where nothing is set, `text` has another rate."""
    assert get_recipe("default").config.optimizer.learning_rate is None
    assert get_recipe("text").config.optimizer.learning_rate not in (None, RATE)
    assert RATE == 0.006
    kept = lambda experiment: (experiment.config.recipe, experiment.config.optimizer.learning_rate)  # noqa: E731
    settings = {"optimizer.learning_rate": rate}
    config = override(get_recipe("default").config, settings)
    assert kept(prepare(config, data, settings=settings)) == ("text", rate)
    (tmp_path / "names.txt").write_text("\n".join(data.schema.decode(data.x)))
    words = ["fit", str(tmp_path / "names.txt"), "--set", f"optimizer.learning_rate={rate}", "--dry-run", "--json"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)["config"]
    assert (found["recipe"], found["optimizer"]["learning_rate"]) == ("text", rate)


def test_the_number_of_characters_is_counted_with_the_end(trained, data):
    found = trained.evaluate(data, num_samples=10).value["metrics"]
    rows = trained.schema.decode(data.x[data.subset("test")])
    mean = np.mean([len(text) + 1 for text in rows])
    bits = -found["log_marginal"]["value"] / np.log(2) / mean
    assert found["bits_per_character"]["value"] == pytest.approx(bits, rel=1e-6)
    assert found["bits_per_token"]["value"] == pytest.approx(bits, rel=1e-6)
    assert found["perplexity"]["value"] == pytest.approx(2**bits, rel=1e-6)
    assert "gain_over_bigram" in found


def test_samples_are_lines_and_a_temperature_of_0_is_the_most_probable_text(trained):
    made = trained.sample(5, seed=3)
    assert made.shape == (5, *trained.schema.shape)
    cold = trained.sample(5, seed=3, temperature=0.0)
    z = np.asarray(jax.vmap(lambda k: trained.model.prior().sample(key=k))(jax.random.split(jax.random.key(0), 2)))
    texts = trained.schema.decode(trained.decode(z))
    greedy = [trained.model.likelihood(jnp.asarray(one)).sample_at(0.0, key=jax.random.key(9)) for one in z]
    assert texts == trained.schema.decode(np.stack(greedy))
    assert cold.shape == made.shape


def test_the_way_between_two_rows_begins_and_ends_with_their_own_texts(trained, tmp_path):
    work = Decode(run="", between=["abc", "ba"], steps=5)(Call(trained))
    assert next(work) == "decode 5 latents between 'abc' and 'ba'"
    made = finished(work)
    codes = trained.encode(trained.schema.encode(["abc", "ba"]))
    np.testing.assert_allclose(made.arrays["z"][[0, 2, 4]], [codes[0], codes.mean(0), codes[1]], atol=1e-6)
    assert made.value["text"] == trained.schema.decode(trained.decode(made.arrays["z"]))
    made.write(tmp_path / "way.txt")
    assert (tmp_path / "way.txt").read_text() == "".join(f"{text}\n" for text in made.value["text"])


def begun(trained, **options):
    work = Sample(run="", **options)(Call(trained))
    next(work)
    return finished(work)


def test_beginnings_are_kept_and_have_the_probability_that_samples_say(trained):
    made = begun(trained, n=200, complete="ab")
    assert all(text.startswith("ab") for text in made.value["text"])
    drawn = trained.schema.decode(trained.sample(4000))
    share = np.mean([text.startswith("ab") for text in drawn])
    assert made.value["probability"] == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 4000))
    rest = [np.mean([text == "abc" for text in texts]) for texts in (made.value["text"], drawn)]
    assert rest[0] == pytest.approx(rest[1] / share, abs=0.12)
    assert json.dumps(made.value)


def test_what_cannot_be_drawn_is_refused_in_words(trained):
    with pytest.raises(DataError, match=r"character 2 is 'x', which the vocabulary of 3 pieces lacks"):
        begun(trained, complete="ax")
    with pytest.raises(UsageError, match="--mean: a row is completed from its beginning only"):
        begun(trained, complete="a", mean=True)


def test_networks_without_a_fixed_length_are_needed(data):
    with pytest.raises(ConfigError, match=r"rows of tokens have no fixed length, which dense networks need"):
        prepare(override(get_recipe("text").config, {"network": "dense"}), data)


def test_the_latent_search_climbs_and_reports_the_property_of_its_texts(trained):
    search = runpy.run_path(str(ROOT / "examples" / "latent_search.py"))["search"]
    story = search(trained, "c", len, rounds=3, cloud=32)
    values = [value for value, _ in story]
    assert story[0] == (1, "c")
    assert values == sorted(values) == [len(text) for _, text in story]
    cloud = trained.encode(trained.schema.encode(["c"])) + 0.5 * np.random.default_rng(0).standard_normal((32, 4))
    assert values[1] == max(map(len, trained.schema.decode(trained.decode(cloud.astype(np.float32))))) > 1
    assert story == search(trained, "c", len, rounds=3, cloud=32)


@pytest.mark.parametrize("asked", [["sample", "-n", "3"], ["decode", "--between", "ab", "cab", "--steps", "3"]])
def test_texts_that_no_file_takes_are_the_output(tmp_path, capsys, trained, asked):
    """They went to the stream of messages, behind the name of a file that there was none of."""
    trained.save(tmp_path / "m.safetensors")
    assert main([asked[0], str(tmp_path / "m.safetensors"), *asked[1:]]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert len(lines) == 4
    assert all(set(line) <= set("abc") for line in lines)


TEXTS = ["emma", "=1+1", "a,b", 'say "so"', "nan", "zoë"]
DATA = load(TEXTS)


def made() -> Result:
    arrays = {"row_id": np.arange(6), "x": DATA.x.astype(np.float32), "z": np.eye(6)}
    return Result(arrays=arrays, schema=DATA.schema)


def test_a_text_file_has_a_row_a_line(tmp_path: Path) -> None:
    made().write(tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text() == "\n".join(TEXTS) + "\n"
    assert np.array_equal(load(tmp_path / "a.txt", schema=DATA.schema).x, DATA.x)


def test_a_table_has_a_column_of_text_beside_the_ids(tmp_path: Path) -> None:
    made().write(tmp_path / "a.csv")
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[:4] == ["row_id,text", "0,emma", "1,'=1+1", '2,"a,b"']
    kept = load(tmp_path / "a.csv", schema=DATA.schema, row_id="row_id", pieces="characters")
    assert DATA.schema.decode(kept.x) == TEXTS


def test_a_row_of_several_lines_stands_in_no_text_file(tmp_path: Path) -> None:
    data = load(["a\nb", "c"])
    kept = Result(arrays={"x": data.x}, schema=data.schema)
    with pytest.raises(DataError, match="row 0 holds the end of a line; 1 such rows in all"):
        kept.write(tmp_path / "a.txt")
    kept.write(tmp_path / "a.csv")
    assert data.schema.decode(load(tmp_path / "a.csv", schema=data.schema).x) == ["a\nb", "c"]


def test_arrays_hold_codes_and_text(tmp_path: Path) -> None:
    made().write(tmp_path / "a.npz")
    found = np.load(tmp_path / "a.npz")
    assert found["text"].tolist() == TEXTS
    assert set(found) == {"row_id", "x", "z", "text"}


def test_a_model_takes_strings_for_rows() -> None:
    from latens.data import Preparation
    from latens.trained.inputs import batch_of

    batch = batch_of(TEXTS[:2], None, None, DATA.schema, Preparation())
    assert np.array_equal(batch.x, DATA.x[:2])
