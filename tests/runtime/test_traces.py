"""A trace of a program is read again where all is the same, and never where anything differs."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latens import VAE
from latens.recipes import build
from latens.runtime import programs
from latens.runtime.programs import compiled
from latens.training import step


class Found(NamedTuple):
    """What `work` makes."""

    both: dict[str, Any]
    none: None


traced: list[str] = []


def work(x: Any, about: dict[str, Any], scale: float = 1.0) -> tuple[Any, Found]:
    """A function of arrays and a number, which counts how often it is traced."""
    traced.append("work")
    total = jnp.linalg.cholesky(x.T @ x + jnp.eye(x.shape[1])).sum() * scale
    return about, Found({"total": total, "rows": [x + about["shift"], x > 0]}, None)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where traces are kept, also those of functions of this module."""
    monkeypatch.setattr(programs, "traces_folder", lambda: tmp_path)
    monkeypatch.setattr(programs, "_KNOWN", programs._KNOWN | {__name__})
    monkeypatch.setattr(Found, "__module__", "latens.found")
    monkeypatch.setitem(sys.modules, "latens.found", sys.modules[__name__])
    traced.clear()
    return tmp_path


X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
ABOUT = {"key": jax.random.key(0), "shift": np.float32(2.0)}


def bits(value: Any) -> list[bytes]:
    return [np.asarray(jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf).tobytes()
            for leaf in jax.tree.leaves(value)]  # fmt: skip


def test_a_second_process_reads_what_the_first_traced(folder: Path) -> None:
    first = compiled(work)(X, ABOUT, 2.0)
    second = compiled(work)(X + 1.0, ABOUT, 2.0)  # a program of its own, as another process has
    assert (len(traced), len(list(folder.iterdir()))) == (1, 1)
    own = jax.jit(work, static_argnums=2)(X + 1.0, ABOUT, 2.0)
    assert jax.tree.structure(second) == jax.tree.structure(first) == jax.tree.structure(own)
    assert bits(second) == bits(own)


@pytest.mark.parametrize(
    "given",
    [
        (X, ABOUT, 3.0),
        (X, ABOUT, 2),
        (X[:4], ABOUT, 2.0),
        (X.astype(np.int32), ABOUT, 2.0),
        (X, {**ABOUT, "more": np.float32(1.0)}, 2.0),
        (X, {**ABOUT, "shift": jnp.asarray(2.0)}, 2.0),  # of a weak type
    ],
    ids=["number", "type", "shape", "dtype", "structure", "weak type"],
)
def test_what_differs_is_traced_anew(folder: Path, given: tuple) -> None:
    compiled(work)(X, ABOUT, 2.0)
    assert bits(compiled(work)(*given)) == bits(jax.jit(work, static_argnums=2)(*given))
    assert len(list(folder.iterdir())) == 2


def test_settings_and_source_are_in_the_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (program := compiled(work))(X, ABOUT, 2.0)
    with jax.enable_x64(True):
        program(X, ABOUT, 2.0)
    monkeypatch.setattr(programs, "_versions", lambda: ("another source",))
    compiled(work)(X, ABOUT, 2.0)
    assert len(traced) == len(list(folder.iterdir())) == 3


@pytest.mark.parametrize("damage", [lambda raw: raw[:-9], lambda raw: raw[:-9] + bytes(9), lambda raw: b""])
def test_a_damaged_trace_is_made_anew(folder: Path, damage: Any) -> None:
    first = compiled(work)(X, ABOUT, 2.0)
    (path,) = folder.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert bits(compiled(work)(X, ABOUT, 2.0)) == bits(first)
    assert len(traced) == 2
    assert bits(compiled(work)(X, ABOUT, 2.0)) == bits(first)
    assert len(traced) == 2


def calls_python(x: Any) -> Any:
    return jax.pure_callback(lambda x: x, jax.ShapeDtypeStruct(x.shape, x.dtype), x) + 1.0


def test_what_only_this_process_has_is_not_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert np.array_equal(compiled(calls_python)(X), X + 1.0)
    assert not list(folder.iterdir())
    monkeypatch.setattr(programs, "_KNOWN", frozenset({"latens"}))  # code of a person
    compiled(work)(X, ABOUT, 2.0)
    assert not list(folder.iterdir())


def test_a_folder_that_cannot_be_written_costs_a_trace(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "traces_folder", lambda: folder / "gone")
    assert bits(compiled(work)(X, ABOUT, 2.0)) == bits(jax.jit(work, static_argnums=2)(X, ABOUT, 2.0))


def test_a_model_of_traces_has_the_bits_of_one_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fitted(folder: Path | None) -> bytes:
        step.PROGRAMS.clear()
        build.BUILDERS.clear()
        monkeypatch.setattr(programs, "traces_folder", lambda: folder)
        return VAE(2, hidden=(8,), steps=7, settings={"num_samples": 3}, random_state=0).fit(X).model_.to_bytes()

    plain, wrote = fitted(None), fitted(tmp_path)
    kept = sorted(tmp_path.iterdir())
    # The optimiser's start and a chunk of steps; a model before may have shown that the objective has a gradient.
    assert len([path for path in kept if not path.suffix]) == 2
    assert plain == wrote == fitted(tmp_path)
    assert sorted(tmp_path.iterdir()) == kept


def test_another_process_finds_the_same_names(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; import numpy as np;"
        "from latens import VAE; from latens.runtime import programs;"
        "programs.traces_folder = lambda: Path(sys.argv[1]);"
        "VAE(2, hidden=(8,), steps=7, settings={'num_samples': 3}, random_state=0).fit(np.eye(40)[:, :3])"
    )
    seen = []
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], check=True, env={**os.environ, "PYTHONHASHSEED": seed}
        )
        seen.append({path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()})
    assert seen[0] == seen[1]
    assert seen[0]


def refuses(x: Any, most: int) -> None:
    """A function that refuses large arrays."""
    traced.append("refuses")
    if x.shape[0] > most:
        raise ValueError("too large")


def test_what_passed_a_check_is_not_traced_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = jax.ShapeDtypeStruct(X.shape, X.dtype)
    (first := compiled(refuses)).check(shape, 5)
    first.check(jnp.asarray(X), 5)
    compiled(refuses).check(shape, 5)  # as another process
    assert len(traced) == 1
    for _ in range(2):
        with pytest.raises(ValueError, match="too large"):
            first.check(shape, 4)
    first.check(jax.ShapeDtypeStruct((4, 3), X.dtype), 5)
    assert len(traced) == 4
    monkeypatch.setattr(programs, "_versions", lambda: ("another source",))
    first.check(shape, 5)
    assert len(traced) == 5
    monkeypatch.setattr(programs, "traces_folder", lambda: None)
    first.check(shape, 5)
    assert len(traced) == 5
    monkeypatch.setattr(programs, "_KNOWN", frozenset({"latens"}))  # code of a person may change
    first.check(shape, 5)
    first.check(shape, 5)
    assert len(traced) == 7
