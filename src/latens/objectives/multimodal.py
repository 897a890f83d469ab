"""Objectives for labels that may be missing, and for several modalities."""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from msgspec import Meta

from latens.data.dataset import Batch
from latens.distributions import AbstractDistribution, Joined, Mixture, Product, has_closed_form, kl_terms
from latens.errors import ConfigError
from latens.models import AbstractLatentModel, Experts, LatentModel, SemiSupervised, subsets_of
from latens.models.semi_supervised import with_label
from latens.objectives.base import KL, AbstractObjective, Loss, Metrics, by_row, evidence, mean, path_to, weighted
from latens.runtime import random_keys
from latens.typing import AnyArray, Array, Bool, Cond, Count, Float, Key, Mask, PyTree, Scheduled, Step, Weight


class SemiSupervisedELBO(AbstractObjective):
    r"""The ELBO of the M2 model, which uses a row's label where there is one and else sums over all labels.

    $\mathcal L(x, y) = E_{q(z|x,y)}[\log p(x|y,z)] + \log p(y) - \mathrm{KL}(q(z|x,y) \| p(z)) \le \log p(x, y)$ and
    $\mathcal U(x) = \sum_y q(y|x)\,[\mathcal L(x, y) - \log q(y|x)] \le \log p(x)$. Minimises the mean of
    $-\mathcal L$ over rows with a label and $-\mathcal U$ over the others, plus $\alpha$ times the mean of
    $-\log q(y|x)$ over rows with a label, in nats for each row. A missing label is -1 (or no `batch.label` at all).

    Reports $\mathcal U$ of every row as `elbo`, with its two parts, so that rows with and without labels can be
    compared, and for rows with a label `label_log_likelihood`, the mean of $\log q(y|x)$, and `accuracy`.

    Args:
        alpha: $\alpha$, at least 0: the paper's is this number times its number of rows.
        kl: "analytic" (exact), "sampled", or "auto" (exact if available, else sampled).
        num_samples: K, samples of z for each row and label.

    Raises:
        ConfigError: An option is out of range, or a model that predicts no label.

    Source: Kingma, Rezende, Mohamed & Welling (2014), arXiv 1406.5298, equations 6 to 9.
    """

    monitor: ClassVar[str] = "elbo"

    alpha: Weight = eqx.field(static=True, default=0.1)
    kl: KL = eqx.field(static=True, default="auto")
    num_samples: Count = eqx.field(static=True, default=1)

    def couples_rows(self) -> str:
        """Rows with a label are averaged on their own."""
        return "the rows with a label are averaged by how many a batch has"

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        if not isinstance(model, SemiSupervised):
            what = f"{type(model).__name__} predicts no label, which this objective needs."
            raise ConfigError(what, where="objective.name", fix="Use --recipe m2, or another objective.")
        log_q = jax.nn.log_softmax(_label_logits(model, batch, key))
        log_p, classes = model.class_log_prior, log_q.shape[1]

        def given(label: Float[Array, " C"]) -> tuple[Array, Array]:
            rows = jnp.broadcast_to(label, (log_q.shape[0], classes))
            as_if = dataclasses.replace(batch, cond=with_label(batch.cond, rows))
            # One key for all labels: their bounds are compared, and share their noise.
            found = evidence(model.conditional, as_if, key=key, kl=self.kl, num_samples=self.num_samples)
            return found.log_likelihood, found.kl

        log_likelihoods, kls = (leaf.T for leaf in jax.vmap(given)(jnp.eye(classes, dtype=log_q.dtype)))
        bounds, q = log_likelihoods + log_p[None] - kls, jnp.exp(log_q)
        log_likelihood, unlabelled = jnp.sum(q * log_likelihoods, axis=1), jnp.sum(q * (bounds - log_q), axis=1)
        label = jnp.full(len(log_q), -1, jnp.int32) if batch.label is None else jnp.asarray(batch.label)
        # A comparison and a sum: a gather would differentiate to a scatter, which is slow on CPU.
        own = label[:, None] == jnp.arange(classes, dtype=label.dtype)[None]
        of_label = lambda values: jnp.sum(jnp.where(own, values, 0.0), axis=1)  # noqa: E731
        known = dataclasses.replace(batch, weight=jnp.where(label >= 0, batch.weights, 0.0))
        metrics = {
            "elbo": weighted(unlabelled, batch),
            "log_likelihood": weighted(log_likelihood, batch),
            "kl": weighted(log_likelihood - unlabelled, batch),
            "label_log_likelihood": weighted(of_label(log_q), known),
            "accuracy": weighted((of_label(log_q) >= jnp.max(log_q, axis=1)).astype(log_q.dtype), known),
        }
        bound = weighted(jnp.where(label >= 0, of_label(bounds), unlabelled), batch)
        return -mean(bound) - self.alpha * mean(metrics["label_log_likelihood"]), metrics


def _label_logits(model: SemiSupervised, batch: Batch, key: Key) -> Float[Array, "B C"]:

    def one_row(x: PyTree, row_id: AnyArray, cond: Cond, mask: Mask) -> Array:
        row_key = jax.random.fold_in(jax.random.fold_in(key, random_keys.LABEL_NETWORK_DROPOUT), row_id)
        return model.label_logits(x, cond=cond, mask=mask, key=row_key)

    return jax.vmap(one_row)(batch.x, batch.row_id, batch.cond, batch.mask)


class _ByComponent(NamedTuple):
    """K draws of each of C components of q(z | x) by row; nats."""

    # `share` (B, C) of a component without a share is 0.

    share: Float[Array, "B C"]
    log_likelihood: Float[Array, "B C K M"]
    log_ratio: Float[Array, "B C K"]  # log q(z | x) - log p(z), with q the whole posterior
    component_kl: Float[Array, "B C"]  # of the component alone from the prior, in closed form where there is one

    def average(self, values: Float[Array, "B C"]) -> Float[Array, " B"]:
        """The posterior's mean of a mean by component."""
        return jnp.sum(jnp.where(self.share > 0, self.share * values, 0.0), axis=1)

    def likelihoods(self) -> Float[Array, "B M"]:
        r"""$E_q[\log p(x_m \mid z)]$."""
        return jax.vmap(self.average, in_axes=2, out_axes=1)(jnp.mean(self.log_likelihood, axis=2))

    def kl(self) -> Float[Array, " B"]:
        """KL(q || p): of a mixture from the draws, of one component in closed form where there is one."""
        if self.share.shape[1] == 1:
            return self.component_kl[:, 0]
        return self.average(jnp.mean(self.log_ratio, axis=2))


def _experts(model: AbstractLatentModel) -> Experts:
    experts = model.encoder if isinstance(model, LatentModel) else None
    if not isinstance(experts, Experts):
        what = f"{type(model).__name__} has no encoder for each modality, which this objective needs."
        raise ConfigError(what, where="objective.name", fix="Use --set posterior=experts, or another objective.")
    return experts


def _draws(
    model: AbstractLatentModel, batch: Batch, *, num_samples: int, key: Key, chosen: Bool[Array, "B M"] | None = None
) -> _ByComponent:
    """The terms of every component."""
    # `chosen` says which modalities a row shows, of those observed; None: all.
    experts = _experts(model)
    chosen = jnp.ones((batch.row_id.shape[0], len(experts.names)), bool) if chosen is None else chosen

    def one_row(x: PyTree, row_id: AnyArray, cond: Cond, mask: Mask, chosen: Bool[Array, " M"]) -> _ByComponent:
        row_key = jax.random.fold_in(key, row_id)
        network_key = jax.random.fold_in(row_key, random_keys.NETWORK_DROPOUT)
        mask = experts.restricted(x, mask, chosen)
        posterior: Any = model.posterior(x, cond=cond, mask=mask, key=network_key)
        prior, mixed = model.prior(cond=cond), isinstance(posterior, Mixture)
        lead = lambda leaf: leaf[None]  # noqa: E731
        share = jax.nn.softmax(posterior.logits) if mixed else jnp.ones(1)
        components = posterior.components if mixed else jax.tree.map(lead, posterior)

        def one_sample(component: AbstractDistribution, index: Array) -> tuple[Array, Array, Array]:
            z, own = component.sample_and_log_prob(key=jax.random.fold_in(row_key, index))
            z = path_to(component, z)
            decoder_key = jax.random.fold_in(network_key, index)
            likelihood = model.likelihood(z, cond=cond, key=decoder_key)
            assert isinstance(likelihood, Product | Joined)
            by_part = likelihood.log_prob_by_part(x, mask)
            log_prior = prior.log_prob(z)
            log_posterior = posterior.log_prob(z) if mixed else own
            return jnp.stack([by_part[n] for n in experts.names]), log_posterior - log_prior, own - log_prior

        def one_component(component: AbstractDistribution, number: Array) -> tuple[Array, Array, Array]:
            index = number * num_samples + jnp.arange(num_samples)
            log_likelihood, log_ratio, own = jax.vmap(lambda i: one_sample(component, i))(index)
            closed = has_closed_form(component, prior)
            return log_likelihood, log_ratio, jnp.sum(kl_terms(component, prior)) if closed else jnp.mean(own)

        found = jax.vmap(one_component)(components, jnp.arange(share.size))
        return _ByComponent(share, *found)

    return jax.vmap(one_row)(batch.x, batch.row_id, batch.cond, batch.mask, chosen)


def _metrics(draws: _ByComponent, batch: Batch) -> Metrics:
    """`elbo`, `log_likelihood` and `kl`, of all that is observed."""
    log_likelihood, kl = jnp.sum(draws.likelihoods(), axis=1), draws.kl()
    return {
        "elbo": weighted(log_likelihood - kl, batch),
        "log_likelihood": weighted(log_likelihood, batch),
        "kl": weighted(kl, batch),
    }


def _at(beta: float | Callable[[Array], Array], step: Step) -> Any:
    return beta(step) if callable(beta) else beta


class StratifiedELBO(AbstractObjective):
    r"""The ELBO of a mixture posterior, in which every component is sampled instead of one.

    No component is chosen at random, so that the gradient is that of smooth functions alone. With the mixture
    $\sum_c w_c q_c$ the bound is one of three: "elbo": $\sum_c w_c\,E_{q_c}[\log p(x, z) - \log q(z \mid x)]$, the ELBO
    of the mixture itself; "components": $\sum_c w_c\,(E_{q_c}[\log p(x \mid z)] - \mathrm{KL}(q_c \| p))$, below it as
    the KL is convex; "iwae": $\sum_c w_c\,E[\log \frac1K \sum_k p(x, z_k)/q(z_k \mid x)]$ with all $z_k \sim q_c$,
    between the first and $\log p(x)$ by Jensen's inequality. Minus the bound is minimised, in nats for each row, with
    the KL counted `beta` times. The metrics are `elbo` of the mixture, with its parts, and the bound itself as `bound`,
    all at beta 1. A posterior that is no mixture is one of one component.

    Args:
        bound: "elbo", "components" or "iwae".
        num_samples: K, samples of each component for each row.
        beta: Weight of the KL; a number or a schedule of the step.

    Raises:
        ConfigError: An option is out of range, or a model without an encoder for each modality.

    Source: Shi, Siddharth, Paige & Torr (2019), arXiv 1911.03393, section 3; "components": Sutter, Daunhawer & Vogt
    (2021), arXiv 2105.02470.
    """

    monitor: ClassVar[str] = "elbo"
    couples_rows = by_row

    bound: Literal["elbo", "components", "iwae"] = eqx.field(static=True, default="elbo")
    num_samples: Count = eqx.field(static=True, default=1)
    beta: Scheduled = eqx.field(static=True, default=1.0)

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        draws = _draws(model, batch, num_samples=self.num_samples, key=key)
        metrics = _metrics(draws, batch)
        metrics["bound"] = weighted(self._bound(draws, 1.0), batch)
        return -mean(weighted(self._bound(draws, _at(self.beta, step)), batch)), metrics

    def _bound(self, draws: _ByComponent, beta: float | Array) -> Float[Array, " B"]:
        if self.bound == "iwae":
            log_weight = jnp.sum(draws.log_likelihood, axis=3) - beta * draws.log_ratio
            each = jax.nn.logsumexp(log_weight, axis=2) - jnp.log(float(self.num_samples))
            return draws.average(each)
        divergence = draws.average(draws.component_kl) if self.bound == "components" else draws.kl()
        return jnp.sum(draws.likelihoods(), axis=1) - beta * divergence


class SubsetELBO(AbstractObjective):
    r"""The sum of the ELBOs of all modalities, of each one alone, and of random subsets: each encoder works alone.

    $\mathcal L(x) + \sum_m \mathcal L(x_m) + \sum_j \mathcal L(x_{S_j})$ with
    $\mathcal L(x_S)=\sum_{m \in S} E_{q(z|x_S)}[\log p(x_m \mid z)]-\beta\,\mathrm{KL}(q(z \mid x_S) \| p)$,
    in nats for each row: minus this is minimised. The metrics are `elbo`, `log_likelihood` and `kl` of all that is
    observed (beta 1), and `unimodal_elbo`, the mean over modalities of $\mathcal L(x_m)$.

    Args:
        random_subsets: How many $S_j$ are drawn for each row and step, of 2 to M - 1 modalities (none where M is 2).
        num_samples: K, samples for each row and subset.
        beta: Weight of the KL; a number or a schedule of the step.

    Raises:
        ConfigError: An option is out of range, or a model without an encoder for each modality.

    Source: Wu & Goodman (2018), arXiv 1802.05335, equations 3 and 4.
    """

    monitor: ClassVar[str] = "elbo"
    couples_rows = by_row

    random_subsets: Annotated[int, Meta(ge=0)] = eqx.field(static=True, default=1)
    num_samples: Count = eqx.field(static=True, default=1)
    beta: Scheduled = eqx.field(static=True, default=1.0)

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        count, beta = len(_experts(model).names), _at(self.beta, step)

        def bounds(chosen: Bool[Array, "B M"]) -> tuple[Array, Array, Metrics]:
            draws = _draws(model, batch, num_samples=self.num_samples, key=key, chosen=chosen)
            log_likelihood, kl = jnp.sum(draws.likelihoods(), axis=1), draws.kl()
            return log_likelihood - beta * kl, log_likelihood - kl, _metrics(draws, batch)

        minimised, plain, by_term = jax.vmap(bounds)(self._terms(batch, count, key))
        metrics = {name: (sums[0], weight[0]) for name, (sums, weight) in by_term.items()}
        metrics["unimodal_elbo"] = weighted(jnp.mean(plain[1 : 1 + count], axis=0), batch)
        return -mean(weighted(jnp.sum(minimised, axis=0), batch)), metrics

    def _terms(self, batch: Batch, count: int, key: Key) -> Bool[Array, "T B M"]:
        """What each term shows of each row: all, each modality alone, then subsets drawn by the row's own key."""
        rows, between = batch.row_id.shape[0], jnp.asarray(subsets_of(count, range(2, count)))
        fixed = jnp.concatenate([jnp.ones((1, count), bool), jnp.eye(count, dtype=bool)])
        terms = jnp.broadcast_to(fixed[:, None], (count + 1, rows, count))
        if not len(between) or not self.random_subsets:
            return terms
        base = jax.random.fold_in(key, random_keys.RANDOM_SUBSETS)

        def drawn(row_id: AnyArray) -> Bool[Array, "J M"]:
            row_key = jax.random.fold_in(base, row_id)
            return between[jax.random.randint(row_key, (self.random_subsets,), 0, len(between))]

        return jnp.concatenate([terms, jnp.moveaxis(jax.vmap(drawn)(batch.row_id), 1, 0)])
