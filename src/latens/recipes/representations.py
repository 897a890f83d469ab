"""What the codes should be like: independent units, a matched aggregate, a constraint on the fit."""

from typing import Any

from msgspec.structs import replace

from latens.config import (
    DataConfig,
    LikelihoodConfig,
    ObjectiveConfig,
    OptimizerConfig,
    PosteriorConfig,
    TrainingConfig,
)
from latens.recipes.building.plan import NETWORK, recipe
from latens.recipes.building.recipe import Recipe

_SOFTPLUS = PosteriorConfig(scale="softplus")
_POINT = PosteriorConfig(kind="deterministic")
# A critic or a multiplier plays against the model: neither is averaged or decayed.
_ADAM = OptimizerConfig(name="adam", learning_rate=1e-3)
_GAN = {
    "posterior": _POINT,
    # G(z) itself: a scale would be noise that nothing trains.
    "likelihood": LikelihoodConfig(family="normal", scale="fixed", fixed_scale=0.001),
    "data": DataConfig(dequantize=False),
    "optimizer": OptimizerConfig(name="adam", learning_rate=2e-4, options={"b1": 0.5}),
    "training": TrainingConfig(keep="last", patience=None),
}


def _of(
    name: str, summary: str, source: str, use_when: str, objective: str, *, parts: Any = None, **options: Any
) -> Recipe:
    chosen = {"posterior": _SOFTPLUS, "objective": ObjectiveConfig(name=objective, options=options), **(parts or {})}
    return recipe(name, summary, source, use_when, **chosen)


RECIPES = (
    _of(
        "beta-vae",
        "the KL counted four times",
        "Higgins et al. (2017), ICLR, 'beta-VAE'",
        "you want units that stand for one thing each and accept a blurrier fit",
        "elbo",
        beta=4.0,
    ),
    _of(
        "capacity",
        "the KL held at 10 nats",
        "Burgess et al. (2018), arXiv 1804.03599",
        "you want to say how much the code carries",
        "elbo",
        beta=100.0,
        capacity=10.0,
    ),
    _of(
        "beta-tc-vae",
        "the total correlation of the aggregated posterior counted six times",
        "Chen et al. (2018), arXiv 1802.04942",
        "you want independent units without paying for the rest of the KL",
        "beta-tc",
        beta=6.0,
    ),
    _of(
        "factor-vae",
        "the total correlation by a critic, counted ten times",
        "Kim & Mnih (2018), arXiv 1802.05983",
        "you want independent units and can afford a critic",
        "factor-vae",
        parts={"optimizer": _ADAM},
        weight=10.0,
    ),
    _of(
        "dip-vae-i",
        "the covariance of the posterior means drawn towards the identity",
        "Kumar, Sattigeri & Balakrishnan (2018), arXiv 1711.00848",
        "you want uncorrelated codes",
        "dip",
        variant=1,
    ),
    _of(
        "dip-vae-ii",
        "the covariance of the aggregated posterior drawn towards the identity",
        "Kumar, Sattigeri & Balakrishnan (2018), arXiv 1711.00848",
        "you want uncorrelated codes, their spread included",
        "dip",
        variant=2,
    ),
    _of(
        "info-vae",
        "the KL replaced by the aggregate's distance to the prior (MMD, Gaussian kernel)",
        "Zhao, Song & Ermon (2019), arXiv 1706.02262",
        "the codes should carry more of x than an ELBO lets them",
        "info-vae",
    ),
    _of(
        "wae-mmd",
        "a deterministic encoder, its codes matched to the prior by MMD",
        "Tolstikhin et al. (2018), arXiv 1711.01558",
        "you want sharp reconstructions and a prior to sample from, and no log p(x)",
        "wae",
        parts={"posterior": _POINT},
    ),
    _of(
        "swae",
        "a deterministic encoder, its codes matched to the prior by sliced Wasserstein distance",
        "Kolouri et al. (2019), arXiv 1804.01947",
        "the same, with a distance that has no kernel to choose",
        "sliced-wasserstein",
        parts={"posterior": _POINT},
    ),
    _of(
        "aae",
        "a deterministic encoder, its codes matched to the prior by a critic",
        "Makhzani et al. (2016), arXiv 1511.05644",
        "the same, where no distance is good enough",
        "aae",
        parts={"posterior": _POINT, "optimizer": _ADAM},
    ),
    _of(
        "adversarial-bayes",
        "the KL estimated by a critic that sees x and z",
        "Mescheder, Nowozin & Geiger (2017), arXiv 1701.04722",
        "posterior or prior can be drawn from but have no density",
        "adversarial-bayes",
        parts={"optimizer": _ADAM},
    ),
    _of(
        "vae-gan",
        "rows compared by the features of a critic that tells them from data",
        "Larsen, Sonderby, Larochelle & Winther (2016), arXiv 1512.09300",
        "you want samples that look sharp and no likelihood from them",
        "vae-gan",
        parts={"optimizer": _ADAM},
    ),
    _of(
        "gan",
        "a decoder whose samples are to pass for rows, and an encoder trained on them; no likelihood",
        "Goodfellow et al. (2014), arXiv 1406.2661; Donahue, Krahenbuhl & Darrell (2017), arXiv 1605.09782",
        "you want a baseline of samples beside `vae-gan` and `aae`",
        "gan",
        parts=_GAN,
    ),
    _of(
        "ms-ssim-vae",
        "images compared by multi-scale structural similarity, a perfect one worth 100 nats",
        "Snell, Ridgeway, Liao, Roads, Mozer & Zemel (2017), arXiv 1511.06409; Wang, Simoncelli & Bovik (2003)",
        "reconstructions should look right and no likelihood is needed",
        "perceptual",
        weight=100.0,
    ),
    _of(
        "geco",
        "the smallest KL whose fit stays above -100 nats a row",
        "Rezende & Viola (2018), arXiv 1810.00597",
        "you know how well x has to be given back (set objective.bound)",
        "geco",
        parts={"optimizer": _ADAM},
        bound=100.0,
    ),
    _of(
        "autoencoder",
        "codes without a prior",
        "Rumelhart, Hinton & Williams (1986), Nature 323",
        "you want codes only",
        "reconstruction",
        parts={"posterior": _POINT},
    ),
    _of(
        "rae-l2",
        "codes without a prior, they and the decoder's weights held small",
        "Ghosh, Sajjadi, Vergari, Black & Scholkopf (2020), arXiv 1903.12436",
        "you want codes that vary smoothly with x",
        "regularised",
        parts={"posterior": _POINT},
        l2=1e-4,
    ),
    _of(
        "rae-gp",
        "codes without a prior, they and the decoder's slopes held small",
        "Ghosh, Sajjadi, Vergari, Black & Scholkopf (2020), arXiv 1903.12436",
        "the same, with a penalty on what the decoder does rather than on its weights",
        "regularised",
        parts={"posterior": _POINT},
        gradient_penalty=0.1,
    ),
    _of(
        "rae-sn",
        "codes without a prior, held small, under a decoder of spectrally normalised layers",
        "Ghosh, Sajjadi, Vergari, Black & Scholkopf (2020), arXiv 1903.12436; Miyato et al. (2018), arXiv 1802.05957",
        "the same, with a bound on the decoder's slopes and no weight to choose for it",
        "regularised",
        parts={"posterior": _POINT, "network": replace(NETWORK, spectral_norm=True)},
    ),
)
