"""What the default takes for pictures: convolutions sized from the picture, and the likelihood of grey and colour."""

from msgspec.structs import replace

from latens.config import LikelihoodConfig, NetworkConfig, VAEConfig
from latens.data import Dataset, Schema, suggest_likelihood
from latens.data.checks import is_picture
from latens.errors import ConfigError
from latens.networks.convolutional import half
from latens.networks.factory import as_image_shape
from latens.recipes.parts import ConfiguredParts

WIDTHS = (32, 64, 128)
"""Channels after each halving; further halvings keep the last."""

HIERARCHY_WIDTHS = (16, 32, 64)
"""The same in a deep hierarchy, whose residual blocks go through half as many."""

SMALLEST, SMALLEST_MAP = 4, 8
"""Pixels of the shorter side at which halving ends; where codes lie on the smallest picture, 7 x 7 of 28 x 28."""

BATCH = 32
"""Pictures in a batch. Validation pictures of JPEG-decoded CIFAR, after the same time: 6.88 bits a value with 32, 7.06
with 128 and residual blocks."""

CLIP = 100.0
"""The largest norm of a gradient. Without it, and with scales of the posterior that are exponentials, 1 of 3 trainings
on JPEG-decoded CIFAR was not finite after 115 steps; with both two seeds reach 6.15 bits a value after 300 steps."""

FEW_ROWS = 2000
"""Training pictures below which it is said that they are few, and they are moved."""

SHIFT = 8
"""Few pictures are moved by up to this part of their shorter side: 4 pixels of 32, as is usual."""


def for_pictures(parts: ConfiguredParts, data: Dataset) -> tuple[VAEConfig, list[str]]:
    """Decide networks and likelihood of the default recipe where rows are pictures and neither was chosen."""
    config = parts.config
    network, reasons = config.network, []
    shape = data.schema.image
    if network.hidden is not None or network.encoder or network.decoder or shape is None or not is_picture(data.schema):
        return replace(config, network=replace(network, kind="dense")), reasons
    widths = convolution_widths(shape, smallest=SMALLEST_MAP if of_codes(parts) else SMALLEST)
    network = replace(network, kind="conv", hidden=widths, kernel_size=4)
    sizes = " x ".join(map(str, shape))
    reasons.append(
        f"convolutions of {', '.join(map(str, widths))} channels, for pictures of {sizes} "
        "(--set network=dense for dense networks)"
    )
    likelihood = _likelihood(config.likelihood, suggest_likelihood(data, convolutions=True), reasons)
    optimizer, posterior, prepared = config.optimizer, config.posterior, config.data
    if optimizer.name == "adamw" and optimizer.clip_norm is None:
        optimizer = replace(optimizer, clip_norm=CLIP)
        reasons.append(f"gradients of a norm above {CLIP:g} are clipped")
    if posterior.scale == "auto" and parts.posterior.scaled:
        posterior = replace(posterior, scale="softplus")
    if few_pictures(data) and prepared.shift is None and len(data.schema.shape) > 1:
        prepared = replace(prepared, shift=min(64, max(1, min(shape[:2]) // SHIFT)))
        pixels = "1 pixel" if prepared.shift == 1 else f"{prepared.shift} pixels"
        reasons.append(
            f"{data.count('train'):,} training pictures are few: moved by up to {pixels} at random (--set data.shift=0 "
            "leaves them; --set data.flip=true mirrors them too, where left and right mean the same)"
        )
    made = {"likelihood": likelihood, "optimizer": optimizer, "posterior": posterior, "data": prepared}
    return replace(config, network=network, **made), reasons


def few_pictures(data: Dataset) -> str:
    """What to expect of few training pictures; "" where they are no photographs, or many."""
    text = f"{data.count('train'):,} training pictures are few: expect new pictures that look alike or blurred"
    return f"{text}; more pictures help" if data.count("train") < FEW_ROWS and is_picture(data.schema) else ""


def of_binarised(config: VAEConfig) -> tuple[VAEConfig, list[str]]:
    """Decide the likelihood of pixels that are made 0 or 1, where it was not chosen."""
    if config.likelihood.family != "auto" or config.data.binarize == "none":
        return config, []
    chosen = replace(config.likelihood, family="bernoulli")
    return replace(config, likelihood=chosen), [f"likelihood: bernoulli, for data.binarize={config.data.binarize}"]


def for_hierarchy(parts: ConfiguredParts, data: Dataset) -> tuple[VAEConfig, list[str]]:
    """Decide the channels and the likelihood of a deep hierarchy of pictures, where they were not chosen."""
    shape = data.schema.image
    config, reasons = of_binarised(parts.config)
    if shape is None or parts.posterior.whole is None:
        return config, reasons  # refused when the model is built
    network = config.network
    if network.hidden is None:
        widths = convolution_widths(shape, HIERARCHY_WIDTHS) or HIERARCHY_WIDTHS[:1]
        network = replace(network, hidden=widths)
        reasons.append(f"{', '.join(map(str, widths))} channels, for pictures of {' x '.join(map(str, shape))}")
    suggested = suggest_likelihood(data)
    if is_picture(data.schema):  # also in colour: what they train for in hours is log p(x)
        suggested = "logistic-mixture", f"a logistic has a probability for each of {data.schema.levels} levels"
    return replace(config, network=network, likelihood=_likelihood(config.likelihood, suggested, reasons)), reasons


def _likelihood(likelihood: LikelihoodConfig, suggested: tuple[str, str], reasons: list[str]) -> LikelihoodConfig:
    """The suggested likelihood where none was chosen, and of a mixture one component where nobody says how many."""
    if likelihood.family == "auto":
        family, reason = suggested
        if "components" in likelihood.options:
            family, reason = "logistic-mixture", "likelihood.options.components is set"
        likelihood = replace(likelihood, family=family)
        reasons.append(f"likelihood: {family}, because {reason[0].lower()}{reason[1:].rstrip('.')}")
    one = {"components": 1} if likelihood.family == "logistic-mixture" else {}
    return replace(likelihood, options=one | likelihood.options)


def of_codes(parts: ConfiguredParts) -> bool:
    """Whether the latents are codes, and networks without conditions are free to give them places."""
    config = parts.config
    own = config.network.encoder or config.network.decoder or config.network.decoder_hidden
    return parts.posterior.support == "codes" and config.label.kind == "none" and not own


def map_of(parts: ConfiguredParts, schema: Schema) -> tuple[int, int]:
    """The height and width of the smallest picture of convolutional networks, on which codes lie."""
    network = parts.config.network
    if network.kind != "conv":
        what = f"a map is of convolutions, and these are {network.kind} networks."
        raise ConfigError(what, where="network.map", fix="Use --set network=conv, or --set network.map=false.")
    if network.decoder_hidden is not None and len(network.decoder_hidden) != len(network.hidden or ()):
        what = "encoder and decoder halve the picture differently often, and have no map in common."
        raise ConfigError(what, where="network.decoder_hidden", fix="Give as many widths as network.hidden has.")
    height, width = as_image_shape(schema.shape)[:2]
    for _ in network.hidden or ():
        height, width = half(height), half(width)
    return height, width


def convolution_widths(
    shape: tuple[int, ...], channels: tuple[int, ...] = WIDTHS, smallest: int = SMALLEST
) -> tuple[int, ...]:
    """Choose the channels of convolutions that halve a picture until its shorter side is `smallest` pixels or less."""
    side, widths = min(shape[:2]), []
    while side > smallest:
        side = half(side)
        widths.append(channels[min(len(widths), len(channels) - 1)])
    return tuple(widths)


def work(network: NetworkConfig, shape: tuple[int, ...]) -> int:
    """Count the products of one picture's way through a convolutional encoder."""
    height, width, before = shape[0], shape[1], shape[2] if len(shape) == 3 else 1
    products = 0
    for channels in network.hidden or ():
        height, width = half(height), half(width)
        each = network.kernel_size**2 * before * channels + 18 * network.blocks * channels**2
        products, before = products + height * width * each, channels
    return products
