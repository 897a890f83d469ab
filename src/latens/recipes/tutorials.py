"""The recommended recipe, and four well-known tutorials with their exact settings: they train their whole budget."""

import math

from msgspec.structs import replace

from latens.config import (
    DataConfig,
    LikelihoodConfig,
    NetworkConfig,
    ObjectiveConfig,
    OptimizerConfig,
    PosteriorConfig,
    TrainingConfig,
)
from latens.recipes.building.plan import NETWORK, recipe
from latens.recipes.building.recipe import Recipe

FAST_FORWARD = "Fast Forward Labs, vae-tf (2016), and the blog post 'Introducing variational autoencoders'"
TIAO = "Louis Tiao, 'Implementing variational autoencoders in Keras: beyond the quickstart tutorial' (2017-2018)"
MLQ = "MLQ.ai, 'Unsupervised deep learning: variational autoencoders'; LazyProgrammer, machine_learning_examples"
NOTEBOOK = "A TensorFlow 1 notebook of a variational autoencoder for MNIST (784-128-100, one million iterations)"


_GREY = LikelihoodConfig(family="bernoulli", output_bias="zero")
_CLAMPED = LikelihoodConfig(family="bernoulli", output_bias="zero", probability_floor=1e-7)
# TensorFlow 1's RMSProp starts its mean square at 1 and keeps epsilon 1e-10 inside the root, and the course sums its
# cost over the batch of 64: under the mean used here, both constants are divided by 64 squared.
_MLQ_RMSPROP = OptimizerConfig(
    name="rmsprop",
    learning_rate=1e-3,
    options={"decay": 0.9, "eps": 1e-10 / 64**2, "eps_in_sqrt": True, "initial_scale": 1 / 64**2},
)


def _fast_forward(name: str, latent_dim: int, steps: int) -> Recipe:
    return recipe(
        name,
        f"784-500-500-{latent_dim}, ELU, log-sigma head, Adam 1e-3, gradients clipped to +-5, {steps:,} steps",
        FAST_FORWARD,
        "you want the 2016 tutorial's model" + (" with a latent plane to look at" if latent_dim == 2 else ""),
        network=NetworkConfig(hidden=(500, 500), activation="elu", initializer="he-normal"),
        posterior=PosteriorConfig(latent_dim=latent_dim, scale="log-scale"),
        likelihood=_CLAMPED,
        optimizer=OptimizerConfig(name="adam", learning_rate=1e-3, clip_value=5.0),
        training=TrainingConfig(keep="last", steps=steps, patience=None, batch_size=128, drop_last=True),
    )


RECIPES = (
    recipe(
        "default",
        "likelihood and sizes from the data, SiLU, output bias at the data's mean, schedule-free AdamW, early stopping",
        "Kingma & Welling (2014), arXiv 1312.6114; Defazio et al. (2024), arXiv 2405.15682",
        "you have data and want a good model without choosing anything",
        network=replace(NETWORK, kind="auto"),
    ),
    _fast_forward("fast-forward", 50, 65_536),
    _fast_forward("fast-forward-2d", 2, 131_072),
    recipe(
        "tiao",
        "784-256-2, ReLU, log-variance head, Keras' RMSprop, 50 epochs, validated on the test set (not held out)",
        TIAO,
        "you want the Keras tutorial's model and its loss history",
        network=NetworkConfig(hidden=(256,), activation="relu", initializer="glorot-uniform"),
        posterior=PosteriorConfig(latent_dim=2, scale="log-variance"),
        likelihood=_CLAMPED,
        data=DataConfig(validation="test"),
        optimizer=OptimizerConfig(
            name="rmsprop", learning_rate=1e-3, options={"decay": 0.9, "eps": 1e-7, "eps_in_sqrt": False}
        ),
        training=TrainingConfig(keep="last", epochs=50, patience=None, batch_size=100),
    ),
    recipe(
        "mlq-vae",
        "784-200-100 on pixels thresholded at 0.5, softplus scale + 1e-6, RMSProp 1e-3, 30 epochs",
        MLQ,
        "you follow the path from Bayes classifiers to a variational autoencoder",
        network=NetworkConfig(hidden=(200,), activation="relu", initializer="normal-gain-2"),
        posterior=PosteriorConfig(latent_dim=100, scale="softplus", scale_floor=1e-6),
        likelihood=_GREY,
        data=DataConfig(binarize="threshold"),
        optimizer=_MLQ_RMSPROP,
        training=TrainingConfig(keep="last", epochs=30, patience=None, batch_size=64, drop_last=True),
    ),
    recipe(
        "mlq-autoencoder",
        "784-300 with ReLU, a plain autoencoder under summed cross-entropy, RMSProp 1e-3, 30 epochs",
        MLQ,
        "you want codes without a prior, or to see what the variational part adds",
        network=NetworkConfig(hidden=(), initializer="he-normal-fan-out", encoder_output_activation="relu"),
        posterior=PosteriorConfig(kind="deterministic", latent_dim=300),
        likelihood=_GREY,
        objective=ObjectiveConfig(name="reconstruction"),
        optimizer=_MLQ_RMSPROP,
        training=TrainingConfig(keep="last", epochs=30, patience=None, batch_size=64, drop_last=True),
    ),
    *(
        recipe(
            name,
            f"784-128-100, ELU, log-variance head, Adam 1e-3, 1,000,000 steps, {what}",
            NOTEBOOK,
            use_when,
            network=NetworkConfig(hidden=(128,), activation="elu", initializer="he-normal"),
            posterior=PosteriorConfig(latent_dim=100, scale="log-variance"),
            likelihood=likelihood,
            data=DataConfig(dequantize=False),
            optimizer=OptimizerConfig(name="adam", learning_rate=1e-3),
            training=TrainingConfig(
                keep="last",
                steps=1_000_000,
                patience=None,
                batch_size=64,
                drop_last=True,
                plots_every=1000,
                log_every=1000,
            ),
        )
        for name, what, use_when, likelihood in (
            ("notebook", "Bernoulli logits", "you want the TensorFlow notebook's model", _GREY),
            (
                "notebook-normal",
                "the squared error: p(x|z) = N(f(z), I/2)",
                "you want the squared-error variant of the notebook's text",
                LikelihoodConfig(family="normal", scale="fixed", fixed_scale=math.sqrt(0.5), output_bias="zero"),
            ),
        )
    ),
)
