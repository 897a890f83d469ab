"""Products of matrices keep all bits on a GPU, where JAX would keep ten, and only there."""

import os
import sys

import pytest

from latens.runtime import compilation

NAME = "JAX_DEFAULT_MATMUL_PRECISION"


@pytest.fixture(autouse=True)
def without_jax(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not imported JAX, in which nothing was set."""
    monkeypatch.delitem(sys.modules, "jax")
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setenv(NAME, "")  # so that it is as it was at the end
    monkeypatch.delenv(NAME)
    return


@pytest.mark.parametrize(
    ("plugin", "variables", "set_to"),
    [(True, {"CUDA_VISIBLE_DEVICES": "0"}, "highest"), (True, {"CUDA_VISIBLE_DEVICES": ""}, None),
     (True, {"CUDA_VISIBLE_DEVICES": "0", "JAX_PLATFORMS": "cpu"}, None),
     (True, {"CUDA_VISIBLE_DEVICES": "0", NAME: "tensorfloat32"}, "tensorfloat32"),
     (False, {"CUDA_VISIBLE_DEVICES": "0"}, None)],
)  # fmt: skip
def test_it_is_set_where_a_gpu_computes(
    plugin: bool, variables: dict[str, str], set_to: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compilation.importlib.util, "find_spec", lambda name: object() if plugin else None)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    compilation.compute_in_full_precision()
    assert os.environ.get(NAME) == set_to


def test_a_process_that_has_jax_keeps_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jax", compilation)
    monkeypatch.setattr(compilation, "gpus", lambda: ["0"])
    compilation.compute_in_full_precision()
    assert NAME not in os.environ
