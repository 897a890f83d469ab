"""The closed form of each kind of data as the start of its model: fitted to the training rows before the first step."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from latens.data import Dataset
from latens.data.dataset import training_rows
from latens.evaluation.evidence.tree import MOST_ROWS, fit_tree
from latens.models import Conditional, LatentModel, MixturePrior, NormalHead, constant_at_first
from latens.models.heads.tree import TreeHead


def started_from(model: LatentModel, data: Dataset) -> LatentModel:
    """The model begun at the closed form of its data, where its parts can hold one."""
    decoder: Any = model.decoder
    if isinstance(getattr(decoder, "head", None), TreeHead):
        x, mask, weight = training_rows(data, MOST_ROWS)
        made = fit_tree(x, mask, data.schema.types or (), weight=weight)
        head = decoder.head.with_tree(made.parents, made.order, made.log_ratios)
        started = without_outputs(eqx.tree_at(lambda d: d.head, decoder, head))
        model = eqx.tree_at(lambda m: m.decoder, model, started)
    return model


def without_outputs(part: Any) -> Any:
    """The part with last weights of 0, where its network has any: it gives what its head makes of its last bias."""
    if len(getattr(part.network, "layers", ())) == 1:
        return constant_at_first(part)
    times = getattr(part.network, "with_output_weights_times", None)
    return part if times is None else eqx.tree_at(lambda p: p.network, part, times(0.0))


def tree_alone(model: Any) -> LatentModel | None:
    """The tree that a model began with, as a model of the same parts: the latent tilts nothing, and q(z|x) is p(z)."""
    # None where the parts cannot say it. With equal components the mixture is a Normal, so that one draw is exact.
    if not isinstance(model, LatentModel) or not isinstance(model.prior_part, MixturePrior) or model.missingness:
        return None
    decoder, encoder, prior = model.decoder, model.encoder, model.prior_part
    parts = isinstance(decoder, Conditional) and isinstance(encoder, Conditional)
    if not parts or not isinstance(decoder.head, TreeHead) or not isinstance(encoder.head, NormalHead):
        return None
    plain = eqx.tree_at(lambda d: d.head.more, decoder, jnp.zeros_like(decoder.head.more))
    plain = without_outputs(plain.with_output_bias(np.zeros(plain.head.shape)))
    zeros = np.zeros(encoder.head.shape)
    same = without_outputs(encoder.with_output_bias(zeros, None, zeros + 1.0))
    normal = eqx.tree_at(lambda p: (p.logits, p.loc, p.log_scale), prior, replace_fn=jnp.zeros_like)
    return LatentModel(normal, same, plain, model.missingness)
