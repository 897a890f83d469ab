"""A classifier that can also sample: one Gaussian, or one mixture of Gaussians, for every class."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.typing import AnyArray, Array, Float, Int, Key, Nats, Shaped


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
