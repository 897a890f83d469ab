"""Models with labels: a prior or a Gaussian for each class, and a label that is latent where it is missing (M2)."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.distributions import AbstractDistribution, Categorical, DiagonalNormal
from latens.errors import ConfigError
from latens.models.base import AbstractLatentModel
from latens.models.conditional import LatentModel
from latens.trainable import Frozen
from latens.typing import AnyArray, Array, Cond, Float, Int, Key, Mask, Nats, PyTree, Shaped

LABEL = "label"
"""The condition that holds a label, as a one-hot vector."""

_NEVER = -1e30  # the log odds of a class that is not meant; -inf would make a NaN of 0 times it


def with_label(cond: Cond, label: Float[Array, "... C"]) -> dict[str, Any]:
    """The conditions with a label among them."""
    return {**(cond or {}), LABEL: label}


class ClassPrior(eqx.Module):
    r"""A diagonal Normal prior for each class, which reads the condition `label`.

    $p(z \mid y) = N(z; \mu_y, \sigma_y^2)$ with a trained mean and scale for each class; the label is a one-hot vector
    (C,).

    Args:
        loc: The means, of shape (C, *z).
        log_scale: The logarithms of the standard deviations, of shape (C, *z).
    """

    loc: Float[Array, " C *z"]
    log_scale: Float[Array, " C *z"]

    @classmethod
    def create(cls, classes: int, latent: tuple[int, ...]) -> "ClassPrior":
        """Start at standard Normals: the encoder, which reads the label too, moves them apart.

        Args:
            classes: The number C of classes.
            latent: The shape of one latent.

        Returns:
            The prior.
        """
        return cls(jnp.zeros((classes, *latent)), jnp.zeros((classes, *latent)))

    def __call__(self, *, cond: Cond = None, key: Key | None = None) -> DiagonalNormal:
        """The prior of the class that the condition `label` says."""
        if cond is None or LABEL not in cond:
            raise ConfigError("the prior reads the condition 'label', which was not given", where="cond")
        label = jnp.asarray(cond[LABEL], self.loc.dtype)
        return DiagonalNormal(jnp.tensordot(label, self.loc, axes=1), jnp.tensordot(label, self.log_scale, axes=1))


class LabelAndCode(AbstractDistribution[tuple[Array, Array]]):
    r"""A distribution of a label together with a latent; an event is (y, z).

    $p(y)\,p(z \mid y)$ with y a one-hot vector, which a decoder reads as it is. The mean is $(p, \sum_y p_y E[z \mid
    y])$, of the same shapes. Samples have no gradient by the logits.

    Args:
        logits: The logits of y, any real numbers, of shape (C,).
        code: Maps a label to the distribution of z.
    """

    has_path: ClassVar[bool] = False

    logits: Float[Array, " C"]
    code: Callable[[Array], AbstractDistribution]

    def sample(self, *, key: Key) -> tuple[Array, Array]:
        """Draw a label, then a latent given it."""
        return self.sample_and_log_prob(key=key)[0]

    def sample_and_log_prob(self, *, key: Key) -> tuple[tuple[Array, Array], Nats]:
        """Draw a label and a latent with their log density in nats."""
        label_key, code_key = jax.random.split(key)
        chosen = jax.random.categorical(label_key, self.logits)
        label = jax.nn.one_hot(chosen, self.logits.size, dtype=self.logits.dtype)
        code, density = self.code(label).sample_and_log_prob(key=code_key)
        return (label, code), self._label_log_prob(label) + density

    def log_prob(self, event: tuple[Array, Array]) -> Nats:
        """The log density of a label and a latent, in nats."""
        label, code = event
        return self._label_log_prob(label) + self.code(label).log_prob(code)

    def _label_log_prob(self, label: Float[Array, " C"]) -> Nats:
        return jnp.sum(label * jax.nn.log_softmax(self.logits))

    def mean(self) -> tuple[Array, Array]:
        """The probabilities of the labels, and the mean latent over them."""
        probability = jax.nn.softmax(self.logits)
        given: Any = jax.vmap(lambda label: self.code(label).mean())  # pyright: ignore[reportAttributeAccessIssue]
        codes = given(jnp.eye(self.logits.size, dtype=self.logits.dtype))
        return probability, jnp.tensordot(probability, codes, axes=1)


class PriorOfLabel(eqx.Module):
    r"""The prior of a model as a function of the label."""

    # $p(z \mid y)$.

    model: LatentModel  # the model whose prior reads the label
    cond: Cond  # further named arrays that it is conditioned on, or None
    key: Key | None  # a JAX random key for dropout, or None

    def __call__(self, label: Float[Array, " C"]) -> AbstractDistribution:
        """The prior given a label."""
        return self.model.prior(cond=with_label(self.cond, label), key=self.key)


class PosteriorOfLabel(eqx.Module):
    r"""The posterior of a model for one row as a function of the label."""

    # $q(z \mid x, y)$.

    model: LatentModel  # the model whose encoder reads the label
    x: PyTree
    cond: Cond  # further named arrays that it is conditioned on, or None
    mask: Mask  # true where x is observed, or None
    key: Key | None  # a JAX random key for dropout, or None

    def __call__(self, label: Float[Array, " C"]) -> AbstractDistribution:
        """The posterior given a label."""
        return self.model.posterior(self.x, cond=with_label(self.cond, label), mask=self.mask, key=self.key)


class SemiSupervised(AbstractLatentModel):
    r"""A model whose label is a latent where it is missing (M2); the latent of a row is (y, z).

    $p(y)\,p(z)\,p(x \mid y, z)$ with $q(y \mid x)\,q(z \mid x, y)$. A condition `label` makes p(y) certain: the prior,
    and what is sampled, is then that of one class.

    Args:
        conditional: A model whose parts read the condition `label`.
        classifier: Maps x to a Categorical with C levels.
        class_logits: The logits of p(y), of shape (C,); a `Frozen` array is fixed.

    Source: Kingma, Rezende, Mohamed & Welling (2014), arXiv 1406.5298, model M2.
    """

    conditional: LatentModel
    classifier: Callable[..., AbstractDistribution]
    class_logits: Float[Array, " C"] | Frozen

    @property
    def class_log_prior(self) -> Float[Array, " C"]:
        """The log probability of each class, of shape (C,), in nats."""
        logits = self.class_logits
        return jax.nn.log_softmax(logits.value if isinstance(logits, Frozen) else logits)

    def label_logits(
        self, x: PyTree, *, cond: Cond = None, mask: Mask = None, key: Key | None = None
    ) -> Float[Array, " C"]:
        r"""The logits of the label's posterior, by the classifier.

        $q(y \mid x)$.

        Args:
            x: One row.
            cond: Named arrays that the classifier is conditioned on.
            mask: True where x is observed; None: everywhere.
            key: A JAX random key for dropout; None: no dropout.

        Returns:
            Shape (C,).
        """
        found = self.classifier(x, cond=cond, mask=mask, key=key)
        assert isinstance(found, Categorical)
        return found.logits.reshape(-1)

    def prior(self, *, cond: Cond = None, key: Key | None = None) -> LabelAndCode:
        """The prior of label and latent; certain about the label where it is a condition."""
        logits = self.class_log_prior
        if cond is not None and LABEL in cond:
            logits = jnp.where(jnp.asarray(cond[LABEL]) > 0, 0.0, jnp.asarray(_NEVER, logits.dtype))
        return LabelAndCode(logits, PriorOfLabel(self.conditional, cond, key))

    def posterior(self, x: PyTree, *, cond: Cond = None, mask: Mask = None, key: Key | None = None) -> LabelAndCode:
        """The posterior of label and latent for one row."""
        logits = self.label_logits(x, cond=cond, mask=mask, key=key)
        return LabelAndCode(logits, PosteriorOfLabel(self.conditional, x, cond, mask, key))

    def likelihood(self, z: PyTree, *, cond: Cond = None, key: Key | None = None) -> AbstractDistribution:
        """The distribution of a row, given its label and latent."""
        label, code = z
        return self.conditional.likelihood(code, cond=with_label(cond, label), key=key)


class BayesClassifier(eqx.Module):
    r"""A generative classifier: one Gaussian, or one mixture of Gaussians, for every class.

    $p(x, c) = p(c) \sum_m w_{cm}\, N(x; \mu_{cm}, L_{cm} L_{cm}^T)$: Bayes' rule turns it into a classifier. Events are
    flattened to D numbers. Methods take one event; `jax.vmap` makes batches.

    Args:
        log_prior: $\log p(c)$, of shape (C,), in nats.
        log_weight: $\log w_{cm}$, of shape (C, M), in nats; the weights of each class sum to 1 (M = 1: one Gaussian for
            each class).
        mean: The means $\mu_{cm}$, of shape (C, M, D).
        cholesky: The lower triangular factors $L_{cm}$, of shape (C, M, D, D).
        shape: The shape of one event.

    Examples:
        >>> model = BayesClassifier(jnp.log(jnp.array([0.5, 0.5])), jnp.zeros((2, 1)),
        ...                         jnp.array([[[-1.0]], [[1.0]]]), jnp.ones((2, 1, 1, 1)), (1,))
        >>> model.predict_proba(jnp.array([0.0])).tolist()
        [0.5, 0.5]

    Source: Bishop, *Pattern Recognition and Machine Learning* (2006), sections 1.5.4, 4.2 and 9.2.
    """

    log_prior: Float[AnyArray, " C"]
    log_weight: Float[AnyArray, "C M"]
    mean: Float[AnyArray, "C M D"]
    cholesky: Float[AnyArray, "C M D D"]
    shape: tuple[int, ...] = eqx.field(static=True)

    @property
    def num_classes(self) -> int:
        """How many classes C there are."""
        return self.log_weight.shape[0]

    @property
    def num_components(self) -> int:
        """How many components M each class has."""
        return self.log_weight.shape[1]

    def component_log_joint(self, x: Shaped[Array, "*x"]) -> Float[Array, "C M"]:
        r"""The log density of one event together with each class and component, with every constant.

        $\log p(c) + \log w_{cm} + \log N(x; \mu_{cm}, L_{cm} L_{cm}^T)$.

        Args:
            x: One event of shape (*x).

        Returns:
            Shape (C, M), in nats.
        """
        event = jnp.asarray(x).reshape(-1).astype(jnp.float32)

        def one(of: tuple[Float[Array, " D"], Float[Array, "D D"]]) -> Nats:
            mean, cholesky = of
            noise = jax.scipy.linalg.solve_triangular(cholesky, event - mean, lower=True)
            log_scale = jnp.sum(jnp.log(jnp.diagonal(cholesky)))
            return -0.5 * jnp.sum(noise**2) - log_scale - 0.5 * event.size * math.log(2.0 * math.pi)

        # One component at a time: at once, the residuals of a batch need C M times the memory; and a triangular system
        # with one factor, for all rows that `vmap` adds, is a call of LAPACK that waits for no thread but its own.
        flat = (
            jnp.asarray(self.mean).reshape(-1, event.size),
            jnp.asarray(self.cholesky).reshape(-1, event.size, event.size),
        )
        log_density = jax.lax.map(one, flat).reshape(self.log_weight.shape)
        return jnp.asarray(self.log_prior)[:, None] + jnp.asarray(self.log_weight) + log_density

    def log_joint(self, x: Shaped[Array, "*x"]) -> Float[Array, " C"]:
        r"""The log density of one event together with each class.

        $\log p(x, c)$.

        Args:
            x: One event of shape (*x).

        Returns:
            Shape (C,), in nats.
        """
        return jax.nn.logsumexp(self.component_log_joint(x), axis=1)

    def log_marginal(self, x: Shaped[Array, "*x"]) -> Nats:
        r"""The log density of one event, exactly.

        $\log p(x) = \log \sum_c p(x, c)$.

        Args:
            x: One event of shape (*x).

        Returns:
            A number of shape (), in nats.
        """
        return jax.nn.logsumexp(self.log_joint(x))

    def predict_proba(self, x: Shaped[Array, "*x"]) -> Float[Array, " C"]:
        r"""The probability of each class, given one event.

        $p(c \mid x)$.

        Args:
            x: One event of shape (*x).

        Returns:
            Shape (C,), summing to 1.
        """
        return jax.nn.softmax(self.log_joint(x))

    def component_mean(self, label: int | Int[Array, ""], component: int | Int[Array, ""]) -> Float[Array, "*x"]:
        """The mean of one component, in the shape of an event.

        Args:
            label: The class, from 0.
            component: The component of that class, from 0.

        Returns:
            Shape (*x).
        """
        return jnp.asarray(self.mean)[label, component].reshape(self.shape)

    def sample(
        self, *, label: int | Int[Array, ""] | None = None, key: Key
    ) -> tuple[Float[Array, "*x"], Int[Array, ""], Int[Array, ""]]:
        """Draw one event of a class.

        Args:
            label: The class, from 0; None: a class drawn from the prior.
            key: A JAX random key.

        Returns:
            The event of shape (*x), its class and its component.
        """
        label_key, component_key, noise_key = jax.random.split(key, 3)
        drawn = jax.random.categorical(label_key, jnp.asarray(self.log_prior)) if label is None else jnp.asarray(label)
        component = jax.random.categorical(component_key, jnp.asarray(self.log_weight)[drawn])
        mean, cholesky = jnp.asarray(self.mean)[drawn, component], jnp.asarray(self.cholesky)[drawn, component]
        event = mean + cholesky @ jax.random.normal(noise_key, mean.shape)
        return event.reshape(self.shape), drawn, component
