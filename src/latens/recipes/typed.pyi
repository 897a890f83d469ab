# Written by `python -m latens.recipes.typed`.
from collections.abc import Callable, Sequence
from typing import Any, Literal

from latens.config import VAEConfig

NAMES: tuple[str, ...]
FUNCTIONS: dict[str, Callable[..., VAEConfig]]

def arguments(name: str) -> dict[str, tuple[str, str, Any]]: ...
def function_of(name: str) -> Callable[..., VAEConfig]: ...
def stub() -> str: ...
def aae(*, latent_dim: int | None = None, hidden: Sequence[int] | None = None, likelihood: str = 'auto', weight: float = 1.0) -> VAEConfig:
    """A deterministic encoder, its codes matched to the prior by a critic.

    Source: Makhzani et al. (2016), arXiv 1511.05644."""
def autoencoder(*, latent_dim: int | None = None, hidden: Sequence[int] | None = None, likelihood: str = 'auto', l2: float = 0.0) -> VAEConfig:
    """Codes without a prior.

    Source: Rumelhart, Hinton & Williams (1986), Nature 323."""
def beta_tc_vae(*, latent_dim: int | None = None, hidden: Sequence[int] | None = None, likelihood: str = 'auto', alpha: float = 1.0, beta: float = 6.0, gamma: float = 1.0, estimator: Literal['weighted', 'stratified'] = 'weighted', num_rows: int | None = None) -> VAEConfig:
    """The total correlation of the aggregated posterior counted six times.

    Source: Chen et al. (2018), arXiv 1802.04942."""
def beta_vae(*, latent_dim: int | None = None, hidden: Sequence[int] | None = None, likelihood: str = 'auto', kl: Literal['auto', 'analytic', 'sampled'] = 'auto', num_samples: int = 1, beta: float = 4.0, free_bits: float = 0.0, l2: float = 0.0, capacity: float | None = None, free_bits_group: int = 1, divergence: Literal['kl', 'reverse-kl', 'renyi', 'alpha', 'chi-square'] = 'kl', order: float = 2.0, noise_scale: float = 1.0) -> VAEConfig:
    """The KL counted four times.

    Source: Higgins et al. (2017), ICLR, 'beta-VAE'."""
def conditional_vae(*, latent_dim: int | None = None, hidden: Sequence[int] | None = None, likelihood: str = 'auto', kl: Literal['auto', 'analytic', 'sampled'] = 'auto', num_samples: int = 1, beta: float = 1.0, free_bits: float = 0.0, l2: float = 0.0, capacity: float | None = None, free_bits_group: int = 1, divergence: Literal['kl', 'reverse-kl', 'renyi', 'alpha', 'chi-square'] = 'kl', order: float = 2.0, noise_scale: float = 1.0) -> VAEConfig:
    """Encoder and decoder read the label of each row: p(x | label).

    Source: Sohn, Lee & Yan (2015), NeurIPS, 'Learning structured output representation'; Kingma et al. (2014)."""
def conv_vae(*, latent_dim: int | None = None, hidden: Sequence[int] | None = None, likelihood: str = 'auto', kl: Literal['auto', 'analytic', 'sampled'] = 'auto', num_samples: int = 1, beta: float = 1.0, free_bits: float = 0.0, l2: float = 0.0, capacity: float | None = None, free_bits_group: int = 1, divergence: Literal['kl', 'reverse-kl', 'renyi', 'alpha', 'chi-square'] = 'kl', order: float = 2.0, noise_scale: float = 1.0) -> VAEConfig:
    """Strided convolutions and their mirror, 32 and 64 channels.

    Source: Radford, Metz & Chintala (2016), arXiv 1511.06434, without batch normalisation."""
def dip_vae_i(*, latent_dim: int | None = None, hidden: Sequence[int] | None = None, likelihood: str = 'auto', variant: Literal[1, 2] = 1, off_diagonal: float = 10.0, diagonal: float = 100.0, kl: Literal['auto', 'analytic', 'sampled'] = 'auto') -> VAEConfig:
    """The covariance of the posterior means drawn towards the identity.

    Source: Kumar, Sattigeri & Balakrishnan (2018), arXiv 1711.00848."""
def factor_vae(*, latent_dim: int | None = None, hidden: Sequence[int] | None = None, likelihood: str = 'auto', weight: float = 10.0, kl: Literal['auto', 'analytic', 'sampled'] = 'auto') -> VAEConfig:
    """The total correlation by a critic, counted ten times.

    Source: Kim & Mnih (2018), arXiv 1802.05983."""
def free_bits(*, latent_dim: int | None = None, hidden: Sequence[int] | None = None, likelihood: str = 'auto', kl: Literal['auto', 'analytic', 'sampled'] = 'auto', num_samples: int = 1, beta: float = 1.0, free_bits: float = 0.25, l2: float = 0.0, capacity: float | None = None, free_bits_group: int = 1, divergence: Literal['kl', 'reverse-kl', 'renyi', 'alpha', 'chi-square'] = 'kl', order: float = 2.0, noise_scale: float = 1.0) -> VAEConfig:
    """A quarter of a nat that every unit may use freely.

    Source: Kingma et al. (2016), arXiv 1606.04934."""
def gumbel_softmax(*, latent_dim: int | None = None, hidden: Sequence[int] | None = None, likelihood: str = 'auto', kl: Literal['auto', 'analytic', 'sampled'] = 'auto', num_samples: int = 1, beta: float = 1.0, free_bits: float = 0.0, l2: float = 0.0, capacity: float | None = None, free_bits_group: int = 1, divergence: Literal['kl', 'reverse-kl', 'renyi', 'alpha', 'chi-square'] = 'kl', order: float = 2.0, noise_scale: float = 1.0, choices: int = 10, temperature: float = 0.6666666666666666, prior_temperature: float = 0.5) -> VAEConfig:
    """Relaxed choices among 10 by Gumbel noise, under a relaxed uniform prior.

    Source: Jang, Gu & Poole (2017), arXiv 1611.01144; Maddison, Mnih & Teh (2017), arXiv 1611.00712."""
def hyperspherical_vae(*, latent_dim: int | None = None, hidden: Sequence[int] | None = None, likelihood: str = 'auto', kl: Literal['auto', 'analytic', 'sampled'] = 'auto', num_samples: int = 1, beta: float = 1.0, free_bits: float = 0.0, l2: float = 0.0, capacity: float | None = None, free_bits_group: int = 1, divergence: Literal['kl', 'reverse-kl', 'renyi', 'alpha', 'chi-square'] = 'kl', order: float = 2.0, noise_scale: float = 1.0) -> VAEConfig:
    """Directions as latents: von Mises-Fisher posteriors under a uniform prior on the sphere.

    Source: Davidson, Falorsi, De Cao, Kipf & Tomczak (2018), arXiv 1804.00891."""
def iaf(*, latent_dim: int | None = None, hidden: Sequence[int] | None = None, likelihood: str = 'auto', kl: Literal['auto', 'analytic', 'sampled'] = 'auto', num_samples: int = 1, beta: float = 1.0, free_bits: float = 0.0, l2: float = 0.0, capacity: float | None = None, free_bits_group: int = 1, divergence: Literal['kl', 'reverse-kl', 'renyi', 'alpha', 'chi-square'] = 'kl', order: float = 2.0, noise_scale: float = 1.0, layers: int = 2, width: int = 64, context_size: int = 16) -> VAEConfig:
    """Two inverse autoregressive flows after the encoder's Normal.

    Source: Kingma et al. (2016), arXiv 1606.04934."""
def info_vae(*, latent_dim: int | None = None, hidden: Sequence[int] | None = None, likelihood: str = 'auto', alpha: float = 0.0, weight: float = 10.0, kernel: Literal['imq', 'rbf'] = 'rbf', bandwidth: float = 1.0, estimator: Literal['unbiased', 'biased'] = 'unbiased', kl: Literal['auto', 'analytic', 'sampled'] = 'auto') -> VAEConfig:
    """The KL replaced by the aggregate's distance to the prior (MMD, Gaussian kernel).

    Source: Zhao, Song & Ermon (2019), arXiv 1706.02262."""
def iwae(*, latent_dim: int | None = None, hidden: Sequence[int] | None = None, likelihood: str = 'auto', num_samples: int = 50, gradient: Literal['plain', 'stl', 'dreg'] = 'plain') -> VAEConfig:
    """Importance-weighted bound with 50 draws.

    Source: Burda, Grosse & Salakhutdinov (2016), arXiv 1509.00519."""
def ladder_vae(*, latent_dim: int | None = None, hidden: Sequence[int] | None = None, likelihood: str = 'auto', kl: Literal['auto', 'analytic', 'sampled'] = 'auto', num_samples: int = 1, beta: float = 1.0, free_bits: float = 0.0, l2: float = 0.0, capacity: float | None = None, free_bits_group: int = 1, divergence: Literal['kl', 'reverse-kl', 'renyi', 'alpha', 'chi-square'] = 'kl', order: float = 2.0, noise_scale: float = 1.0, features: int = 128) -> VAEConfig:
    """Two levels whose posterior comes from the top down and shares the prior's networks.

    Source: Sonderby, Raiko, Maaloe, Sonderby & Winther (2016), arXiv 1602.02282."""
def m2(*, latent_dim: int | None = None, hidden: Sequence[int] | None = None, likelihood: str = 'auto', alpha: float = 0.1, kl: Literal['auto', 'analytic', 'sampled'] = 'auto', num_samples: int = 1) -> VAEConfig:
    """Labels that are latent where they are missing, summed over exactly.

    Source: Kingma, Rezende, Mohamed & Welling (2014), arXiv 1406.5298."""
def miwae_missing(*, latent_dim: int | None = None, hidden: Sequence[int] | None = None, likelihood: str = 'auto', num_samples: int = 20, gradient: Literal['plain', 'stl', 'dreg'] = 'plain') -> VAEConfig:
    """Importance-weighted bound of the observed cells, 20 draws.

    Source: Mattei & Frellsen (2019), arXiv 1812.02633."""
def mixture_prior(*, latent_dim: int | None = None, hidden: Sequence[int] | None = None, likelihood: str = 'auto', kl: Literal['auto', 'analytic', 'sampled'] = 'auto', num_samples: int = 1, beta: float = 1.0, free_bits: float = 0.0, l2: float = 0.0, capacity: float | None = None, free_bits_group: int = 1, divergence: Literal['kl', 'reverse-kl', 'renyi', 'alpha', 'chi-square'] = 'kl', order: float = 2.0, noise_scale: float = 1.0, components: int = 10) -> VAEConfig:
    """A trained mixture of 10 Normals as prior.

    Source: Dilokthanakul et al. (2016), arXiv 1611.02648."""
def mvae(*, latent_dim: int | None = None, hidden: Sequence[int] | None = None, likelihood: str = 'auto', random_subsets: int = 1, num_samples: int = 1, beta: float = 1.0, weights: Literal['equal', 'cells'] = 'equal', rule: Literal['product', 'product-of-encoders', 'mixture', 'mixture-of-products', 'joint'] = 'product', split: Literal['auto', 'names', 'rows', 'columns', 'channels'] = 'auto', parts: int = 2) -> VAEConfig:
    """A product of the modalities' experts and the prior, trained on all, on each alone and on a random subset.

    Source: Wu & Goodman (2018), arXiv 1802.05335."""
def prodlda(*, latent_dim: int | None = None, hidden: Sequence[int] | None = None, likelihood: str = 'auto', kl: Literal['auto', 'analytic', 'sampled'] = 'auto', num_samples: int = 1, beta: float = 1.0, free_bits: float = 0.0, l2: float = 0.0, capacity: float | None = None, free_bits_group: int = 1, divergence: Literal['kl', 'reverse-kl', 'renyi', 'alpha', 'chi-square'] = 'kl', order: float = 2.0, noise_scale: float = 1.0, concentration: float = 1.0) -> VAEConfig:
    """Topics: shares by the softmax of a Normal near a Dirichlet, from them linearly to log Poisson rates.

    Source: Srivastava & Sutton (2017), arXiv 1703.01488 (there with a multinomial: Poisson counts given their total)."""
def student_t_vae(*, latent_dim: int | None = None, hidden: Sequence[int] | None = None, likelihood: str = 'auto', kl: Literal['auto', 'analytic', 'sampled'] = 'auto', num_samples: int = 1, beta: float = 1.0, free_bits: float = 0.0, l2: float = 0.0, capacity: float | None = None, free_bits_group: int = 1, divergence: Literal['kl', 'reverse-kl', 'renyi', 'alpha', 'chi-square'] = 'kl', order: float = 2.0, noise_scale: float = 1.0) -> VAEConfig:
    """A Student-t likelihood with trained degrees of freedom.

    Source: Takahashi et al. (2018), IJCAI, 'Student-t variational autoencoder for robust density estimation'."""
def swae(*, latent_dim: int | None = None, hidden: Sequence[int] | None = None, likelihood: str = 'auto', weight: float = 10.0, num_projections: int = 50) -> VAEConfig:
    """A deterministic encoder, its codes matched to the prior by sliced Wasserstein distance.

    Source: Kolouri et al. (2019), arXiv 1804.01947."""
def vade(*, latent_dim: int | None = None, hidden: Sequence[int] | None = None, likelihood: str = 'auto', kl: Literal['auto', 'analytic', 'sampled'] = 'auto', num_samples: int = 1, beta: float = 1.0, free_bits: float = 0.0, l2: float = 0.0, capacity: float | None = None, free_bits_group: int = 1, divergence: Literal['kl', 'reverse-kl', 'renyi', 'alpha', 'chi-square'] = 'kl', order: float = 2.0, noise_scale: float = 1.0, components: int = 10) -> VAEConfig:
    """A mixture of 10 Normals as prior, started at a fit to the codes of a plain model: its components are clusters.

    Source: Jiang, Zheng, Tan, Tang & Zhou (2017), arXiv 1611.05148."""
def vamp_prior(*, latent_dim: int | None = None, hidden: Sequence[int] | None = None, likelihood: str = 'auto', kl: Literal['auto', 'analytic', 'sampled'] = 'auto', num_samples: int = 1, beta: float = 1.0, free_bits: float = 0.0, l2: float = 0.0, capacity: float | None = None, free_bits_group: int = 1, divergence: Literal['kl', 'reverse-kl', 'renyi', 'alpha', 'chi-square'] = 'kl', order: float = 2.0, noise_scale: float = 1.0, components: int = 500, learned: bool = True) -> VAEConfig:
    """The average posterior of 500 trained pseudo-inputs as prior.

    Source: Tomczak & Welling (2018), arXiv 1705.07120."""
def vq_vae(*, latent_dim: int | None = None, hidden: Sequence[int] | None = None, likelihood: str = 'auto', codebook: float = 1.0, commitment: float = 0.25, entropy: float = 0.0, codes: int = 256, code_dim: int = 4, averaged: bool = False, decay: float = 0.99, reset_below: float = 0.05) -> VAEConfig:
    """Groups of four units at the nearest of 256 vectors, trained by gradient.

    Source: van den Oord, Vinyals & Kavukcuoglu (2017), arXiv 1711.00937."""
def wae_mmd(*, latent_dim: int | None = None, hidden: Sequence[int] | None = None, likelihood: str = 'auto', weight: float = 10.0, kernel: Literal['imq', 'rbf'] = 'imq', bandwidth: float = 1.0, estimator: Literal['unbiased', 'biased'] = 'unbiased') -> VAEConfig:
    """A deterministic encoder, its codes matched to the prior by MMD.

    Source: Tolstikhin et al. (2018), arXiv 1711.01558."""
