"""A classifier that can also sample: one Gaussian, or one mixture of Gaussians, for every class."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.typing import AnyArray, Array, Float, Int, Key, Nats, Shaped


class BayesClassifier(eqx.Module):
    r"""$p(x, c) = p(c) \sum_m w_{cm}\, N(x; \mu_{cm}, L_{cm} L_{cm}^T)$: Bayes' rule turns it into a classifier.

    **Arguments:** `log_prior` $\log p(c)$ of C classes; `log_weight` $\log w_{cm}$ of M components a class, each
    class summing to 1 (M = 1: one Gaussian a class); `mean` and lower `cholesky` factors on events flattened to D
    numbers; `shape` of one event. Methods take one event; `jax.vmap` makes batches.
    Bishop, *Pattern Recognition and Machine Learning* (2006), sections 1.5.4, 4.2 and 9.2.

    >>> model = BayesClassifier(jnp.log(jnp.array([0.5, 0.5])), jnp.zeros((2, 1)),
    ...                         jnp.array([[[-1.0]], [[1.0]]]), jnp.ones((2, 1, 1, 1)), (1,))
    >>> model.predict_proba(jnp.array([0.0])).tolist()
    [0.5, 0.5]
    """

    log_prior: Float[AnyArray, " C"]
    log_weight: Float[AnyArray, "C M"]
    mean: Float[AnyArray, "C M D"]
    cholesky: Float[AnyArray, "C M D D"]
    shape: tuple[int, ...] = eqx.field(static=True)

    @property
    def num_classes(self) -> int:
        return self.log_weight.shape[0]

    @property
    def num_components(self) -> int:
        return self.log_weight.shape[1]

    def component_log_joint(self, x: Shaped[Array, "*x"]) -> Float[Array, "C M"]:
        r"""$\log p(c) + \log w_{cm} + \log N(x; \mu_{cm}, L_{cm} L_{cm}^T)$ in nats, with every constant."""
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
        r"""$\log p(x, c)$ for every class, in nats."""
        return jax.nn.logsumexp(self.component_log_joint(x), axis=1)

    def log_marginal(self, x: Shaped[Array, "*x"]) -> Nats:
        r"""$\log p(x) = \log \sum_c p(x, c)$, in nats; exact."""
        return jax.nn.logsumexp(self.log_joint(x))

    def predict_proba(self, x: Shaped[Array, "*x"]) -> Float[Array, " C"]:
        r"""$p(c \mid x)$."""
        return jax.nn.softmax(self.log_joint(x))

    def responsibilities(self, x: Shaped[Array, "*x"], label: int | Int[Array, ""]) -> Float[Array, " M"]:
        r"""$p(m \mid x, c)$: which component of the class `label` explains the event."""
        return jax.nn.softmax(self.component_log_joint(x)[label])

    def effective_components(self) -> Float[Array, " C"]:
        r"""$\exp(-\sum_m w_{cm} \log w_{cm})$: how many components a class uses, from 1 to M."""
        weight = jnp.exp(self.log_weight)
        return jnp.exp(-jnp.sum(jnp.where(weight > 0, weight * self.log_weight, 0.0), axis=1))

    def component_mean(self, label: int | Int[Array, ""], component: int | Int[Array, ""]) -> Float[Array, "*x"]:
        """The mean of one component, in the shape of an event."""
        return jnp.asarray(self.mean)[label, component].reshape(self.shape)

    def sample(
        self, *, label: int | Int[Array, ""] | None = None, key: Key
    ) -> tuple[Float[Array, "*x"], Int[Array, ""], Int[Array, ""]]:
        """One event of the class `label` (None: of a class drawn from the prior).

        **Returns:** the event, its class and its component.
        """
        label_key, component_key, noise_key = jax.random.split(key, 3)
        drawn = jax.random.categorical(label_key, jnp.asarray(self.log_prior)) if label is None else jnp.asarray(label)
        component = jax.random.categorical(component_key, jnp.asarray(self.log_weight)[drawn])
        mean, cholesky = jnp.asarray(self.mean)[drawn, component], jnp.asarray(self.cholesky)[drawn, component]
        event = mean + cholesky @ jax.random.normal(noise_key, mean.shape)
        return event.reshape(self.shape), drawn, component
