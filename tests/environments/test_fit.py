"""From a recording to a model that is an environment: a linear world whose every number is known."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")
pytest.importorskip("pyarrow")


from latens.config import override  # noqa: E402
from latens.data import load  # noqa: E402
from latens.data.schema import Schema  # noqa: E402
from latens.environments import ModelEnv, record  # noqa: E402
from latens.environments.env import coding_of  # noqa: E402
from latens.errors import ConfigError, UsageError  # noqa: E402
from latens.fitting import prepare, train  # noqa: E402
from latens.models.heads.likelihoods import InUnits  # noqa: E402
from latens.models.state_space import StepNormal  # noqa: E402
from latens.recipes import get_recipe  # noqa: E402
from latens.recipes.state_space_parts import StepOptions  # noqa: E402
from latens.trainable import Frozen  # noqa: E402


class Line(gymnasium.Env):
    """x' = 0.9 x + 0.3 a, which ends at |x| > 1 and pays 2 x'."""

    observation_space = gymnasium.spaces.Box(-5.0, 5.0, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
    x = 0.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = self.np_random.uniform(-0.5, 0.5)
        return np.array([self.x], np.float32), {}

    def step(self, action):
        self.x = 0.9 * self.x + 0.3 * float(action[0])
        return np.array([self.x], np.float32), 2 * self.x, bool(abs(self.x) > 1), False, {}


class Paid(Line):
    """The same, which pays 4 x'^2: no regression on x and a says it."""

    def step(self, action):
        seen, _, *others = super().step(action)
        return seen, 4.0 * self.x**2, *others


def policy(seen, rng):
    return rng.uniform(-1, 1, 1).astype(np.float32) + 0.0 if rng.uniform() < 0.5 else np.sign(rng.normal(size=1))


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("world") / "line.parquet"
    record(Line(), steps=600, policy=policy, seed=0).write(path)
    return path


@pytest.fixture(scope="module")
def started(recording):
    data = load(recording)
    data = dataclasses.replace(
        data, split=np.where(np.isin(np.arange(len(data)), (5, 6, 7)), 1, data.split).astype("u1")
    )
    config = override(get_recipe("world").config, {"training.steps": 1, "optimizer.warmup_steps": 0,
                                                   "network.hidden": [4], "posterior.units": 4})  # fmt: skip
    return prepare(config, data)


@pytest.fixture(scope="module")
def trained(started):
    return train(started)[0]


def test_a_recording_is_read_as_episodes_with_actions(recording):
    made, data = record(Line(), steps=600, policy=policy, seed=0), load(recording)
    sequences, world = data.schema.sequences, data.schema.world
    assert [one.name for one in sequences.columns] == ["observation_0", "reward", "terminated"]
    assert [one.name for one in sequences.inputs] == ["action_in_0"]
    assert world == made.world
    assert Schema.from_json(data.schema.to_json()) == data.schema
    assert len(data) == made.episode.max() + 1
    first = made.episode == 0
    row = int(np.flatnonzero(np.asarray(data.places.sequence).astype(str) == "0")[0])
    np.testing.assert_array_equal(data.x[row, : first.sum(), 0], made.observation[first, 0])
    assert not data.mask[row, 0, 1]  # nothing was paid for a reset
    assert not data.mask[row, first.sum() :].any()
    one = sequences.inputs[0]
    told = one.usual + one.scale * data.cond["inputs"][row, 1 : first.sum(), 0]
    np.testing.assert_allclose(told, made.action[first][1:, 0], atol=1e-6)


def test_windows_of_a_recording_keep_episodes_and_actions(recording):
    whole, data = load(recording), load(recording, window=20)
    assert data.x.shape[1:] == (20, 3)
    assert [one.name for one in data.schema.sequences.inputs] == ["action_in_0"]
    assert set(np.asarray(data.places.sequence).astype(str)) <= set(np.asarray(whole.places.sequence).astype(str))


def test_discrete_actions_are_read_as_they_were_taken(tmp_path):
    made = record("Acrobot-v1", steps=40, seed=0)  # three actions
    made.write(tmp_path / "a.parquet")
    data = load(tmp_path / "a.parquet")
    (place,) = np.flatnonzero(np.asarray(data.places.sequence).astype(str) == "0")
    coding, first = coding_of(data.schema), made.action[made.episode == 0][1:, 0].astype(int)
    np.testing.assert_array_equal(data.cond["inputs"][place, 1 : len(first) + 1], coding[first])
    assert len(np.unique(coding, axis=0)) == 3


def test_the_closed_form_is_the_law_of_a_linear_world(started):
    (stage,) = started.stages()
    model = stage.start(started.new_model(), started.data)
    state = model.start()._replace(number=jnp.asarray(3))
    columns, one = started.data.schema.sequences.columns, started.data.schema.sequences.inputs[0]
    shift, scale = columns[0].shift, columns[0].scale
    z = state.z.at[0].set((0.4 - shift) / scale).at[1].set((0.8 - columns[1].shift) / columns[1].scale)
    action = jnp.array([(0.5 - one.usual) / one.scale])
    prior = model.decoder.prior(state._replace(z=z), state.memory, action)
    assert float(prior.loc[0] * scale + shift) == pytest.approx(0.9 * 0.4 + 0.3 * 0.5, abs=0.02)
    emission = model.decoder.emission(state.memory, z, jnp.zeros(0))
    np.testing.assert_allclose(emission.mean()[:2], [0.4, 0.8], atol=1e-5)
    shares = np.asarray(started.data.x)[np.asarray(started.data.mask)[..., 2], 2].mean()
    assert float(emission.mean()[2]) == pytest.approx(shares, abs=0.02)


def begun(path, **settings):
    small = {"training.steps": 1, "optimizer.warmup_steps": 0, "network.hidden": [4], "posterior.units": 4}
    made = prepare(override(get_recipe("world").config, {**small, **settings}), load(path))
    return made, made.stages()[0].start(made.new_model(), made.data)


def test_what_a_regression_leaves_of_a_reward_is_noise_of_the_step_and_not_of_its_latent(tmp_path):
    made = record(Paid(), steps=600, policy=policy, seed=0)
    made.write(tmp_path / "paid.parquet")
    experiment, model = begun(tmp_path / "paid.parquet")
    data = experiment.data
    seen, paid = np.asarray(data.x, np.float64)[..., 0], np.asarray(data.x, np.float64)[..., 1]
    pairs = np.asarray(data.mask)[:, 2:, 1] & (np.asarray(data.split) == 0)[:, None]
    read = np.stack([seen[:, 1:-1][pairs], data.cond["inputs"][:, 2:, 0][pairs], np.ones(pairs.sum())], axis=1)
    left = paid[:, 2:][pairs] - read @ np.linalg.lstsq(read, paid[:, 2:][pairs], rcond=None)[0]
    emission = model.decoder.emission(jnp.zeros(0), jnp.zeros(2), jnp.zeros(0))
    assert float(np.sqrt(emission.moments()[1][1])) == pytest.approx(np.sqrt(np.mean(left**2)), rel=0.03)
    scale, change = (
        data.schema.sequences.columns[1].scale,
        np.sqrt(np.mean(np.square(paid[:, 2:] - paid[:, 1:-1])[pairs])),
    )
    latent = float(jnp.exp(model.decoder.rest.value[1, 1])) * scale
    assert latent == pytest.approx(np.exp(-3.0) * change, rel=0.1)


def test_networks_add_in_the_unit_of_the_noise_that_the_closed_form_leaves(recording):
    _, model = begun(recording)
    decoder = model.decoder
    state, action = model.start()._replace(number=jnp.asarray(3)), jnp.zeros(1)
    layers = lambda m: (m.decoder.change.network.layers[-1].bias, m.decoder.say.network.numbers.layers[-1].bias)  # noqa: E731
    ones = eqx.tree_at(layers, model, replace_fn=jnp.ones_like).decoder
    before, after = (one.prior(state, state.memory, action) for one in (decoder, ones))
    np.testing.assert_allclose(after.loc - before.loc, jnp.exp(before.log_scale), rtol=1e-4)
    np.testing.assert_allclose(after.log_scale - before.log_scale, 5 * np.tanh(0.2), rtol=1e-4)
    of = lambda one: one.outputs(jnp.zeros(0), jnp.zeros(2), jnp.zeros(0)).reshape(2, 3)  # noqa: E731
    softplus = np.log1p(np.exp(np.asarray(of(decoder)[1], np.float64))) + 0.0003
    np.testing.assert_allclose(of(ones)[0, :2] - of(decoder)[0, :2], softplus[:2], rtol=1e-3)
    np.testing.assert_allclose(of(ones)[1, :2] - of(decoder)[1, :2], 1.0, rtol=1e-5)


def test_all_of_the_closed_form_stays_and_files_of_before_have_none_of_it(recording):
    kinds = {True: Frozen, False: jax.Array}
    for scaled, kind in kinds.items():
        experiment, model = begun(recording, **{"posterior.scaled": scaled})
        assert experiment.config.posterior.options["scaled"] is scaled
        parts = [getattr(model.decoder, name) for name in ("first", "drift", "push", "rest", "write", "bias")]
        assert all(isinstance(part, kind) for part in (*parts, model.encoder.gain))
        assert isinstance(model.decoder.change, InUnits) is scaled
        assert model.encoder.scaled is scaled
    assert StepOptions().scaled is False  # what a file that does not say it is read with


def test_what_no_closed_form_fills_is_trained(recording):
    _, model = begun(recording, **{"posterior.latent_dim": 1})  # two numbers, the observation and the reward
    assert not isinstance(model.decoder.change, InUnits)
    parts = [getattr(model.decoder, name) for name in ("first", "drift", "push", "rest", "write", "bias")]
    assert not any(isinstance(part, Frozen) for part in (*parts, model.encoder.gain))


def test_a_scaled_posterior_is_moved_in_its_own_unit(recording):
    _, model = begun(recording)
    x, mask = jnp.array([0.1, 0.2, 0.0]), jnp.ones(3)
    prior = StepNormal(jnp.array([0.3, -0.2]), jnp.log(jnp.array([0.5, 2.0])))
    moved = eqx.tree_at(lambda m: m.encoder.change.layers[-1].bias, model, jnp.array([1.0, -2.0, 0.0, 0.0]))
    read = (jnp.zeros(4), x, mask)
    was, now = (
        one.encoder.meet(one.decoder, read, jnp.asarray(True), prior, jnp.zeros(0), jnp.zeros(0))
        for one in (model, moved)
    )
    np.testing.assert_allclose(now.loc - was.loc, jnp.array([1.0, -2.0]) * jnp.exp(was.log_scale), rtol=1e-3)
    assert float(was.log_scale[0]) < float(prior.log_scale[0]) - 1.0


def test_a_trained_model_is_an_environment(trained, tmp_path):
    trained.save(tmp_path / "m.safetensors")
    env = ModelEnv(str(tmp_path / "m.safetensors"), horizon=3)
    assert env.world.ends
    assert env.observation_space == Line.observation_space
    assert env.action_space == Line.action_space
    seen, _ = env.reset(seed=0, options={"start": [0.5]})
    assert seen.tolist() == [0.5]
    after, reward, terminated, _truncated, _ = env.step(np.array([0.5], np.float32))
    assert after[0] == pytest.approx(0.9 * 0.5 + 0.15, abs=0.15)
    assert isinstance(terminated, bool)
    assert np.isfinite(reward)
    drawn = np.array([env.reset(seed=s)[0][0] for s in range(40)])
    assert np.abs(drawn).max() < 1.5
    assert 0.1 < drawn.std() < 0.6  # as recorded episodes begin: 0.29


def test_the_environment_is_the_model_itself(trained):
    env = ModelEnv(trained, temperature=0.0, horizon=5)
    env.reset(seed=0, options={"start": [0.2]})
    key = env._copies.key
    simulator = env._copies.simulator
    state, _ = simulator.init(jnp.array([0.2]), jax.random.split(jax.random.fold_in(key, 1), 1)[0])
    seen, *_ = env.step([0.3])
    column, one = trained.schema.sequences.columns[0], trained.schema.sequences.inputs[0]
    state, dist = trained.model.ahead(
        state, jnp.array([(0.3 - one.usual) / one.scale]), key=jax.random.key(9), temperature=0.0
    )
    spread = float(jnp.sqrt(dist.moments()[1][0]))  # the latents have no noise, what they say has
    assert float(seen[0]) == pytest.approx(float(dist.mean()[0]), abs=5 * spread)
    assert spread < 0.01
    assert column.name == "observation_0"


def test_other_recipes_and_other_files_are_refused(recording, tmp_path, trained):
    with pytest.raises(ConfigError, match="--recipe world"):
        prepare(get_recipe("default").config, load(recording))
    from msgspec import structs

    sequences = trained.schema.sequences
    cut = structs.replace(sequences, columns=(*sequences.columns[:2], structs.replace(sequences.columns[2], name="c")))
    with pytest.raises(UsageError, match=r"no column 'terminated'.*latens.environments.record"):
        ModelEnv(dataclasses.replace(trained, schema=structs.replace(trained.schema, sequences=cut)))
    plain = dataclasses.replace(trained, schema=structs.replace(trained.schema, world=None))
    with pytest.raises(UsageError, match="its recipe is world"):
        ModelEnv(plain)
