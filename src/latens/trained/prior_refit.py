"""A trained model with another prior: fitted after training to the aggregated posterior of its training rows."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from msgspec import structs

from latens.config import Config, PriorConfig, VAEConfig
from latens.data import Dataset
from latens.data.dataset import Batch
from latens.data.row_fields import every_nth
from latens.errors import ConfigError, nearest
from latens.evidence.batched import map_draws
from latens.evidence.estimate import Estimate
from latens.evidence.importance import log_marginal
from latens.latents.fit_prior import aggregated_draws, aggregated_moments, fit_codes, fit_flow, mixture_of, normal_of
from latens.models import AbstractLatentModel, Downwards, FullMixturePrior, LatentModel, MixturePrior
from latens.objectives.base import draw
from latens.recipes import recipe_of
from latens.recipes.build import build_new
from latens.recipes.parts import bind
from latens.runtime import random_keys
from latens.runtime.compilation import check_process, counted
from latens.trained.inputs import is_grey, refuse_inputs, seed_key
from latens.trained.metric_functions import held_out_rows
from latens.trained.trained_model import TrainedModel
from latens.typing import Array, Float, Key, checked_later

DRAWS_FOR_MIXTURE = 20_000
"""About so many draws of the aggregated posterior a mixture is fitted to; more rows are drawn once each."""

ENOUGH_ROWS, ENOUGH_DRAWS = 300, 50
"""Validation rows that decide about a prior at the end of training, at the most, and the draws of each."""

CODES = 4_000
"""Draws of codes that a prior is fitted to at the end of training; more training rows are left out."""

COMPONENTS = 10
"""Components of a mixture that is fitted at the end of training."""

MOST_FULL = 64
"""Latents up to which all correlations are tried at the end of training: a fit then takes a second."""

MOST_JUDGED = 1_000
"""Held-out rows on which a new prior is compared with the former one, at the most."""

LEAST_GAIN = 0.05
"""Nats by which log p(x) rises at least where a prior fitted at the end of training is kept."""


class Refitted(NamedTuple):
    """A model with its new prior, and what that changed."""

    trained: TrainedModel  # the model with its new prior
    # log p(x) (of codes: its bound) with the new prior minus that with the former one, in nats, paired over held-out
    # rows; None for an autoencoder, which has no p(x)
    gain: Estimate | None

    @property
    def warning(self) -> str:
        """What to do where the new prior is worse by two standard errors; "" where it is not."""
        if self.gain is None or self.gain.value + 2.0 * self.gain.standard_error >= 0.0:
            return ""
        return "log p(x) of held-out rows is lower than with the former prior: use the former model"


@dataclass(frozen=True)
class _Work:
    trained: TrainedModel
    data: Dataset
    model: LatentModel
    """A new model of the new configuration: its structure, and where a fit starts."""
    steps: int
    seed: int

    @property
    def common(self) -> dict[str, Any]:
        return {"preparation": self.trained.preparation, "seed": self.seed, "steps": self.steps}

    @property
    def rows(self) -> Any:
        return self.trained.batch(self.data, self.data.subset("train", required=True))

    def draws(self) -> np.ndarray:
        return _codes_of(self.rows, self.trained, DRAWS_FOR_MIXTURE, self.seed)


def _codes_of(rows: Batch, trained: TrainedModel, most: int, seed: int) -> np.ndarray:
    """About so many draws of the aggregated posterior of rows; those with weights come as often as they count."""
    count = max(1, most // len(rows.row_id))
    draws = aggregated_draws(trained.rows(rows, key=random_keys.of_seed(seed)), num_draws=count)
    if rows.weight is None:
        return draws
    share = np.repeat(np.asarray(rows.weight, np.float64), count)
    return draws[np.random.default_rng(seed).choice(len(draws), len(draws), p=share / share.sum())]


def _normal(work: _Work) -> Any:
    key = jax.random.key(work.seed)
    found = aggregated_moments(work.trained.rows(work.rows, key=key))
    return normal_of(found)


def _mixture(full: bool) -> Callable[[_Work], Any]:
    return lambda work: mixture_of(work.draws(), _top(work.model).components, full=full, seed=work.seed)


def _flow(work: _Work) -> Any:
    return fit_flow(_top(work.model), work.trained.model, work.data, **work.common)


def _codes(work: _Work) -> Any:
    return fit_codes(_top(work.model), work.trained.model, work.data, **work.common)


@dataclass(frozen=True)
class FittablePrior:
    """One row of the table of priors that can be fitted after training."""

    what: str  # the prior in a few words
    prior: str  # the `prior.kind` that comes of it
    fit: Callable[[_Work], Any]  # makes that prior from the work
    options: tuple[str, ...] = ()  # the names of the options that may be given
    fixed: tuple[tuple[str, Any], ...] = ()  # names and values of options that are fixed
    steps: int = 2000  # of training, where nobody says how many


PRIORS: dict[str, FittablePrior] = {
    "normal": FittablePrior("a Normal with all correlations, in closed form", "full-normal", _normal),
    "mixture": FittablePrior("a mixture of Normals, by EM", "mixture", _mixture(False), ("components",)),
    "full-mixture": FittablePrior(
        "a mixture of Normals with all correlations, by EM", "full-mixture", _mixture(True), ("components",)
    ),
    "flow": FittablePrior("autoregressive flows, by maximum likelihood", "flow", _flow, ("layers", "width")),
    "flow-matching": FittablePrior(
        "a velocity that carries noise to latents, by flow matching",
        "flow-matching",
        _flow,
        ("width", "guidance"),
        steps=8000,
    ),
    "transformer": FittablePrior(
        "codes that depend on all before them, by a causal transformer",
        "transformer",
        _codes,
        ("layers", "width", "together"),
    ),
    "aggregate": FittablePrior(
        "the posteriors of training rows themselves",
        "vamp",
        lambda work: _top(work.model).started(work.data, work.trained.preparation),
        ("components",),
        (("learned", False),),
    ),
}
"""What `refit_prior` can fit."""


@counted(steps=1, num_samples=1)
@checked_later
def refit_prior(
    trained: TrainedModel,
    data: Dataset,
    kind: str = "mixture",
    *,
    options: dict[str, Any] | None = None,
    steps: int | None = None,
    num_samples: int = 1000,
    seed: int = 0,
) -> Refitted:
    r"""The same encoder and decoder with a prior fitted to the aggregated posterior of the training rows."""
    # It is $\bar q(z) = \frac1N\sum_i q(z \mid x_i)$: the ELBO of a row is largest, over all priors, where p(z) is that
    # aggregated posterior. A plain autoencoder gets a prior this way: then it can be sampled. Of a hierarchy the prior
    # of the highest level is replaced. Where the model reads a label the new prior reads it too: one of each class.
    # Source: Tomczak & Welling (2018), arXiv 1705.07120; for autoencoders Ghosh et al. (2020), arXiv 1903.12436.
    # options: the options of the new prior: `components`, `layers` and `width` of a flow or of a network over codes,
    # `guidance` of flow matching, `together` of a transformer. steps: of training; None for 2000, of flow matching
    # 8000.
    check_process()
    refuse_inputs(trained, data, TrainedModel)
    config = trained.config
    refuse_refit(config, kind)
    if not isinstance(config, VAEConfig) or not isinstance(trained.model, LatentModel):
        what = "only the prior of a latent-variable model that a recipe builds can be fitted again."
        raise ConfigError(what, where="model", fix="In Python: latens.latents.fit_prior fits to any model.")
    new = _configured(config, PRIORS[kind], options or {})
    key = jax.random.fold_in(seed_key(seed), random_keys.INITIAL_PRIOR)
    skeleton = build_new(recipe_of(new), trained.schema, new, key=key)
    row = PRIORS[kind]
    work = _Work(trained, data, skeleton, row.steps if steps is None else steps, seed)
    if config.posterior.levels and not isinstance(trained.model.prior_part, Downwards):
        what = f"the levels of a {config.posterior.kind} posterior are not fitted again."
        fix = "Refit a model of one level, or of levels one above the other."
        raise ConfigError(what, where="posterior.kind", fix=fix)
    model = _with_top(trained.model, row.fit(work))
    refitted = replace(trained, model=model, config=new, facts={**trained.facts, "refitted": kind})
    return Refitted(refitted, _gain(trained, refitted, data, num_samples, seed))


def refuse_refit(config: Config | None, kind: str) -> None:
    """Refuse a prior that cannot be fitted to the codes of a model with this configuration."""
    if not isinstance(kind, str) or kind not in PRIORS:
        what = f"there is no prior {kind!r:.100} that could be fitted after training."
        raise ConfigError(what, where="prior", fix=nearest(kind, PRIORS))
    if not isinstance(config, VAEConfig):
        what = "a model without latents has no prior that could be fitted again."
        raise ConfigError(what, where="prior", fix="Use the recipe of a VAE.")
    of_codes = bind(config).posterior.support == "codes"
    by_class = of_codes or kind == "flow-matching"
    if config.label.kind not in ("none", "beside") and not (by_class and config.label.kind == "condition"):
        what = "the prior of a model that reads or predicts labels is not one for all rows."
        fix = "Use flow-matching for a model that reads labels, or refit a model without them."
        raise ConfigError(what, where="label.kind", fix=fix)
    if of_codes != (PRIORS[kind].fit is _codes):
        what = f"{PRIORS[kind].what}: no prior for the latents of a {config.posterior.kind} posterior."
        fits = ", ".join(name for name, row in PRIORS.items() if (row.fit is _codes) == of_codes)
        raise ConfigError(what, where="prior", fix=f"Use one of {fits}.")


def _configured(config: VAEConfig, kind: FittablePrior, options: dict[str, Any]) -> VAEConfig:
    """The configuration of the model with its new prior."""
    for name in options:
        if name not in kind.options:
            known = nearest(name, kind.options) if kind.options else f"Remove prior.{name}."
            raise ConfigError(f"{kind.what}: there is no option {name!r}.", where=f"prior.{name}", fix=known)
    label = structs.replace(config.label, prior="class") if config.label.kind == "condition" else config.label
    prior = PriorConfig(kind=kind.prior, options={**options, **dict(kind.fixed)})
    return structs.replace(config, prior=prior, label=label)


def _top(model: LatentModel) -> Any:
    return model.prior_part.top if isinstance(model.prior_part, Downwards) else model.prior_part


def _with_top(model: LatentModel, prior: Any) -> LatentModel:
    if isinstance(model.prior_part, Downwards):
        prior = Downwards(prior, model.prior_part.parts)
    return LatentModel(prior, model.encoder, model.decoder)


def _gain(old: TrainedModel, new: TrainedModel, data: Dataset, num_samples: int, seed: int) -> Estimate | None:
    """The change of log p(x) on rows that no prior was fitted to, where there are any."""
    assert isinstance(new.config, VAEConfig)
    if new.is_point:
        return None
    point = new.parts.posterior.support == "codes"
    num_samples = 1 if point else num_samples  # all of a quantised posterior is on one code
    split, positions = held_out_rows(data)
    batch = old.batch(data, every_nth(positions, MOST_JUDGED))
    before, after = (
        log_marginal(one.rows(batch, seed=seed), num_samples=num_samples).astype(np.float64) for one in (old, new)
    )
    what = _measured(new)
    what = "the bound on log p(x)" if point and what == "log p(x)" else what
    how = "log p(x | z) + log p(z) at the one code of x" if point else f"importance sampling, {num_samples} draws a row"
    protocol = f"{what} with the refitted prior minus that with the former one, paired over {split} rows; {how}"
    weight = None if batch.weight is None else np.asarray(batch.weight)
    return replace(Estimate.of(after - before, num_samples=num_samples, protocol=protocol, weight=weight), seed=seed)


def refitted_at_end(trained: TrainedModel, data: Dataset, *, seen: int) -> TrainedModel:
    """A model at the end of its training, with a mixture fitted to its codes where validation rows gain by it."""
    # seen: the rows of all training steps together. Work is counted and not timed, so that a resumed run decides as one
    # that was never stopped.
    config, model = trained.config, trained.model
    assert isinstance(config, VAEConfig)
    train, rows = every_nth(data.subset("train"), CODES), every_nth(data.subset("validation"), ENOUGH_ROWS)
    if config.data.validation != "split" or config.training.final == "all" or len(rows) < 2:
        return trained.with_facts(refit={"kept": False, "because": "no rows of their own validate"})
    if len(rows) * ENOUGH_DRAWS + CODES > seen:
        return trained.with_facts(refit={"kept": False, "because": "the training was short"})
    seed, components = config.training.seed, min(COMPONENTS, len(train))
    codes, batch = _codes_of(trained.batch(data, train), trained, CODES, seed), trained.batch(data, rows)
    kinds = ("mixture", "full-mixture")[: 1 + (1 < codes.shape[1] <= MOST_FULL)]
    try:
        fitted = {kind: mixture_of(codes, components, full=kind == "full-mixture", seed=seed) for kind in kinds}
    except ValueError as error:  # of scikit-learn, where codes are not finite or all in one place
        return trained.with_facts(refit={"kept": False, "because": str(error)})
    z, rest, own = map_draws(Partial(_weights, num_samples=ENOUGH_DRAWS), trained.rows(batch, seed=seed))
    log_priors = np.stack([own, *(_log_density(prior, z) for prior in fitted.values())]).astype(np.float64)
    values = np.logaddexp.reduce(log_priors + rest, axis=2)
    what = f"{_measured(trained)} with a mixture fitted to the codes as the prior minus that with the trained prior"
    protocol = f"{what}, paired over validation rows; importance sampling, {ENOUGH_DRAWS} draws a row"
    weight = None if batch.weight is None else np.asarray(batch.weight)
    gains = {
        kind: Estimate.of(value - values[0], num_samples=ENOUGH_DRAWS, protocol=protocol, weight=weight)
        for kind, value in zip(fitted, values[1:], strict=True)
    }
    kind, gain = max(gains.items(), key=lambda pair: pair[1].value)
    kept = bool(gain.value > max(2.0 * gain.standard_error, LEAST_GAIN))
    facts = {"kept": kept, "prior": kind, "gain": replace(gain, seed=seed).to_json()}
    if kept:
        new = structs.replace(config.prior, kind=kind, options={"components": components})
        trained = replace(trained, model=_with_top(model, fitted[kind]), config=structs.replace(config, prior=new))
    return trained.with_facts(refit=facts)


def refit_text(trained: TrainedModel) -> str:
    """One sentence about the prior that was fitted at the end of training; "" where none was."""
    found = trained.facts.get("refit", {})
    if "gain" not in found:
        return ""
    gain, what, of = found["gain"], _measured(trained), "mixture of Gaussians"
    by = f"{gain['value']:+.2f} ± {gain['standard_error']:.2f} nats on {gain['n']} validation rows"
    if found["kept"]:
        return f"prior: a {of} fitted to the codes, which changes {what} by {by} (--set prior.refit=false: as trained)"
    return f"prior: as trained; a {of} fitted to the codes changes {what} by {by}, which is not enough"


def then_text(found: Refitted, kind: str) -> str:
    """One sentence about the prior that was fitted after training because the user asked for it."""
    text = f"Prior: {kind}, fitted to the latents of training rows"
    if found.gain is None:
        return f"{text}."
    by = f"{found.gain.value:+.2f} ± {found.gain.standard_error:.2f} nats"
    worse = ": fit without --then" if found.warning else ""
    return f"{text}; {found.gain.protocol.split(' with the ')[0]} of {found.gain.n} rows changed by {by}{worse}."


def _measured(trained: TrainedModel) -> str:
    return "the cross-entropy bound" if is_grey(trained) else "log p(x)"


def _weights(
    model: AbstractLatentModel, batch: Batch, key: Key, *, num_samples: int, samples_per_chunk: int
) -> tuple[Float[Array, "B K n"], Float[Array, "B K"], Float[Array, "B K"]]:
    """Draws of prepared rows, what of their log weights does not depend on the prior, and the log density of that."""

    def chunk(first: Array) -> tuple[Array, Array, Array]:
        found = draw(model, batch, num_samples=size, first_sample=first, key=key, dropout=False)
        return found.z, found.log_likelihood - found.log_posterior, found.log_prior

    size = next(size for size in range(min(samples_per_chunk, num_samples), 0, -1) if num_samples % size == 0)
    parts = jax.lax.map(chunk, jnp.arange(0, num_samples, size))
    return jax.tree.map(lambda leaf: jnp.moveaxis(leaf.reshape(num_samples, *leaf.shape[2:]), 0, 1), parts)


def _log_density(prior: MixturePrior | FullMixturePrior, z: np.ndarray) -> np.ndarray:
    """The log density of a mixture in double precision; as a program of XLA it would be compiled for seconds."""
    logits, loc = np.asarray(prior.logits, np.float64), np.asarray(prior.loc, np.float64)
    found = []
    for component in range(prior.components):
        if isinstance(prior, FullMixturePrior):
            factor = np.asarray(prior.factor, np.float64)[component]
            scale = np.tril(factor, -1) + np.diag(np.exp(np.diagonal(factor)))
        else:
            scale = np.diag(np.exp(np.asarray(prior.log_scale, np.float64)[component]))
        noise = (z - loc[component]) @ np.linalg.inv(scale).T
        log_scale = np.log(np.diagonal(scale)).sum() + 0.5 * np.log(2 * np.pi) * z.shape[-1]
        found.append(logits[component] - 0.5 * (noise**2).sum(-1) - log_scale)
    return np.logaddexp.reduce(found) - np.logaddexp.reduce(logits)
