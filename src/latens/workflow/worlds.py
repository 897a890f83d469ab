"""What is found of a model of an environment beside its bound: the alarm, and how well it says where episodes end."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Shaped

from latens.data import Dataset, Schema, prepare_batch
from latens.distributions.steps import Steps
from latens.errors import UsageError
from latens.evaluation import Estimate
from latens.evaluation.alarm import KEPT, RATE, Alarm, alarm_from, calibrated, densities, fit_alarm, threshold_of
from latens.kinds.steps.world import TERMINATED
from latens.workflow.trained import TrainedModel


def coding_of(schema: Schema) -> Float[np.ndarray, "A a"]:
    """What a model reads of each discrete action, from the first on; one that was never taken is none of these."""
    world, sequences = schema.world, schema.sequences
    assert world is not None
    assert sequences is not None
    (one,) = sequences.inputs
    hot = np.concatenate([np.eye(one.width), np.zeros((1, one.width))])
    places = {float(name): i for i, name in enumerate(one.values)}
    numbers = world.action.start + np.arange(world.action.n)
    return hot[[places.get(float(number), one.width) for number in numbers]] - hot[int(one.usual)]


def steps_of(data: Dataset, positions: Shaped[np.ndarray, " n"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What was seen, the action that was taken there, and what was seen next, of every step of some rows."""
    schema = data.schema
    world, sequences = schema.world, schema.sequences
    assert world is not None
    assert sequences is not None
    names = [column.name for column in sequences.columns]
    seen = [names.index(name) for name in world.observations if name in names]
    x = np.asarray(data.x[positions], np.float64)[..., seen]
    known = np.ones(x.shape, bool) if data.mask is None else np.asarray(data.mask[positions])[..., seen]
    told = np.asarray((data.cond or {})["inputs"][positions], np.float64)
    pairs = known[:, 1:].all(2) & known[:, :-1].all(2)
    taken = told[:, 1:][pairs]
    if world.action.kind == "discrete":
        away = np.square(taken[:, None] - coding_of(schema)[None]).sum(2)
        taken = away.argmin(1)[:, None].astype(np.float64)
    else:
        shift, scale = (np.array([getattr(one, name) for one in sequences.inputs]) for name in ("usual", "scale"))
        taken = shift + scale * taken
    return x[:, :-1][pairs], taken, x[:, 1:][pairs]


def alarm_facts(data: Dataset) -> dict[str, Any]:
    """The alarm of a recording as a model file keeps it, with densities of held-out steps; nothing for other data."""
    world = data.schema.world
    if world is None or not data.cond or "inputs" not in data.cond:
        return {}
    seen, taken, _ = steps_of(data, data.subset("train"))
    if len(seen) < 2:
        return {}
    alarm = fit_alarm(seen, taken, places=world.action.n if world.action.kind == "discrete" else 0)
    held, then, _ = steps_of(data, data.subset("validation"))
    if not len(held):
        return {"alarm": alarm.plain()}
    found = np.sort(densities(alarm, held, then))
    alarm, _ = calibrated(alarm, found)
    return {"alarm": alarm.plain() | {"least": found[:KEPT].round(4).tolist(), "held_out": len(found)}}


def alarm_of(trained: TrainedModel, rate: float | None = None, steps: Any = None) -> tuple[Alarm | None, float | None]:
    """The alarm of a trained model that flags a share of honest steps, and that share."""
    # Steps are a recording of the true environment, or its file; None: the held-out steps that the model file keeps.
    plain = trained.facts.get("alarm")
    if plain is None:
        if rate is not None or steps is not None:
            what = "the model has no alarm: no action was recorded."
            raise UsageError(what, where="alarm_rate", fix="Leave alarm_rate and alarm_steps out.")
        return None, None
    alarm = alarm_from(plain)
    if steps is not None:
        data = _recorded(steps)
        own, world = trained.schema.world, data.schema.world
        if world is None or own is None or (world.observation, world.action) != (own.observation, own.action):
            what = f"{data.name} is no recording of {getattr(own, 'env', None) or 'the same environment'}."
            raise UsageError(what, where="alarm_steps", fix="Give a recording of the same environment.")
        alarm, made = calibrated(
            alarm, densities(alarm, *steps_of(data, np.arange(len(data)))[:2]), RATE if rate is None else rate
        )
        return alarm, made.rate
    if "least" not in plain:
        if rate is not None:
            what = "the model was saved before held-out steps set the alarm, or had none."
            raise UsageError(what, where="alarm_rate", fix="Fit it anew, or give alarm_steps.")
        return alarm, None
    made = threshold_of(np.asarray(plain["least"]), int(plain["held_out"]), RATE if rate is None else rate)
    return eqx.tree_at(lambda one: one.threshold, alarm, jnp.float32(made.value)), made.rate


def _recorded(steps: Any) -> Dataset:
    """A recording as data."""
    from latens.data import load

    if not hasattr(steps, "write"):
        return load(steps)
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        steps.write(Path(folder) / "steps.parquet")
        return load(Path(folder) / "steps.parquet")


def steps_outside(trained: TrainedModel, data: Dataset, positions: Shaped[np.ndarray, " n"]) -> dict[str, Estimate]:
    """The share of true steps of some rows that the alarm flags, beside the share that it promises."""
    if data.schema.world is None or not data.cond or "inputs" not in data.cond or "alarm" not in trained.facts:
        return {}
    alarm, rate = alarm_of(trained)
    seen, taken, _ = steps_of(data, positions)
    if alarm is None or not len(seen):
        return {}
    share = float(np.mean(densities(alarm, seen, taken) < float(alarm.threshold)))
    promised = "" if rate is None else f"; at most {rate:.2g} are promised"
    error = float(np.sqrt(max(share * (1 - share), 0.0) / len(seen)))
    return {
        "steps_outside": Estimate(share, error, 1, len(seen), unit="share", protocol=f"true steps{promised}", seed=0)
    }


def ends_auc(
    trained: TrainedModel, data: Dataset, positions: Shaped[np.ndarray, " n"], *, seed: int = 0
) -> dict[str, Estimate]:
    """The area under the curve of the probability of an end, given all that was seen up to the step but the end."""
    sequences = data.schema.sequences
    names = [column.name for column in sequences.columns] if sequences else []
    if data.schema.world is None or TERMINATED not in names or not hasattr(trained.model, "ahead"):
        return {}
    place = names.index(TERMINATED)
    batch = prepare_batch(trained.preparation, trained.batch(data, positions), key=jax.random.key(seed))
    mask = np.ones(batch.x.shape, bool) if batch.mask is None else np.asarray(batch.mask)
    hidden = mask.copy()
    hidden[..., place] = False
    keys = jax.random.split(jax.random.key(seed), len(positions))
    said = np.asarray(_probabilities(trained.model, batch.x, jnp.asarray(hidden), batch.cond, keys))[..., place]
    ended = np.asarray(batch.x)[..., place] > 0.5
    score, end = said[mask[..., place]], ended[mask[..., place]]
    if end.all() or not end.any():
        return {}
    value, error = _area(score[end], score[~end])
    protocol = "P(end) of a step from one draw given all before it and the step without its end"
    return {"termination_auc": Estimate(value, error, 1, len(end), unit="share", protocol=protocol, seed=seed)}


def _area(positive: np.ndarray, negative: np.ndarray) -> tuple[float, float]:
    """The area under the ROC curve with its standard error."""
    # Source: Hanley & McNeil (1982).
    from scipy.stats import rankdata

    m, n = len(positive), len(negative)
    ranks = rankdata(np.concatenate([positive, negative]))
    a = (ranks[:m].sum() - m * (m + 1) / 2) / (m * n)
    one, two = a / (2 - a), 2 * a * a / (1 + a)
    variance = (a * (1 - a) + (m - 1) * (one - a * a) + (n - 1) * (two - a * a)) / (m * n)
    return float(a), float(np.sqrt(max(variance, 0.0)))


@eqx.filter_jit
def _probabilities(model: Any, x: Any, mask: Any, cond: Any, keys: Any) -> Float[jax.Array, "n T d"]:
    def row(x: Any, mask: Any, cond: Any, key: Any) -> Any:
        posterior = model.posterior(x, cond=cond, mask=mask)
        walk = posterior.walk(noise=posterior.sample_noise(key=key))
        return Steps(model.decoder.head, walk.outputs).mean()

    return jax.vmap(row)(x, mask, cond, keys)
