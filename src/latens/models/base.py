"""What a latent-variable model is: three methods, each returning a distribution over one event."""

from abc import abstractmethod
from typing import Any

import equinox as eqx

from latens.distributions import AbstractDistribution, log_prob
from latens.typing import Key, Nats


class AbstractLatentModel(eqx.Module):
    """$p(x, z) = p(z)\\,p(x \\mid z)$ with an approximate posterior $q(z \\mid x)$.

    Methods rather than fields, because a prior may need the encoder. `cond` is a dict of named arrays, each part reads
    the names it declares; `mask` is True where x is observed; `key=None` means no dropout.
    """

    @abstractmethod
    def prior(self, *, cond: dict[str, Any] | None = None, key: Key | None = None) -> AbstractDistribution:
        """$p(z)$."""

    @abstractmethod
    def posterior(
        self, x: Any, *, cond: dict[str, Any] | None = None, mask: Any = None, key: Key | None = None
    ) -> AbstractDistribution:
        """$q(z \\mid x)$."""

    @abstractmethod
    def likelihood(self, z: Any, *, cond: dict[str, Any] | None = None, key: Key | None = None) -> AbstractDistribution:
        """$p(x \\mid z)$."""

    def log_joint(
        self, z: Any, x: Any, *, cond: dict[str, Any] | None = None, mask: Any = None, key: Key | None = None
    ) -> tuple[Nats, Nats]:
        """$(\\log p(z), \\log p(x \\mid z))$ in nats; overridden where the two share work."""
        likelihood = self.likelihood(z, cond=cond, key=key)
        return self.prior(cond=cond).log_prob(z), log_prob(likelihood, x, mask)


class AbstractModelEncoder(eqx.Module):
    """An encoder that looks at the model it belongs to: at its joint density, or at its prior."""

    @abstractmethod
    def __call__(
        self,
        model: AbstractLatentModel,
        x: Any,
        *,
        cond: dict[str, Any] | None = None,
        mask: Any = None,
        key: Key | None = None,
    ) -> AbstractDistribution:
        """$q(z \\mid x)$."""
