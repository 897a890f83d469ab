"""Programs are traced and compiled once for what has the same structure, and never shared where it has not."""

import logging
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from latens import VAE
from latens.data import Preparation
from latens.estimators.frames import as_dataset
from latens.fitting import prepare
from latens.objectives import ELBO
from latens.recipes import build as base
from latens.recipes import get_recipe
from latens.runtime.programs import digest, fingerprint
from latens.training import make_optimizer, step

ROWS = np.random.default_rng(0).normal(size=(90, 5))


def new(seed: int, **given: Any) -> VAE:
    return VAE(2, hidden=(8,), steps=7, settings={"num_samples": 3, **given}, random_state=seed)


def forget() -> None:
    step.PROGRAMS.clear()
    base.BUILDERS.clear()


@pytest.fixture(autouse=True)
def _forgotten() -> None:
    forget()


def compiled(caplog: pytest.LogCaptureFixture, work: Callable[[], Any]) -> list[str]:
    """The names of the functions that `work` compiles."""
    caplog.clear()
    jax.config.update("jax_log_compiles", True)  # in all threads
    try:
        with caplog.at_level(logging.WARNING, "jax"):
            work()
    finally:
        jax.config.update("jax_log_compiles", False)
    return [
        found[1] for record in caplog.records if (found := re.match(r"Compiling jit\((\S+)\)", record.getMessage()))
    ]


def test_a_second_fit_of_the_same_shape_compiles_nothing(caplog: pytest.LogCaptureFixture) -> None:
    first = compiled(caplog, lambda: new(0).fit(ROWS))
    assert {"chunk", "evaluate", "averaged"} <= set(first)
    assert compiled(caplog, lambda: new(1).fit(3.0 * ROWS[::-1] - 7.0)) == []  # another seed, other data
    assert "chunk" in compiled(caplog, lambda: new(0, **{"objective.beta": 2.0}).fit(ROWS))


def test_programs_of_many_widths_do_not_stay() -> None:
    for width in range(3, 9):
        VAE(2, hidden=(width,), steps=2, settings={"num_samples": 3}, random_state=0).fit(ROWS)
    kept = list(step.PROGRAMS._kept.values())
    assert [len(functions[1]._programs) for _, functions in kept] == [1] * 4


def test_a_shared_program_gives_the_bits_of_a_fresh_one() -> None:
    def bits(seed: int) -> bytes:
        return new(seed).fit(ROWS * (1 + seed)).model_.to_bytes()

    alone = []
    for seed in range(2):
        forget()
        alone.append(bits(seed))
    assert [bits(seed) for seed in range(2)] == alone
    assert alone[0] != alone[1]


def test_a_schedule_that_is_made_anew_for_a_second_fit_gives_the_bits_of_the_first() -> None:
    def bits() -> bytes:
        return new(0, **{"objective.beta_warmup_epochs": 2.0}).fit(ROWS).model_.to_bytes()

    assert bits() == bits()


def test_fits_at_once_share_their_programs(caplog: pytest.LogCaptureFixture) -> None:
    with ThreadPoolExecutor(6) as pool:
        names = compiled(caplog, lambda: list(pool.map(lambda seed: new(seed).fit(ROWS), range(6))))
    assert [names.count(name) for name in ("chunk", "evaluate", "averaged")] == [1, 1, 1]


@pytest.mark.parametrize("name", ["default", "mvae"])
def test_a_shared_builder_gives_the_model_of_the_recipe(name: str) -> None:
    recipe = get_recipe(name)
    for scale in (1.0, 3.7):
        rows = as_dataset(ROWS[:, :4] * scale + scale, None, names=["a.x", "a.y", "b.x", "b.y"])
        made, key = prepare(recipe.config, rows), jax.random.key(5)
        schema = made.data.schema
        shared = base.build_new(recipe, schema, made.config, key=key)
        own = eqx.filter_jit(lambda key: recipe.build(schema, made.config, key=key))(key)  # noqa: B023 - called here
        assert jax.tree.structure(shared) == jax.tree.structure(own)
        for one, other in zip(*(jax.tree.leaves(eqx.filter(tree, eqx.is_array)) for tree in (shared, own))):
            assert one.dtype == other.dtype
            assert np.array_equal(one, other)  # no NaN either


# --- what counts as the same ---


def test_equal_parts_have_equal_fingerprints() -> None:
    def parts(rate: float, steps: int) -> Any:
        optimizer = make_optimizer("adamw", learning_rate=rate, schedule="cosine", total_steps=steps, clip_norm=1.0)
        return fingerprint((optimizer, Preparation(log1p=True), ELBO(beta=1.0)))

    assert parts(1e-3, 100) is not None
    assert parts(1e-3, 100) == parts(1e-3, 100)
    assert len({parts(1e-3, 100), parts(1e-3, 101), parts(2e-3, 100)}) == 3


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, True),
        (0.0, -0.0),
        ((1,), [1]),
        (np.float32(1), np.float64(1)),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ],
)
def test_what_python_calls_equal_may_differ(one: Any, other: Any) -> None:
    assert None is not fingerprint(one) != fingerprint(other) is not None


def test_code_of_others_is_never_taken_for_the_same() -> None:
    class Own(ELBO):
        pass

    def schedule(step: Any) -> Any:
        return 0.1 * step

    assert fingerprint(schedule) is None
    assert fingerprint(Own()) is None
    assert fingerprint(ELBO(beta=schedule)) is None
    assert fingerprint(optax.sgd(schedule)) is None
    assert fingerprint(jnp.zeros(())) is None  # arrays are arguments
    assert (digest(type("ELBO", (), {"__module__": ELBO.__module__})), digest(ELBO) is None) == (None, False)
    cycle: list[Any] = []
    cycle.append(cycle)
    assert fingerprint(cycle) is None
    assert fingerprint(float("nan")) == fingerprint(float("nan"))


def test_after_one_request_of_a_padded_size_requests_compile_nothing(caplog: pytest.LogCaptureFixture) -> None:
    vae = new(0).fit(ROWS)

    def request(n: int) -> None:
        vae.inverse_transform(vae.transform(ROWS[:n]))
        vae.score_samples(ROWS[:n])
        vae.sample(n)

    assert compiled(caplog, lambda: [request(n) for n in (16, 40)]) != []
    for n in (1, 16, 17, 40, 90):
        assert set(compiled(caplog, lambda n=n: request(n))) <= {"stage"}  # how JAX copies rows to the device
