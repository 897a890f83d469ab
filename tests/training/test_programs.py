"""How many programs a training compiles: each takes a tenth of a second to several."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from latens import VAE, VAEDetector
from latens.cli.main import main
from latens.distributions import log_prob
from latens.kinds.tables.columns import ColumnType
from latens.models.heads.table import TableHead, TableInput
from latens.runtime.programs import Reused

MOST = 9
"""Programs of a whole `latens fit`; two of them, which fill hidden cells and make rows, are not of an estimator."""


@contextlib.contextmanager
def counted() -> Iterator[list[str]]:
    """The programs that are compiled, in a process that knows none yet."""
    jax.clear_caches()
    for kept in Reused.all:
        kept.clear()
    found: list[str] = []

    def hear(event: str, seconds: float, **about: object) -> None:
        if event.endswith("/backend_compile_duration"):
            found.append(str(about.get("fun_name")))

    jax.monitoring.register_event_duration_secs_listener(hear)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(hear)


def table(rows: int) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    z = rng.normal(size=rows)
    names = {
        f"name {i}": [f"v{j}" for j in (np.outer(np.arange(3 + i), z) + rng.gumbel(size=(3 + i, rows))).argmax(0)]
        for i in range(3)
    }
    return pl.DataFrame({**names, "amount": np.round(np.exp(3 + z), 1), "rate": rng.poisson(3, rows)})


def test_a_fit_of_a_table_compiles_few_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table(400).write_csv("table.csv")
    with counted() as found:
        assert main(["fit", "table.csv", "--out", "run", "--steps", "60", "--quiet"]) == 0
    assert len(found) <= MOST, found


@pytest.mark.parametrize(
    "estimator", [VAE(steps=60), VAEDetector(settings={"training.steps": 60})], ids=lambda made: type(made).__name__
)
def test_a_fit_of_numbers_compiles_few_programs(estimator: VAE | VAEDetector) -> None:
    # The models of all folds of a detector share theirs; scores take two more.
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1000, 4)) @ rng.normal(size=(4, 20)) + 0.5 * rng.normal(size=(1000, 20))
    with counted() as found:
        estimator.fit(rows)
    assert len(found) <= MOST - 2 * isinstance(estimator, VAE), found


@pytest.mark.parametrize("columns", [100, 1000])
def test_a_wide_table_is_traced_nearly_as_a_narrow_one(columns: int) -> None:
    def equations(count: int) -> int:
        types = [
            ColumnType("category", tuple("abcde"[: 2 + i % 4]), shares=(1 / (2 + i % 4),) * (2 + i % 4))
            for i in range(count)
        ]
        head, entry = TableHead(types), TableInput(types)

        def both(outputs, x):
            return log_prob(head(outputs), x, None), entry(x)

        return len(jax.make_jaxpr(both)(jnp.zeros(head.num_outputs), jnp.zeros(count)).jaxpr.eqns)

    # Ten columns of 2 to 5 names are one block; many are three, of up to 2, 4 and 8 names.
    assert equations(columns) <= 3 * equations(10)
