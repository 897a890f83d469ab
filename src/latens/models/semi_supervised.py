"""Models with labels: a prior for each class, a label that is a latent where it is missing (M2), and M2 on codes."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.distributions import AbstractDistribution, Categorical, DiagonalNormal
from latens.distributions.chain import Chain
from latens.errors import ConfigError
from latens.models.base import AbstractLatentModel
from latens.models.flat import LatentModel
from latens.trees import Frozen
from latens.typing import Array, Float, Key, Nats

LABEL = "label"
"""The condition that holds a label, as a one-hot vector."""

_NEVER = -1e30  # the log odds of a class that is not meant; -inf would make a NaN of 0 times it


def with_label(cond: dict[str, Any] | None, label: Float[Array, "... C"]) -> dict[str, Any]:
    """The conditions with this label (or those of many rows) among them."""
    return {**(cond or {}), LABEL: label}


class ClassPrior(eqx.Module):
    r"""$p(z \mid y) = N(z; \mu_y, \sigma_y^2)$ with a trained mean and scale for each class.

    **Arguments:** `loc` and `log_scale`, led by classes. Reads the condition `label`, a one-hot vector (C,).
    """

    loc: Float[Array, "C *z"]
    log_scale: Float[Array, "C *z"]

    @classmethod
    def create(cls, classes: int, latent: tuple[int, ...]) -> "ClassPrior":
        """Standard Normals: the encoder, which reads the label too, moves them apart."""
        return cls(jnp.zeros((classes, *latent)), jnp.zeros((classes, *latent)))

    def __call__(self, *, cond: dict[str, Any] | None = None, key: Key | None = None) -> DiagonalNormal:
        if cond is None or LABEL not in cond:
            raise ConfigError("the prior reads the condition 'label', which was not given", where="cond")
        label = jnp.asarray(cond[LABEL], self.loc.dtype)
        return DiagonalNormal(jnp.tensordot(label, self.loc, axes=1), jnp.tensordot(label, self.log_scale, axes=1))


class LabelAndCode(AbstractDistribution[tuple[Array, Array]]):
    r"""$p(y)\,p(z \mid y)$: an event is (y, z) with y a one-hot vector, which a decoder reads as it is.

    **Arguments:** `logits` (C,) of y, any real numbers; `code` maps a label to the distribution of z. The mean is
    $(p, \sum_y p_y E[z \mid y])$, of the same shapes. Samples have no gradient by the logits.
    """

    logits: Float[Array, " C"]
    code: Callable[[Array], AbstractDistribution]

    def sample(self, *, key: Key) -> tuple[Array, Array]:
        return self.sample_and_log_prob(key=key)[0]

    def sample_and_log_prob(self, *, key: Key) -> tuple[tuple[Array, Array], Nats]:
        label_key, code_key = jax.random.split(key)
        chosen = jax.random.categorical(label_key, self.logits)
        label = jax.nn.one_hot(chosen, self.logits.size, dtype=self.logits.dtype)
        code, density = self.code(label).sample_and_log_prob(key=code_key)
        return (label, code), self._label_log_prob(label) + density

    def log_prob(self, event: tuple[Array, Array]) -> Nats:
        label, code = event
        return self._label_log_prob(label) + self.code(label).log_prob(code)

    def _label_log_prob(self, label: Float[Array, " C"]) -> Nats:
        return jnp.sum(label * jax.nn.log_softmax(self.logits))

    def mean(self) -> tuple[Array, Array]:
        probability = jax.nn.softmax(self.logits)
        given: Any = jax.vmap(lambda label: self.code(label).mean())  # pyright: ignore[reportAttributeAccessIssue]
        codes = given(jnp.eye(self.logits.size, dtype=self.logits.dtype))
        return probability, jnp.tensordot(probability, codes, axes=1)


class PriorOfLabel(eqx.Module):
    """$p(z \\mid y)$ of a model, as a function of the label."""

    model: LatentModel
    cond: dict[str, Any] | None
    key: Key | None

    def __call__(self, label: Float[Array, " C"]) -> AbstractDistribution:
        return self.model.prior(cond=with_label(self.cond, label), key=self.key)


class PosteriorOfLabel(eqx.Module):
    """$q(z \\mid x, y)$ of a model for one row, as a function of the label."""

    model: LatentModel
    x: Any
    cond: dict[str, Any] | None
    mask: Any
    key: Key | None

    def __call__(self, label: Float[Array, " C"]) -> AbstractDistribution:
        return self.model.posterior(self.x, cond=with_label(self.cond, label), mask=self.mask, key=self.key)


class SemiSupervised(AbstractLatentModel):
    r"""M2: $p(y)\,p(z)\,p(x \mid y, z)$ with $q(y \mid x)\,q(z \mid x, y)$; the latent of a row is (y, z).

    **Arguments:** `conditional`, a model whose parts read the condition `label`; `classifier` maps x to a Categorical
    with C levels; `class_logits` of p(y), of shape (C,), a `Frozen` array is fixed.
    A condition `label` makes p(y) certain: the prior, and what is sampled, is then that of one class.
    Kingma, Rezende, Mohamed & Welling (2014), arXiv 1406.5298, model M2.
    """

    conditional: LatentModel
    classifier: Callable[..., AbstractDistribution]
    class_logits: Float[Array, " C"] | Frozen

    @property
    def class_log_prior(self) -> Float[Array, " C"]:
        r"""$\log p(y)$ in nats."""
        logits = self.class_logits
        return jax.nn.log_softmax(logits.value if isinstance(logits, Frozen) else logits)

    def label_logits(
        self, x: Any, *, cond: dict[str, Any] | None = None, mask: Any = None, key: Key | None = None
    ) -> Float[Array, " C"]:
        r"""The logits of $q(y \mid x)$."""
        found = self.classifier(x, cond=cond, mask=mask, key=key)
        assert isinstance(found, Categorical)
        return found.logits.reshape(-1)

    def prior(self, *, cond: dict[str, Any] | None = None, key: Key | None = None) -> LabelAndCode:
        logits = self.class_log_prior
        if cond is not None and LABEL in cond:
            logits = jnp.where(jnp.asarray(cond[LABEL]) > 0, 0.0, jnp.asarray(_NEVER, logits.dtype))
        return LabelAndCode(logits, PriorOfLabel(self.conditional, cond, key))

    def posterior(
        self, x: Any, *, cond: dict[str, Any] | None = None, mask: Any = None, key: Key | None = None
    ) -> LabelAndCode:
        logits = self.label_logits(x, cond=cond, mask=mask, key=key)
        return LabelAndCode(logits, PosteriorOfLabel(self.conditional, x, cond, mask, key))

    def likelihood(self, z: Any, *, cond: dict[str, Any] | None = None, key: Key | None = None) -> AbstractDistribution:
        label, code = z
        return self.conditional.likelihood(code, cond=with_label(cond, label), key=key)


class Stacked(AbstractLatentModel):
    r"""A model of the codes of another: $p(u)\,p(z \mid u)\,p(x \mid z)$ with $q(z \mid x)\,q(u \mid z)$.

    The latent of a row is (z, u): `lower` gives $q(z \mid x)$ and $p(x \mid z)$, `upper` all the rest, with z in the
    place of its rows. Either may be in a `Frozen`, while the other is trained. M1+M2 of Kingma et al. (2014) has a
    plain model below and a `SemiSupervised` one above.
    """

    lower: AbstractLatentModel | Frozen
    upper: AbstractLatentModel | Frozen

    @property
    def parts(self) -> tuple[Any, Any]:
        """(lower, upper), frozen or not."""
        lower, upper = (part.value if isinstance(part, Frozen) else part for part in (self.lower, self.upper))
        return lower, upper

    def label_logits(
        self, x: Any, *, cond: dict[str, Any] | None = None, mask: Any = None, key: Key | None = None
    ) -> Float[Array, " C"]:
        r"""The logits of $q(y \mid z)$ at the mean of $q(z \mid x)$."""
        lower, upper = self.parts
        return upper.label_logits(lower.posterior(x, cond=cond, mask=mask, key=key).mean(), key=key)

    def prior(self, *, cond: dict[str, Any] | None = None, key: Key | None = None) -> Chain:
        upper = self.parts[1]
        return Chain(upper.prior(cond=cond, key=key), (eqx.Partial(upper.likelihood, key=key),), backwards=True)

    def posterior(
        self, x: Any, *, cond: dict[str, Any] | None = None, mask: Any = None, key: Key | None = None
    ) -> Chain:
        lower, upper = self.parts
        return Chain(lower.posterior(x, cond=cond, mask=mask, key=key), (eqx.Partial(upper.posterior, key=key),))

    def likelihood(self, z: Any, *, cond: dict[str, Any] | None = None, key: Key | None = None) -> AbstractDistribution:
        return self.parts[0].likelihood(z[0], cond=cond, key=key)
