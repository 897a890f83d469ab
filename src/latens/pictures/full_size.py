"""A filled part of a scaled picture, put back into the picture as it was."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from latens.data.formats.pictures import pixels_of, unreadable


def at_full_size(path: Path, filled: Float[np.ndarray, "h w *c"], hidden: Bool[np.ndarray, "h w"]) -> np.ndarray | None:
    """The centre of a picture file in which hidden pixels are those of `filled`; None where the file cannot be read."""
    # filled: on the scale 0 to 1, as the model has the picture. returns: the same scale, of the size that the model's
    # part has in the file. A pixel that is half hidden is filled: the hole's colour would shine through.
    from PIL import Image, ImageOps

    height, width = hidden.shape
    colours = filled.ndim == 3 and filled.shape[2] == 3
    try:
        whole = Image.fromarray(pixels_of(path, "RGB" if colours else "L")[0])
    except unreadable():
        return None
    scale = min(whole.width / width, whole.height / height)
    if scale <= 1.0:
        return filled
    size = (round(width * scale), round(height * scale))
    own = np.asarray(ImageOps.fit(whole, size, Image.Resampling.LANCZOS), np.float32) / 255.0

    def larger(channel: np.ndarray, how: Image.Resampling) -> np.ndarray:
        return np.asarray(Image.fromarray(channel.astype(np.float32)).resize(size, how))

    channels = filled.reshape(height, width, -1)
    new = np.stack([larger(channels[..., k], Image.Resampling.BICUBIC) for k in range(channels.shape[2])], axis=-1)
    share = np.clip(2.0 * larger(hidden, Image.Resampling.BILINEAR), 0.0, 1.0)
    share, new = (share[..., None], new) if colours else (share, new[..., 0])
    return np.clip(own * (1.0 - share) + new * share, 0.0, 1.0)
