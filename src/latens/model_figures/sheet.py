"""Pictures with their names below them, for a contact sheet."""

import math
import textwrap
from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped

SIDE, LINE = 128, 16
"""The least longer side of a picture on a sheet, and the height of its name, in pixels."""

LETTER = 6
"""The width of a letter of Pillow's own font, in pixels."""


def captioned(images: Shaped[np.ndarray, "n h w *c"], names: Sequence[str]) -> Shaped[np.ndarray, "n m p 3"]:
    """Enlarge pictures on the scale 0 to 1 by a whole number, and write the name of each below it on white."""
    from PIL import Image, ImageDraw, ImageFont

    x = np.asarray(images, np.float32)
    x = x[..., None] if x.ndim == 3 else x
    x = np.broadcast_to(x, (*x.shape[:3], 3)) if x.shape[3] == 1 else x
    scale = max(1, math.ceil(SIDE / max(x.shape[1:3])))
    x = np.clip(x, 0.0, 1.0).repeat(scale, axis=1).repeat(scale, axis=2)
    font, most = ImageFont.load_default_imagefont(), x.shape[2] // LETTER
    texts = [textwrap.fill(name.encode("ascii", "replace").decode(), most) for name in names]
    below = LINE * max((text.count("\n") + 1 for text in texts), default=1)
    found = np.ones((len(x), x.shape[1] + below, x.shape[2], 3), np.float32)
    found[:, : x.shape[1]] = x
    for one, text in zip(found, texts):
        label = Image.new("L", (x.shape[2], below), 255)
        ImageDraw.Draw(label).text((1, 2), text, fill=0, font=font)
        one[x.shape[1] :] = np.asarray(label, np.float32)[..., None] / 255.0
    return found
