"""Numbers of models of text: exact reconstructions."""

import dataclasses
import hashlib
import json
import struct
from pathlib import Path

import jax.numpy as jnp
import msgspec
import numpy as np
import pytest
from paths import GOLDEN

from golden.make import LINES
from latens import read
from latens.data import Dataset
from latens.errors import ModelFileError
from latens.explorer.page_columns import event_of, ids_of
from latens.model_figures import table_pictures as texts
from latens.model_figures.draw import draw_pictures
from latens.model_figures.source import Source
from latens.runtime.atomic import to_json
from latens.trained.metric_functions import measure_all
from latens.trained.trained_model import TrainedModel

PIECES = "50 48 | 50 | 52 49\n50 | 52 48\n52 49 | 50 | 50 48\n"


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    return TrainedModel.load(GOLDEN / "format-2-tokens.safetensors")


@pytest.fixture(scope="module")
def data(trained: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = tmp_path_factory.mktemp("text") / "tokens.txt"
    path.write_text(15 * LINES)
    return read(path, schema=trained.schema)


@pytest.fixture
def music(trained: TrainedModel, tmp_path: Path) -> tuple[TrainedModel, Dataset]:
    """The same network over another vocabulary of as many tokens: of pitches and bars."""
    # The first token of the network opens and closes by turns; no row has its pitch.
    words = ("47", "|", *(str(pitch) for pitch in range(48, 48 + len(trained.schema.tokens.values) - 2)))
    path = tmp_path / "pieces.txt"
    path.write_text(PIECES * 10)
    tokens = {"pieces": "words", "values": words}
    given = {"shape": list(trained.schema.shape), "kind": "tokens", "tokens": tokens}
    schema = type(trained.schema).from_json(given)
    return dataclasses.replace(trained, schema=schema), read(path, schema=schema)


def test_reconstructions_that_are_exact_are_counted(trained: TrainedModel, data: Dataset) -> None:
    only = {"exact_reconstructions"}
    found = measure_all(trained, data, data.subset("test"), num_samples=2, only=only)
    rows = data.rows(data.subset("test"))
    back = data.schema.decode(trained.reconstruct(np.asarray(rows.x)))
    share = np.mean([one == text for one, text in zip(back, data.schema.decode(np.asarray(rows.x)))])
    assert found.metrics["exact_reconstructions"].value == pytest.approx(share)
    assert {"kl", "exact_reconstructions", "copied_samples"} <= found.metrics.keys()


def test_a_file_says_whether_rows_are_never_empty(trained: TrainedModel, data: Dataset, tmp_path: Path) -> None:
    tokens = msgspec.structs.replace(trained.schema.tokens, never_empty=False)
    schema = msgspec.structs.replace(trained.schema, tokens=tokens)
    dataclasses.replace(trained, schema=schema).save(tmp_path / "model.safetensors")
    loaded, z = TrainedModel.load(tmp_path / "model.safetensors"), jnp.asarray(trained.encode(data.x[:1])[0])
    old, new = loaded.model.likelihood(z), trained.model.likelihood(z)
    row, empty = jnp.asarray(data.x[0]), jnp.zeros_like(data.x[0])
    share = float(jnp.exp(old.log_prob(empty)))
    assert 0.0 < share < 1.0
    assert new.log_prob(empty) == -np.inf
    assert new.log_prob(row) - old.log_prob(row) == pytest.approx(-np.log1p(-share), abs=2e-6)


def test_pictures_of_text_are_drawn_of_text_alone(music: tuple[TrainedModel, Dataset], data: Dataset) -> None:
    names = [name for name, _, _ in draw_pictures(*music, only=["texts", "marginals", "manifold"])]
    assert names == ["texts"]
    trained, rows = music
    _, table = texts.draw_ways(Source(trained, rows))
    ends = table["text"][table["place"] == 0].tolist()
    assert len(table["text"]) == texts.STEPS * len(ends)
    assert set(ends) <= set(rows.schema.decode(trained.reconstruct(rows.x)))


def test_the_page_is_given_texts_and_their_vocabulary(trained: TrainedModel, data: Dataset) -> None:
    event = event_of(trained, data)
    assert (event["kind"], event["pieces"]) == ("text", "atoms")
    assert event["values"] == list(data.schema.tokens.values)
    files: dict[str, bytes] = {}
    assert ids_of(data, np.array([0, 1, 8]), files)["kind"] == "text"
    assert json.loads(files["data/ids.json"]) == ["CCO", "CCN", "CCO (row 8)"]


def edited(change: dict) -> bytes:
    """The golden file with other tokens in its schema, and its hashes made anew."""
    raw = (GOLDEN / "format-2-tokens.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    metadata = json.loads(header["__metadata__"]["latens"])
    metadata["schema"]["tokens"] |= change
    kept = {key: value for key, value in metadata.items() if key not in ("sha256", "metadata_sha256")}
    metadata["metadata_sha256"] = hashlib.sha256(to_json(kept)).hexdigest()
    header["__metadata__"]["latens"] = to_json(metadata).decode()
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    return struct.pack("<Q", len(text)) + text + raw[8 + length :]


@pytest.mark.parametrize("values", [["C", "O"], [*"abcdefghijklmnopq"]])
def test_a_vocabulary_that_does_not_fit_the_network_is_refused(values: list[str]) -> None:
    raw = edited({"values": values})
    with pytest.raises(ModelFileError, match=r"shape|does not fit|another"):
        TrainedModel.from_bytes(raw)


def test_a_vocabulary_of_as_many_pieces_is_data() -> None:
    raw = edited({})
    same = TrainedModel.from_bytes(raw)
    codes = "__import__('os').system('true')"
    first, _, *others = same.schema.tokens.values  # the first is a ring number, which the network counts
    raw = edited({"values": [first, codes, *others]})
    assert codes in TrainedModel.from_bytes(raw).schema.decode(np.array([[2, 0]]))
