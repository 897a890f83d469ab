"""The bound of model M2 on rows with and without a label, from bounds of labels that are given."""

from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from scipy import special
from tables import conjugate_pair

from latens.data.batches import Batch
from latens.models import SemiSupervised
from latens.objectives import semi_supervised
from latens.objectives.semi_supervised import SemiSupervisedELBO

RANDOM = np.random.default_rng(0)
LOG_LIKELIHOOD, KL = RANDOM.normal(size=(3, 4)), RANDOM.uniform(0.1, 2.0, (3, 4))
LOGITS, PRIOR = RANDOM.normal(size=(4, 3)), np.array([0.2, 0.5, 0.3])
WEIGHT = np.array([1.0, 2.0, 0.5, 3.0])


@pytest.mark.parametrize("label", [[0, 1, -1, 2], [-1, -1, -1, 0], None])
def test_rows_count_by_their_own_label_or_by_all(monkeypatch, label):
    """Rows have a first weight of their own label: which of the bounds is asked for is in the condition."""

    def evidence(model, batch, **options):
        one_hot = batch.cond["label"]
        own = lambda table: jnp.sum(one_hot * jnp.asarray(table.T, jnp.float32), axis=1)  # noqa: E731
        return SimpleNamespace(log_likelihood=own(LOG_LIKELIHOOD), kl=own(KL))

    monkeypatch.setattr(semi_supervised, "evidence", evidence)
    monkeypatch.setattr(semi_supervised, "_label_logits", lambda *given: jnp.asarray(LOGITS, jnp.float32))
    model = SemiSupervised(conjugate_pair(), eqx.nn.Identity(), jnp.log(jnp.asarray(PRIOR, jnp.float32)))
    batch = Batch(
        jnp.zeros((4, 1)),
        jnp.arange(4, dtype=jnp.uint32),
        label=None if label is None else jnp.asarray(label, jnp.int32),
        weight=jnp.asarray(WEIGHT, jnp.float32),
    )
    loss, metrics = SemiSupervisedELBO(alpha=0.7)(model, batch, key=jax.random.key(0), step=jnp.asarray(0))
    code = np.array([-1] * 4 if label is None else label)
    log_q = special.log_softmax(LOGITS, axis=1)
    bounds = (LOG_LIKELIHOOD - KL).T + np.log(PRIOR)
    unlabelled = np.sum(np.exp(log_q) * (bounds - log_q), axis=1)
    of_label = np.take_along_axis(bounds, np.maximum(code, 0)[:, None], axis=1)[:, 0]
    known = code >= 0
    own = np.take_along_axis(log_q, np.maximum(code, 0)[:, None], axis=1)[:, 0]
    close(metrics["elbo"][0], unlabelled @ WEIGHT)
    close(metrics["log_likelihood"][0], np.sum(np.exp(log_q) * LOG_LIKELIHOOD.T, axis=1) @ WEIGHT)
    close(metrics["label_log_likelihood"], [np.where(known, own, 0.0) @ WEIGHT, known @ WEIGHT])
    close(metrics["accuracy"][0], (known & (log_q.argmax(axis=1) == code)) @ WEIGHT)
    bound = np.average(np.where(known, of_label, unlabelled), weights=WEIGHT)
    said = np.average(own[known], weights=WEIGHT[known]) if known.any() else 0.0
    close(loss, -bound - 0.7 * said)
