"""Groups of the optimiser, and what an objective moves without a gradient: after an update, in the compiled step."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import training_fixtures
from checks import close
from tables_objectives import critic
from training_fixtures import assert_same_bits, leaves, make_data, make_model

from latens.config import override
from latens.data import Preparation
from latens.data.dataset import Batch
from latens.errors import ConfigError
from latens.objectives import AAE, ELBO, AbstractObjective, FactorVAE, weighted
from latens.objectives.base import mean
from latens.recipes import RECIPES
from latens.recipes.plan import optimizer_of
from latens.trainable import Frozen, partition_trainable
from latens.training import Budget, Interrupted, Pause, Stage, by_group, from_optax, make_optimizer, resting
from latens.training.loop import pad_rows
from latens.training.step import make_program
from latens.typing import Array, Float, Key

KEY, DECAY = jax.random.key(5), 0.9


def run(*data, **given):
    """Without validation: its program is no part of what is tested here."""
    return training_fixtures.run(*data, **given, validate=False)


# --- what moves without a gradient ---


class Following(AbstractObjective):
    """The ELBO, with a moving average of the mean of x beside it (and of x + trained, if it meddles)."""

    monitor = "elbo"
    average: Frozen
    spoilt_at: int = eqx.field(static=True, default=-1)
    meddles: bool = eqx.field(static=True, default=False)

    def __call__(self, model: Any, batch: Batch, *, key: Key, step: Array) -> tuple[Array, dict]:
        return ELBO()(model, batch, key=key, step=step)

    def with_aux(self, model: Any, batch: Batch, *, key: Key, step: Array) -> tuple[Array, dict, Array]:
        loss, metrics = self(model, batch, key=key, step=step)
        return loss, metrics, mean(weighted(jnp.mean(batch.x.reshape(len(batch.row_id), -1), axis=1), batch))

    def after_update(self, model: Any, aux: Any, *, key: Key, step: Array) -> tuple[Any, "Following"]:
        aux = jnp.where(step == self.spoilt_at, jnp.nan, aux)
        average = DECAY * self.average.value + (1.0 - DECAY) * aux
        if self.meddles:
            model = eqx.tree_at(lambda m: m.decoder.network.layers[-1].bias, model, jnp.zeros(6))
        return model, eqx.tree_at(lambda o: o.average.value, self, average)


def following(**options: Any) -> Following:
    return Following(Frozen(jnp.zeros(())), **options)


def stages(objective: AbstractObjective, schedule: str = "constant") -> list[Stage]:
    name, rest = ("adamw", {"b1": 0.0, "weight_decay": 0.05}) if schedule == "schedule-free" else ("adam", {})
    made = make_optimizer(name, learning_rate=1e-2, schedule=schedule, **rest)
    return [Stage(objective, made, Budget(epochs=3))]


def expected_average(data, epochs=3, skip=()):
    value, step = 0.0, 0
    for epoch in range(epochs):
        order = data.order(3, epoch)
        for start in range(0, len(order), 16):
            if step not in skip:
                value = DECAY * value + (1 - DECAY) * data.x[order[start : start + 16]].mean()
            step += 1
    return value


def test_what_is_moved_is_the_average_by_hand_and_no_optimiser_averages_it():
    """18 steps over 90 rows, the last batch of an epoch padded: its weights count."""
    data = make_data()
    done = run(data, stages=stages(following(), "schedule-free"))
    close(done.objective.average.value, expected_average(data))
    # The model is trained as if nothing had moved beside it.
    plain = run(data, stages=stages(ELBO(), "schedule-free"))
    for a, b in zip(leaves(done.model), leaves(plain.model), strict=True):
        close(a, b, rtol=1e-5)


def test_what_is_moved_is_resumed_bit_for_bit():
    whole = run(stages=stages(following()))
    stop = lambda event: Pause("asked") if event.kind == "boundary" and event.snapshot.loop.total >= 8 else None  # noqa: E731
    with pytest.raises(Interrupted) as stopped:
        run(stages=stages(following()), callbacks=[stop])
    again = run(stages=stages(following()), resume=(0, lambda state, best: stopped.value.snapshot))
    assert_same_bits(whole.snapshot.state, again.snapshot.state)
    assert_same_bits(whole.objective, again.objective)


def test_a_bad_step_moves_nothing():
    """NaN in what moves alone: the chunk is replayed and that step left out, of the average too."""
    data = make_data()
    done = run(data, stages=stages(following(spoilt_at=9)))
    assert done.snapshot.loop.skipped == 1
    close(done.objective.average.value, expected_average(data, skip=(9,)))


def test_what_the_optimiser_trains_is_not_moved():
    with pytest.raises(TypeError, match="changed a trained array"):
        run(stages=stages(following(meddles=True)))


# --- groups ---


def program_of(objective, optimizer, model=None):
    data = make_data()
    program = make_program(model or make_model(), objective, optimizer, Preparation())
    rows = pad_rows(data, np.arange(96) % 90, 6, 16)
    return program, rows


def steps(objective, optimizer, count, model=None):
    program, rows = program_of(objective, optimizer, model)
    start = program.init(KEY)
    state, _ = program.chunk(start, rows, jnp.asarray(count), jnp.asarray(1e9, jnp.float32))
    return program, start, state, rows


def sgd(rate: float, **options: Any):
    return make_optimizer("sgd", learning_rate=rate, **options)


class Held(eqx.Module):
    """A critic that is no part of what is trained."""

    inner: Frozen

    def __call__(self, v: Float[Array, " n"]) -> Array:
        return self.inner.value(v)


def test_a_critic_at_rate_0_does_not_move_by_a_bit_and_the_model_as_before():
    main = make_optimizer("adam", learning_rate=1e-2)
    _, start, state, _ = steps(AAE(critic()), by_group({"model": main, "objective": resting()}), 6)
    assert leaves(state.trainable[1])[0].tobytes() == leaves(start.trainable[1])[0].tobytes()
    _, _, frozen, _ = steps(AAE(Held(Frozen(critic()))), main, 6)
    for a, b, c in zip(
        *(leaves(tree[0]) for tree in (state.trainable, frozen.trainable, start.trainable)), strict=True
    ):
        close(a, b, rtol=1e-5)
        assert np.abs(a - c).max() > 1e-3


def test_each_group_goes_down_the_gradient_of_its_own_loss():
    """One step of SGD at 0.1 and 0.5: the critic's is that of its cross-entropy alone."""
    objective, model = FactorVAE(critic()), make_model()
    groups = by_group({"model": sgd(0.1), "objective": sgd(0.5)})
    _, start, state, rows = steps(objective, groups, 1, model)
    _, draw_key = jax.random.split(jax.random.fold_in(KEY, 0))
    batch = jax.tree.map(lambda leaf: leaf[0], rows)
    batch = eqx.tree_at(lambda b: b.x, batch, jnp.asarray(batch.x, jnp.float32))

    trainable, rest = partition_trainable((model, objective))

    def losses(trainable: Any) -> tuple[Array, Array]:
        model, objective = eqx.combine(trainable, rest)
        loss, metrics = objective(model, batch, key=draw_key, step=jnp.array(0))
        return loss, mean(metrics["critic_loss"])

    whole, own = jax.jit(jax.jacrev(losses))(trainable)
    moves = jax.tree.map(lambda a, b: a - b, state.trainable, start.trainable)
    close(moves[1].critic.weight, -0.5 * own[1].critic.weight, rtol=1e-4)
    for move, gradient in zip(leaves(moves[0]), leaves(whole[0]), strict=True):
        close(move, -0.1 * gradient, rtol=1e-4)


def test_an_average_is_of_the_model_alone():
    main = make_optimizer("adamw", learning_rate=1e-2, schedule="schedule-free", b1=0.0, weight_decay=0.1)
    beside = make_optimizer("adam", learning_rate=1e-3, b1=0.5)
    groups = by_group({"model": main, "objective": beside})
    program, _, state, _ = steps(FactorVAE(critic()), groups, 6)
    averaged = program.averaged(state)
    assert_same_bits(averaged[1], state.trainable[1])
    alone = (state.trainable[0], jax.tree.map(lambda _: None, state.trainable[1]))
    expected = main.evaluate(state.opt_state["model"], alone)
    for a, b in zip(leaves(averaged[0]), leaves(expected), strict=True):
        close(a, b)
    assert np.abs(leaves(averaged[0])[0] - leaves(state.trainable[0])[0]).max() > 1e-5


def test_half_the_learning_rate_reaches_every_group():
    params = (jnp.array([1.0]), jnp.array([1.0]))
    averaged = make_optimizer("sgd", learning_rate=1.0, schedule="schedule-free")
    groups = by_group({"model": averaged, "objective": sgd(0.1)})
    updates, state = groups.update(params, groups.init(params), params, 0.5)
    close(state["model"].z[0], [0.5])
    close(updates[1], [-0.05])


def test_a_group_is_clipped_by_its_own_norm_and_decayed_by_its_own_rate():
    params = ({"weight": jnp.array([3.0])}, {"weight": jnp.array([2.0])})
    gradients = ({"weight": jnp.array([0.5])}, {"weight": jnp.array([1000.0])})
    groups = by_group({"model": sgd(1.0, clip_norm=1.0), "objective": sgd(0.1, clip_norm=2.0)})
    updates, _ = groups.update(gradients, groups.init(params), params)
    close(updates[0]["weight"], [-0.5])
    close(updates[1]["weight"], [-0.2])
    decay = optax.add_decayed_weights(0.25)
    groups = by_group({"model": from_optax(decay), "objective": sgd(0.1)})
    updates, _ = groups.update(gradients, groups.init(params), params)
    close(updates[0]["weight"], [0.5 + 0.25 * 3.0])
    close(updates[1]["weight"], [-100.0])


def test_groups_resume_bit_for_bit():
    main = make_optimizer("adamw", learning_rate=1e-2, schedule="schedule-free", b1=0.0, weight_decay=0.1)
    made = by_group({"model": main, "objective": make_optimizer("adam", learning_rate=1e-3, b1=0.5)})
    parts = [Stage(FactorVAE(critic()), made, Budget(epochs=2))]
    whole = run(stages=parts)
    stop = lambda event: Pause("asked") if event.kind == "boundary" and event.snapshot.loop.total >= 4 else None  # noqa: E731
    with pytest.raises(Interrupted) as stopped:
        run(stages=parts, callbacks=[stop])
    again = run(stages=parts, resume=(0, lambda state, best: stopped.value.snapshot))
    assert_same_bits(whole.snapshot.state, again.snapshot.state)
    assert_same_bits(whole.model, again.model)


# --- from a configuration ---


def test_a_configuration_names_the_critics_rate():
    config = override(
        RECIPES["factor-vae"].config, {"optimizer.critic.learning_rate": 0.25, "optimizer.critic.name": "sgd"}
    )
    optimizer = optimizer_of(config.optimizer, FactorVAE(critic()), 100)
    params = partition_trainable((make_model(), FactorVAE(critic())))[0]
    ones = jax.tree.map(jnp.ones_like, params)
    state = optimizer.init(params)
    warmup = config.optimizer.warmup_steps or 1
    updates, _ = optimizer.update(ones, state, params)
    close(updates[1].critic.weight, -0.25 / warmup * np.ones(4))
    # Without anything beside the model there are no groups, and nothing of them in a checkpoint.
    alone = optimizer_of(config.optimizer, ELBO(), 100)
    assert not isinstance(alone.init(params[0]), dict)
    still = override(config, {"optimizer.critic.learning_rate": 0.0}).optimizer
    updates, _ = (o := optimizer_of(still, FactorVAE(critic()), 100)).update(ones, o.init(params), params)
    close(updates[1].critic.weight, np.zeros(4), atol=0)


def test_an_option_of_the_critics_optimiser_that_it_has_not_is_refused():
    bad = override(RECIPES["aae"].config, {"optimizer.critic.options": {"learning_rate": 1.0}}).optimizer
    with pytest.raises(ConfigError, match="not an option of adam itself"):
        optimizer_of(bad, AAE(critic()), 100)
