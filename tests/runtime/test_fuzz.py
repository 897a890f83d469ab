"""Damaged files load to valid values or are refused with a remedy; and the judge of that catches what it must."""

import pickle
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzz
import numpy as np
import pytest
from mutations import FORMATS, GOLDEN, SUFFIX, mutate, seeds
from paths import CORPUS

from latens.data import load
from latens.errors import DataError
from latens.trained.trained_model import TrainedModel

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits of memory and time need a POSIX system")

WATCH = fuzz.Watch()

FOUND = {
    "label-no-character": ("npz", "holds a number that is not a character"),
    "text-no-character": ("npy", "holds a number that is not a character"),
    "recipe-of-other-kind": ("model", "does not take a configuration of this kind"),
    "config-of-other-kind": ("model", "does not take a configuration of this kind"),
    "shape-of-gigabytes": ("model", "expected (134217728, 8)"),
    "preparation-of-nobody": ("model", "preparation"),
    "choice-of-thousands": ("model", "does not fit"),
    "format-true": ("model", "format 'True'"),
}
"""Files in tests/corpus that were once read wrongly -> their format, and words of the refusal they now meet."""


def test_every_corpus_file_has_its_line() -> None:
    assert {path.stem for path in CORPUS.glob("*.bin")} == set(FOUND)


@pytest.mark.parametrize("name", FOUND)
def test_a_former_finding_is_refused(name: str, tmp_path: Path) -> None:
    kind, words = FOUND[name]
    path = tmp_path / f"file{SUFFIX[kind]}"
    path.write_bytes((CORPUS / f"{name}.bin").read_bytes())
    TrainedModel.load(GOLDEN / "format-2-table.safetensors")  # what is imported at the first file
    began = time.perf_counter()
    with pytest.raises(ValueError, match=r".") as caught:
        fuzz.read(kind, path)
    assert time.perf_counter() - began < 2  # one of them took nine seconds, and four gigabytes
    error: Any = caught.value
    assert words in error.message
    assert (error.exit_code, bool(error.fix), len(str(error)) < 1000) == (5 if kind == "model" else 3, True, True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
def test_sixty_damaged_files(kind: str) -> None:
    findings, loaded = fuzz.hunt(kind, 0, 60)
    assert findings == []
    assert 1 <= loaded <= 45  # a fuzzer of which all files load, or none, tries nothing


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("kind", FORMATS)
def test_two_thousand_damaged_files(kind: str) -> None:
    findings, loaded = fuzz.hunt(kind, 0, 2000)
    assert findings == []
    assert 100 <= loaded <= 1500


@pytest.mark.parametrize("kind", FORMATS)
def test_mutations_are_the_same_every_time_and_none_is_a_seed(kind: str) -> None:
    files = [mutate(kind, number) for number in range(40)]
    assert files == [mutate(kind, number) for number in range(40)]
    assert len({*files, *seeds(kind)}) >= 30 + len(seeds(kind))


# --- planted faults: what the judge must see ---


def _pickle(path: Path) -> Any:
    return pickle.loads(b"cos\nsystem\n(S'exit 0'\ntR.")


def _nan(path: Path) -> Any:
    value = load(np.array([[0.5, -1.25], [3.5, 2.0], [7.75, 1.5]]))
    value.x[1, 1] = np.nan
    return value


def _raises(error: Exception) -> Callable[[Path], Any]:
    def reader(path: Path) -> Any:
        raise error

    return reader


PLANTED = {
    "eval": (lambda path: eval("1 + 1"), "compile (b'1 + 1'"),
    "pickle": (_pickle, "pickle.find_class"),
    "a written file": (lambda path: path.with_name("new").write_text("x"), "for writing"),
    "a removed file": (lambda path: path.unlink(), "os.remove"),
    "an unforeseen error": (_raises(KeyError("x")), "KeyError"),
    "no remedy": (_raises(DataError("is bad")), "without a message or a remedy"),
    "a long message": (_raises(DataError("x" * 5000, fix="y")), "5002 characters"),
    "memory asked for": (_raises(DataError("does not fit into memory.", fix="y")), "asked for more"),
    "NaN let in": (_nan, "not finite"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_the_judge_sees_a_planted_fault(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, words = PLANTED[name]
    path = tmp_path / "file.csv"
    path.write_bytes(seeds("csv")[0])
    monkeypatch.setattr(fuzz, "read", lambda kind, path: load(np.ones((3, 2))))
    assert fuzz.fault("csv", path, WATCH) == ""
    monkeypatch.setattr(fuzz, "read", lambda kind, path: reader(path))
    assert words in fuzz.fault("csv", path, WATCH)


def test_the_judge_sees_non_finite_weights() -> None:
    import equinox as eqx

    trained = TrainedModel.load(GOLDEN / "format-2-classifier.safetensors")
    assert fuzz.invalid("model", trained) == ""
    broken = eqx.tree_at(lambda m: m.mean, trained.model, trained.model.mean * np.nan)
    assert fuzz.invalid("model", TrainedModel(broken, trained.schema, trained.preparation)) == "['mean'] are not finite"


LIMITS = {
    "a loop without end": ("while True: pass", "took more than 0.5 s"),
    "a loop that catches all": (
        "\n  while True:\n   try: 1 // 0\n   except BaseException: pass",
        "took more than 0.5 s",
    ),
    "memory": ("return np.ones(1 << 28)", "MemoryError"),
}


@pytest.mark.parametrize("name", LIMITS)
def test_the_limits_of_time_and_memory_hold(name: str) -> None:
    body, words = LIMITS[name]
    code = (
        "import sys, numpy as np, fuzz\nfrom pathlib import Path\nreal, calls = fuzz.read, []\n"
        f"def planted(kind, path):\n  calls.append(path)\n  if len(calls) < 16: return real(kind, path)\n  {body}\n"
        "fuzz.read, fuzz.SECONDS = planted, 0.5\n"
        "fuzz.child(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))"
    )
    assert 2 * len(seeds("csv")) == 14
    [finding] = fuzz.hunt("csv", 0, 2, ("-c", code))[0][:1]
    assert finding["number"] == 1
    assert words in finding["fault"].replace("more than 5.0 s", "more than 0.5 s")
