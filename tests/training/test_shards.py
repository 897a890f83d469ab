"""A batch in shards: the gradient of the whole batch, and the same bits wherever each shard is computed."""

import json
import os
import subprocess
import sys
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from paths import ROOT, SOURCE
from training_fixtures import leaves, make_data, make_model, run, stage

from latens.config import override
from latens.data import Preparation
from latens.errors import ConfigError
from latens.fitting import Recorder, prepare, train
from latens.objectives import ELBO, AbstractObjective, by_row, draw
from latens.recipes import get_recipe
from latens.training import Budget
from latens.training.loop import pad_rows
from latens.training.shards import check_shards, summed
from latens.training.step import make_program


def hashes(*recipes: str, devices: int = 4) -> dict[str, set[str]]:
    """The hashes of small trainings on 1, 2 and 4 devices, each with all of XLA's optimisations, as users have them."""
    kept = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    kept |= {"JAX_DISABLE_MOST_OPTIMIZATIONS": "0", "PYTHONPATH": str(SOURCE.parent), "JAX_PLATFORMS": "cpu"}
    kept |= {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    words = [sys.executable, str(ROOT / "tests" / "support" / "shard_hashes.py"), *recipes]
    done = subprocess.run(words, env=kept, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(list(line["hashes"]) == ["1", "2", "4"] for line in lines)
    return {line["recipe"]: set(line["hashes"].values()) for line in lines}


@pytest.mark.parametrize(
    "recipe", ["dense", "fast-forward", "convolutional", "flow", "hierarchical", "linear-path", "mixed-table"]
)
def test_one_two_and_four_devices_have_the_same_bits(recipe: str) -> None:
    found = hashes(recipe)
    assert list(found) == [recipe]
    assert len(found[recipe]) == 1


def test_the_order_of_a_sum_is_that_of_a_tree() -> None:
    """In single precision 1e8 + 1 is 1e8: from left to right the sum would be 1, and in the order of a tree it is 0."""

    def added(*values: float) -> float:
        rows = jnp.array(values, jnp.float32)
        return float(summed(lambda part: part[0], rows, len(values), 1, jnp.ones((), jnp.int32)))

    assert added(1e8, 1.0, -1e8, 1.0) == 0.0
    # Of four devices with two shards each, every one has the sum of all eight.
    rows = jnp.arange(8.0).reshape(4, 2)
    one = lambda own: summed(lambda part: part[0], own, 2, 4, jnp.ones((), jnp.int32))  # noqa: E731
    assert jax.vmap(one, axis_name="shards")(rows).tolist() == [28.0] * 4
    assert added(1e8, -1e8, 1.0, 1.0) == 2.0
    assert added(1e8, 1.0, -1e8, 1.0, 1e8, -1e8, 1.0, 1.0) == 2.0
    assert added(3.0) == 3.0


def one_step(shards: int, *, rows: int = 32, weight: np.ndarray | None = None) -> list[np.ndarray]:
    """The weights after one step of plain gradient descent with the rate 1: what is taken off is the gradient."""
    one, data = stage(Budget(steps=1), name="sgd", learning_rate=1.0), make_data()
    program = make_program(make_model(), one.objective, one.optimizer, Preparation(), shards=shards)
    start = program.init(jax.random.key(0))
    batch = pad_rows(data, np.arange(rows), 1, 32)
    new, result = program.chunk(start, batch, jnp.asarray(1), jnp.asarray(np.inf))
    sums = [np.asarray(number) for pair in result.metrics.values() for number in pair]
    return [a - b for a, b in zip(leaves(start.trainable), leaves(new.trainable))] + [*sums, np.asarray(result.loss)]


@pytest.mark.parametrize("rows", [32, 13])
def test_shards_have_the_gradient_of_the_whole_batch(rows: int) -> None:
    """Also where 3 or 13 rows of a batch of 32 are no padding, so that whole shards are."""
    whole = one_step(1, rows=rows)
    assert max(np.abs(leaf).max() for leaf in whole[:-7]) > 0.01
    for a, b in zip(one_step(4, rows=rows), whole, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-7)


def test_a_training_in_shards_is_that_of_whole_batches_to_rounding() -> None:
    """Three epochs of 90 rows in batches of 32, the last of each with 26 rows."""
    whole, cut = run(batch_size=32), run(batch_size=32, shards=4)
    for a, b in zip(leaves(whole.model), leaves(cut.model), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    assert [record.keys() for record in whole.history] == [record.keys() for record in cut.history]


def test_one_shard_is_one_loop_over_steps() -> None:
    """No loop over shards, and none around a shard or the update: the program of a batch as a whole."""
    one, batch = stage(Budget(steps=1)), pad_rows(make_data(), np.arange(32), 1, 32)

    def loops(shards: int) -> int:
        program = make_program(make_model(), one.objective, one.optimizer, Preparation(), shards=shards)
        lowered = program.chunk.lower(program.init(jax.random.key(0)), batch, jnp.asarray(1), jnp.asarray(np.inf))
        return lowered.as_text().count("stablehlo.while")

    # One around a shard, one around the update, and one for each level of the tree.
    assert [loops(shards) - loops(1) for shards in (2, 4, 8)] == [3, 4, 5]


class Moves(ELBO):
    """The ELBO with something that is moved after a step."""

    def after_update(self, model: Any, aux: Any, *, key: Any, step: Any) -> Any:
        return model, self


class Spread(AbstractObjective):
    """A number of a whole batch, of a class that does not say so."""

    monitor: ClassVar[str] = "elbo"

    def __call__(self, model: Any, batch: Any, *, key: Any, step: Any) -> Any:
        elbo = draw(model, batch, num_samples=1, key=key).log_weight[0]
        return jnp.std(elbo) - jnp.mean(elbo), {"elbo": elbo}


class Mean(Spread):
    couples_rows = by_row


class ByRow(AbstractObjective):
    monitor: ClassVar[str] = "elbo"

    def __call__(self, model: Any, batch: Any, *, key: Any, step: Any) -> Any:
        elbo = draw(model, batch, num_samples=1, key=key).log_weight[0]
        return -elbo, {"elbo": elbo}


class OfELBO(ELBO):
    """What ELBO says of rows does not hold for a number of its own."""

    def __call__(self, model: Any, batch: Any, *, key: Any, step: Any) -> Any:
        loss, metrics = super().__call__(model, batch, key=key, step=step)
        return loss**2, metrics


@pytest.mark.parametrize("objective", [Spread(), OfELBO()])
def test_a_number_of_a_whole_batch_has_to_say_so_before_it_is_cut(objective: AbstractObjective) -> None:
    """Each shard would have a standard deviation of its own, and nothing would tell."""
    few = {"stages": [stage(Budget(steps=1), objective)], "batch_size": 32}
    run(**few)
    with pytest.raises(ConfigError) as refused:
        run(**few, shards=2)
    name = type(objective).__name__
    assert refused.value.message == (
        f"{name} gives one number for a whole batch, and does not say whether it is a mean over rows."
    )
    assert refused.value.where == "training.shards"
    assert "`couples_rows`" in refused.value.fix


@pytest.mark.parametrize("objective", [Mean(), ByRow()])
def test_what_says_so_and_values_of_rows_are_cut(objective: AbstractObjective) -> None:
    run(stages=[stage(Budget(steps=1), objective)], batch_size=32, shards=2)


REFUSED: dict[str, tuple[tuple[int, int, AbstractObjective], str, str]] = {
    "no power of two": ((3, 96, ELBO()), "a power of two, not 3", "Use 2 or 4."),
    "does not divide": ((8, 100, ELBO()), "8 shards do not divide a batch of 100 rows", "batch_size=96"),
    "too small": ((16, 64, ELBO()), "16 shards of a batch of 64 rows have 4 each", "batch_size=128 or more"),
    "capacity": ((4, 128, ELBO(capacity=3.0)), "objective.capacity bounds the mean KL", "shards=1"),
    "moves": ((4, 128, Moves()), "Moves cannot be trained in shards: what it moves after a step", "shards=1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_cut_is_refused_with_its_remedy(name: str) -> None:
    given, what, remedy = REFUSED[name]
    with pytest.raises(ConfigError) as refused:
        check_shards(*given)
    assert what in refused.value.message
    assert remedy in refused.value.fix
    assert refused.value.where == "training.shards"


def test_devices_that_do_not_divide_the_shards_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "devices", lambda: jax.local_devices()[:1] * 3)
    with pytest.raises(ConfigError, match=r"3 devices do not divide 4 shards\. Use 2 devices or processes"):
        check_shards(4, 128, ELBO())
    check_shards(1, 127, ELBO(capacity=0.1))  # one shard is a batch as ever, on one of the devices


def test_a_configuration_is_refused_before_it_trains() -> None:
    config = override(get_recipe("default").config, {"objective": "wae", "training.shards": 4, "training.steps": 1})
    with pytest.raises(ConfigError, match="WAE cannot be trained in shards: its distance is that of a whole batch"):
        prepare(config, make_data(600))


def test_a_checkpoint_of_other_shards_is_refused(tmp_path: Any) -> None:
    from latens.runs.folder import RunFolder

    small = {"network.hidden": 4, "posterior.latent_dim": 2, "training.steps": 2, "training.batch_size": 32}
    config = override(get_recipe("default").config, small)
    with RunFolder.create(tmp_path / "run", "fit", {}, {}, 0) as folder:
        train(prepare(config, make_data()), run=folder)
        with pytest.raises(ConfigError, match=r"of a training in 1 shards, and the configuration says 2\."):
            Recorder(folder, 2).restore()
