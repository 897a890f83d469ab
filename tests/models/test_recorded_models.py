"""Heads, priors and posteriors on one input each: as recorded."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from quantised_fixtures import BOOKS, GROUPS, uneven, vectors
from records import meets_record
from tables_heads import LIKELIHOOD_HEADS, POSTERIOR_HEADS

from latens.models import (
    AffineHead,
    BernoulliHead,
    CategoricalHead,
    ContinuousBernoulliHead,
    NormalHead,
    ScalarQuantiser,
)
from latens.models.base import as_code, mean_code
from latens.models.heads.pixel_heads import PixelHead

KEY = jax.random.key(0)
MEAN, VARIANCE = np.array([0.3, 0.5, 0.6]), np.array([0.1, 0.2, 0.15])
MORE_HEADS = {
    "BernoulliHead": lambda: BernoulliHead((3,)),
    "ContinuousBernoulliHead": lambda: ContinuousBernoulliHead((3,)),
    "CategoricalHead": lambda: CategoricalHead((3,), 4),
    "NormalHead, softplus": lambda: NormalHead((3,), "softplus"),
    "AffineHead": lambda: AffineHead(NormalHead((3,), "softplus"), MEAN, np.sqrt(VARIANCE)),
}


def outputs_of(head):
    return 0.7 * jnp.sin(1.0 + jnp.arange(head.num_outputs))


def test_heads_give_the_recorded_distributions():
    heads = {name: make() for name, make in {**LIKELIHOOD_HEADS, **POSTERIOR_HEADS, **MORE_HEADS}.items()}
    heads |= {f"PixelHead of {n} channels": PixelHead((1, 1, n), 16, 2) for n in (1, 3)}
    sizes = {name: (head.num_outputs, head(outputs_of(head))) for name, head in heads.items()}
    for name, (size, one) in sizes.items():
        arrays = [leaf for leaf in jax.tree.leaves(one) if eqx.is_array(leaf)]
        meets_record(f"head {name}", [np.array(size), *arrays])


def test_heads_start_where_they_were_recorded():
    frequencies = np.tile([0.4, 0.3, 0.2, 0.1], (3, 1))
    for name, make in {**LIKELIHOOD_HEADS, **MORE_HEADS}.items():
        of = frequencies if name == "CategoricalHead" else None
        for spread in (VARIANCE, None):
            started, bias = make().started(MEAN, of, spread)
            arrays = [leaf for leaf in jax.tree.leaves(started) if eqx.is_array(leaf)]
            meets_record(f"start of {name}, variance {spread is not None}", [bias, *arrays])
        meets_record(f"bias of {name}", make().output_bias(MEAN, of))
    for channels in (1, 3):
        bias = PixelHead((1, 1, channels), 16, 2).started(np.full((1, 1, channels), 7.0), None, None)[1]
        meets_record(f"start of pixels, {channels}", bias)


def test_codes_are_the_recorded_ones():
    averaged = vectors(BOOKS, True, np.full((2, 5), 0.5), decay=0.8, reset_below=0.9)
    kinds = (vectors(BOOKS), ScalarQuantiser((5, 4, 3)), averaged)
    assert [(one.trained, one.moves) for one in kinds] == [(True, False), (False, False), (False, True)]
    groups = jnp.asarray(GROUPS, jnp.float32)
    weights = jnp.asarray(np.arange(len(GROUPS)) % 3, jnp.float32)

    def every():
        found = {}
        for name, one in (("books", vectors(BOOKS)), ("scalars", ScalarQuantiser((5, 4, 3)))):
            met = one(groups)
            found[name] = met.inputs, met.chosen, met.codes, one.decode(met.codes), one.num_codes
            if name != "scalars":
                found[name] += (one.books,)
        met = averaged(groups)
        moved = averaged.moved(met.inputs, met.codes, weights, key=KEY)
        found["averages"] = moved.books, moved.counts.value
        codes = uneven()
        event, cold = codes.sample(key=KEY), codes.sample_at(0.5, key=KEY)
        found["transformer"] = event, codes.log_prob(event), codes.codes(event), cold, codes._logits(codes.codes(event))
        return found

    for name, tree in jax.jit(every)().items():
        meets_record(f"codes {name}", tree)


def test_latents_are_flat_arrays_as_recorded():
    def every():
        found = {}
        for name in ("ConcreteHead", "VonMisesFisherHead"):
            head = POSTERIOR_HEADS[name]()
            q = head(outputs_of(head))
            found[name] = as_code(q, q.sample(key=KEY)), mean_code(q)
        return found

    for name, tree in jax.jit(every)().items():
        meets_record(f"array of {name}", tree)
