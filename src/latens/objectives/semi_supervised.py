"""The objective for labels that are latent where they are missing."""

import dataclasses
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.data.dataset import Batch
from latens.errors import ConfigError
from latens.io import random_keys
from latens.models import AbstractLatentModel, SemiSupervised
from latens.models.semi_supervised import with_label
from latens.objectives.base import KL, AbstractObjective, Loss, evidence, mean, weighted
from latens.typing import AnyArray, Array, Cond, Count, Float, Key, Mask, PyTree, Step, Weight


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
