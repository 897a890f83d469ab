"""Which class or cluster a row belongs to: probabilities from a model, and how well clusters meet given classes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from latens.data.dataset import Batch
from latens.errors import UsageError
from latens.evidence.batched import ModelRows, map_rows
from latens.evidence.estimate import shares
from latens.io.compilation import counted
from latens.models import AbstractLatentModel, MixturePrior, SemiSupervised
from latens.typing import AnyArray, Array, Cond, Key, Mask, PyTree


def predicts_labels(model: AbstractLatentModel) -> bool:
    r"""Whether a model has a $q(y \mid x)$: M2, and M2 on the codes of another."""
    return callable(getattr(model, "label_logits", None))


def _label_probabilities(model: SemiSupervised, batch: Batch, key: Key) -> Array:
    logits = jax.vmap(lambda x, cond, mask: model.label_logits(x, cond=cond, mask=mask))
    return jax.nn.softmax(logits(batch.x, batch.cond, batch.mask), axis=-1)


def label_probabilities(rows: ModelRows) -> np.ndarray:
    r"""The probability of each class for each row, of a model that predicts labels.

    $q(y \mid x)$.

    Args:
        rows: The model and the stored rows, B of them.

    Returns:
        The probabilities, shape (B, C).
    """
    return map_rows(_label_probabilities, rows)


def has_clusters(model: AbstractLatentModel) -> bool:
    """Whether the prior is a trained mixture, whose components are clusters of latents."""
    return isinstance(getattr(model, "prior_part", None), MixturePrior)


def _cluster_probabilities(model: Any, batch: Batch, key: Key, num_samples: int) -> Array:
    def one_row(x: PyTree, row_id: AnyArray, cond: Cond, mask: Mask) -> Array:
        posterior, prior = model.posterior(x, cond=cond, mask=mask), model.prior(cond=cond)
        row_key = jax.random.fold_in(key, row_id)

        def one(index: Array) -> Array:
            return jnp.exp(prior.log_responsibilities(posterior.sample(key=jax.random.fold_in(row_key, index))))

        return jnp.mean(jax.vmap(one)(jnp.arange(num_samples)), axis=0)

    return jax.vmap(one_row)(batch.x, batch.row_id, batch.cond, batch.mask)


@counted(num_samples=1)
def cluster_probabilities(rows: ModelRows, *, num_samples: int = 16) -> np.ndarray:
    r"""The probability of each cluster for each row, under a mixture prior.

    $E_{q(z|x)}[p(c \mid z)]$ by K samples.

    Args:
        rows: The model and the stored rows, B of them.
        num_samples: Number of posterior samples for each row.

    Returns:
        The probabilities, shape (B, C).

    Source: Jiang et al. (2017), arXiv 1611.05148, equation 16.
    """
    function = Partial(_cluster_probabilities, num_samples=num_samples)
    return map_rows(function, rows)


def matched(label: np.ndarray, cluster: np.ndarray, *, weight: np.ndarray | None = None) -> np.ndarray:
    """Whether each row's cluster is the one matched to its label, under the best one-to-one matching (Hungarian).

    The mean is the clustering accuracy. Clusters beyond the number of classes match nothing, and so do classes beyond
    the number of clusters.

    Args:
        label: Whole numbers from 0 on, shape (n,).
        cluster: Whole numbers from 0 on, shape (n,).
        weight: Weights of the rows, shape (n,).

    Returns:
        Booleans of shape (n,).
    """
    from scipy.optimize import linear_sum_assignment

    table = _table(label, cluster, weight)
    rows, columns = linear_sum_assignment(table, maximize=True)
    partner = np.full(table.shape[1], -1)
    partner[columns] = rows
    return partner[cluster] == label


def _table(label: np.ndarray, cluster: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """The share of the rows that have each label and cluster, of shape (labels, clusters)."""
    label, cluster = np.asarray(label), np.asarray(cluster)
    if label.shape != cluster.shape or label.ndim != 1 or not len(label) or min(label.min(), cluster.min()) < 0:
        raise UsageError(f"labels {label.shape} and clusters {cluster.shape} need the same rows, numbered from 0 on.")
    table = np.zeros((int(label.max()) + 1, int(cluster.max()) + 1))
    np.add.at(table, (label, cluster), shares(weight, len(label)))
    return table
