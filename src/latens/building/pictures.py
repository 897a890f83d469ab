"""What the default takes for pictures: convolutions sized from the picture, mixtures of logistics for its levels."""

from msgspec.structs import replace

from latens.config import LikelihoodConfig, NetworkConfig, VAEConfig
from latens.data import Dataset, Schema
from latens.data.schema import image_shape
from latens.networks.strided import half

SMALLEST, FEW_LEVELS = 16, 32
"""The shortest side of a picture that is taken for one, in pixels; up to so many levels have a probability each."""

WIDTHS = (32, 64, 128)
"""Channels after each halving; further halvings keep the last."""

FEW_ROWS = 2000
"""Training pictures below which it is said that they are few."""


def is_picture(schema: Schema) -> bool:
    """Say whether rows are pictures for which convolutions are the default.

    Args:
        schema: The schema of the rows.

    Returns:
        True for grey or colour pictures of many levels, from 16 x 16 pixels up.
    """
    shape = image_shape(schema)
    return (
        shape is not None
        and min(shape[:2]) >= SMALLEST
        and schema.kind == "levels"
        and (schema.levels or 0) > FEW_LEVELS
    )


def for_pictures(config: VAEConfig, data: Dataset) -> tuple[VAEConfig, list[str]]:
    """Decide networks and likelihood of the default recipe where rows are pictures and neither was chosen.

    Args:
        config: A configuration whose `network.kind` is "auto".
        data: The data.

    Returns:
        The configuration with a kind of network, and the reasons.
    """
    network, reasons = config.network, []
    shape = image_shape(data.schema)
    if network.hidden is not None or network.encoder or network.decoder or shape is None or not is_picture(data.schema):
        return replace(config, network=replace(network, kind="dense")), reasons
    widths = convolution_widths(shape)
    network = replace(network, kind="conv", hidden=widths, kernel_size=4, blocks=network.blocks)
    sizes = " x ".join(map(str, shape))
    reasons.append(
        f"convolutions of {', '.join(map(str, widths))} channels with residual blocks, for pictures of {sizes} "
        "(--set network=dense for dense networks)"
    )
    likelihood = config.likelihood
    if likelihood.family == "auto":
        likelihood = LikelihoodConfig(family="logistic-mixture")
        reasons.append("likelihood: logistic-mixture, because it has a probability for each of many levels")
    rows = data.count("train")
    if rows < FEW_ROWS:
        reasons.append(f"{rows:,} training pictures are few: expect new pictures that look alike or blurred")
    return replace(config, network=network, likelihood=likelihood), reasons


def convolution_widths(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Choose the channels of convolutions that halve a picture until its shorter side is 4 pixels or less.

    Args:
        shape: The shape of the picture, (height, width) or with channels.

    Returns:
        One width for each halving.
    """
    side, widths = min(shape[:2]), []
    while side > 4:
        side = half(side)
        widths.append(WIDTHS[min(len(widths), len(WIDTHS) - 1)])
    return tuple(widths)


def work(network: NetworkConfig, shape: tuple[int, ...]) -> int:
    """Count the products of one picture's way through a convolutional encoder.

    Args:
        network: The configuration, with widths.
        shape: The shape of the picture.

    Returns:
        How many.
    """
    height, width, before = shape[0], shape[1], shape[2] if len(shape) == 3 else 1
    products = 0
    for channels in network.hidden or ():
        height, width = half(height), half(width)
        each = network.kernel_size**2 * before * channels + 18 * network.blocks * channels**2
        products, before = products + height * width * each, channels
    return products
