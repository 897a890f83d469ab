"""The plain latent-variable model: one prior, one encoder, one decoder."""

from collections.abc import Callable

from latens.distributions import AbstractDistribution, log_prob
from latens.models.base import AbstractLatentModel, AbstractModelEncoder
from latens.models.missingness import seen_whole
from latens.models.priors import AbstractModelPrior
from latens.trees import traced_once
from latens.typing import Cond, Key, Mask, Nats, PyTree


class LatentModel(AbstractLatentModel):
    r"""A latent variable model composed of a prior, an encoder and a decoder.

    $p(z)\,p(x \mid z)$ with $q(z \mid x)$.

    Args:
        prior_part: A distribution, a function of `cond`, or an `AbstractModelPrior`.
        encoder: Maps one event to the posterior of its latent, usually a `Conditional`.
        decoder: Maps one latent to the likelihood of an event, usually a `Conditional`.
    """

    prior_part: AbstractDistribution | AbstractModelPrior | Callable[..., AbstractDistribution]
    encoder: AbstractModelEncoder | Callable[..., AbstractDistribution]
    decoder: Callable[..., AbstractDistribution]

    def prior(self, *, cond: Cond = None, key: Key | None = None) -> AbstractDistribution:
        """The prior part's distribution."""
        if isinstance(self.prior_part, AbstractDistribution):
            return self.prior_part
        if isinstance(self.prior_part, AbstractModelPrior):
            return self.prior_part(self, cond=cond, key=key)
        return self.prior_part(cond=cond, key=key)

    def posterior(
        self, x: PyTree, *, cond: Cond = None, mask: Mask = None, key: Key | None = None
    ) -> AbstractDistribution:
        """The encoder's distribution for one row."""
        if isinstance(self.encoder, AbstractModelEncoder):
            return self.encoder(self, x, cond=cond, mask=mask, key=key)
        if mask is not None and (whole := seen_whole(self.decoder, x, mask)) is not None:
            return self.encoder(whole, cond=cond, key=key)
        return self.encoder(x, cond=cond, mask=mask, key=key)

    def likelihood(self, z: PyTree, *, cond: Cond = None, key: Key | None = None) -> AbstractDistribution:
        """The decoder's distribution for one latent."""
        return self.decoder(z, cond=cond, key=key)

    @traced_once
    def log_joint(
        self, z: PyTree, x: PyTree, *, cond: Cond = None, mask: Mask = None, key: Key | None = None
    ) -> tuple[Nats, Nats]:
        """The log prior and the log likelihood, in nats."""
        return self.prior(cond=cond).log_prob(z), log_prob(self.likelihood(z, cond=cond, key=key), x, mask)
