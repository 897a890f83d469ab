"""Rows that are sequences: a distribution for every step, and steps of numbers beside yes-or-no answers."""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.distributions.base import AbstractDistribution, AbstractFactorised, log_prob
from latens.distributions.continuous import DiagonalNormal
from latens.distributions.discrete import Bernoulli
from latens.typing import Array, Bool, Float, Key, Nats, Shaped


def key_of_step(key: Key, step: Array) -> Key:
    """The key of a step, which does not depend on how many there are."""
    return jax.random.fold_in(key, step)


class Steps(AbstractFactorised):
    """Steps that are independent given what a network says of each."""

    has_path: ClassVar[bool] = False

    head: Callable[[Array], AbstractDistribution]
    outputs: Float[Array, "T n"]
    written: Shaped[Array, "T ..."] | None = None

    def sample(self, *, key: Key) -> Shaped[Array, "T ..."]:
        """Draw every step with a key of its own, so that the first steps are the same whatever follows."""
        if self.written is not None:
            return self.written
        numbers = jnp.arange(self.outputs.shape[0])
        return jax.vmap(lambda o, t: self.head(o).sample(key=key_of_step(key, t)))(self.outputs, numbers)

    def log_prob_terms(self, event: Shaped[Array, "T ..."]) -> Float[Array, "T ..."]:
        """The log density of each variable of every step, in nats."""
        return jax.vmap(lambda o, x: _factorised(self.head(o)).log_prob_terms(x))(self.outputs, event)

    def log_prob_by_step(self, event: Shaped[Array, "T ..."], mask: Bool[Array, "T ..."] | None = None) -> Array:
        """The log density of what is observed of every step."""
        if mask is None:
            return jax.vmap(lambda o, x: self.head(o).log_prob(x))(self.outputs, event)
        return jax.vmap(lambda o, x, m: log_prob(self.head(o), x, m))(self.outputs, event, mask)

    def log_prob(self, event: Shaped[Array, "T ..."]) -> Nats:
        """The log density of all steps, in nats."""
        return jnp.sum(self.log_prob_by_step(event))

    def log_prob_observed(self, event: Shaped[Array, "T ..."], mask: Bool[Array, "T ..."]) -> Nats:
        """The log density of what is observed of all steps, in nats."""
        return jnp.sum(self.log_prob_by_step(event, mask))

    def conditioned(self, event: Shaped[Array, "T ..."], mask: Bool[Array, "T ..."]) -> "Steps":
        """The distribution itself: variables are independent given the outputs."""
        return self

    def mean(self) -> Float[Array, "T ..."]:
        """The mean of every step."""
        return jax.vmap(lambda o: _factorised(self.head(o)).mean())(self.outputs)

    def moments(self) -> tuple[Float[Array, "T ..."], Float[Array, "T ..."]]:
        """The mean and the variance of each variable of every step."""
        return jax.vmap(lambda o: _factorised(self.head(o)).moments())(self.outputs)


def _factorised(distribution: AbstractDistribution) -> Any:
    return distribution


class StepColumns(AbstractFactorised):
    """Columns of numbers, each a Normal, beside columns of 0 and 1, each a Bernoulli."""

    has_path: ClassVar[bool] = False

    numbers: DiagonalNormal
    logits: Float[Array, " d"]
    binary: tuple[bool, ...] = eqx.field(static=True)

    def _either(self, of_coin: Array, of_number: Array) -> Array:
        return jnp.where(jnp.array(self.binary), of_coin, of_number)

    def sample(self, *, key: Key) -> Float[Array, " d"]:
        """Draw one event."""
        return self.sample_at(1.0, key=key)

    def sample_at(self, temperature: float, *, key: Key) -> Float[Array, " d"]:
        """Draw one event with the noise of numbers multiplied by the temperature and logits divided by it."""
        logits = self.logits / jnp.maximum(temperature, 1e-6)
        coins = Bernoulli(logits).sample(key=jax.random.fold_in(key, 1))
        return self._either(coins, self.numbers.sample_at(temperature, key=key))

    def log_prob_terms(self, event: Float[Array, " d"]) -> Float[Array, " d"]:
        """The log density or log probability of each column, in nats."""
        return self._either(Bernoulli(self.logits).log_prob_terms(event), self.numbers.log_prob_terms(event))

    def mean(self) -> Float[Array, " d"]:
        """The mean of each column: of 0 and 1 the probability of 1."""
        return self._either(jax.nn.sigmoid(self.logits), self.numbers.mean())

    def moments(self) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
        """The mean and the variance of each column."""
        share = jax.nn.sigmoid(self.logits)
        mean, variance = self.numbers.moments()
        return self._either(share, mean), self._either(share * (1.0 - share), variance)
