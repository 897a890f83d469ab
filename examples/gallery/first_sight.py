"""The moving picture that the README opens with: `python examples/gallery/first_sight.py RUN DATA --out FILE.gif`.

RUN is a run, a model file or `pretrained:mnist-2d`: a model with two latent dimensions of square pictures with labels.
A point is dragged through the plane of latent codes, from one class to the next, and the picture that it decodes to is
shown beside it.
"""

import argparse
import io
import itertools

import numpy as np
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

import latens
from latens.figures.style import THEMES

SIZE = (900, 500)
PLANE = 500
PICTURE = (548, 66, 308)
"""Left, top and side of the decoded picture."""

GREYS = 12

COMMANDS = (
    "$ latens fit mnist --out runs/mnist \\",
    "      --set posterior.latent_dim=2",
    "$ latens explore runs/mnist",
)
"""What makes the same of MNIST, which the first command downloads where there is no copy."""


def path(codes: np.ndarray, labels: np.ndarray, frames: int) -> np.ndarray:
    """A closed smooth path of `frames` points through the middle of every class, the nearest class next."""
    middles = np.stack([np.median(codes[labels == c], axis=0) for c in np.unique(labels)])
    order, left = [0], set(range(1, len(middles)))
    while left:
        order.append(min(left, key=lambda c: float(np.linalg.norm(middles[c] - middles[order[-1]]))))
        left.remove(order[-1])
    corners = middles[order]
    at = np.arange(frames) * len(corners) / frames
    a = at.astype(int)
    t = (at - a)[:, None]
    t = t * t * (3 - 2 * t)  # slower at each class
    return (1 - t) * corners[a] + t * corners[(a + 1) % len(corners)]


def plane(codes: np.ndarray, labels: np.ndarray, low: np.ndarray, high: np.ndarray) -> Image.Image:
    """The scatter of the codes, a class a colour, with the name of each class at its middle."""
    theme = THEMES["light"]
    figure = Figure(figsize=(PLANE / 100, PLANE / 100), dpi=100, facecolor=theme.background)
    axes = figure.add_axes((0, 0, 1, 1))
    names, least = np.unique(labels), 0.05 * (high - low)
    middles = np.stack([np.median(codes[labels == c], axis=0) for c in names])
    for _ in range(50):  # names over each other part, each by half of what is lacking
        for i, j in itertools.combinations(range(len(names)), 2):
            away = (middles[j] - middles[i]) / least
            if (far := float(np.linalg.norm(away))) < 1.0:
                step = 0.5 * (1.0 - far) * least * (away / far if far else np.array([1.0, 0.0]))
                middles[i], middles[j] = middles[i] - step, middles[j] + step
    for i, c in enumerate(names):
        own, (x, y) = codes[labels == c], middles[i]
        axes.scatter(*own.T, s=5, linewidths=0, alpha=0.8, color=theme.classes[i % len(theme.classes)])
        box = {"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
        axes.text(x, y, str(c), ha="center", va="center", fontsize=12, fontweight="bold", color=theme.text, bbox=box)
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.axis("off")
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return Image.open(buffer).convert("RGB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("data")
    parser.add_argument("--out", required=True)
    parser.add_argument("--frames", type=int, default=56)
    parser.add_argument("--rows", type=int, default=4000)
    options = parser.parse_args()

    data = latens.read(options.data)
    rows = data.subset("test")[: options.rows]
    vae = latens.VAE.load(options.run)
    codes, labels = vae.transform(data.x[rows]), data.label[rows]
    low, high = np.quantile(codes, 0.004, axis=0), np.quantile(codes, 0.996, axis=0)
    margin = 0.06 * (high - low)
    low, high = low - margin, high + margin

    background = Image.new("RGB", SIZE, THEMES["light"].background)
    background.paste(plane(codes, labels, low, high), (0, 0))
    pen = ImageDraw.Draw(background)
    mono = font_manager.findfont("DejaVu Sans Mono")
    font, small = ImageFont.truetype(mono, 12), ImageFont.load_default(18)
    left, top, side = PICTURE
    pen.text((left, 28), "drag the code, see what it decodes to", fill=THEMES["light"].text, font=small)
    pen.rectangle((left - 1, top - 1, left + side, top + side), outline=THEMES["light"].grid)
    for line, command in enumerate(COMMANDS):
        pen.text((left, top + side + 22 + 20 * line), command, fill=THEMES["light"].text, font=font)

    points = path(codes, labels, options.frames)
    pictures = np.asarray(vae.inverse_transform(points)).reshape(len(points), *data.x.shape[1:3])
    pictures = np.clip(pictures / max(1.0, data.x.max()), 0, 1)
    # One palette for all frames, made from the scatter and greys, so that no class loses its colour.
    greys = Image.fromarray(np.tile(np.repeat(np.linspace(0, 255, GREYS).astype(np.uint8), 20), (64, 1))).convert("RGB")
    sample = background.copy()
    sample.paste(greys, (500, 70))
    palette = sample.quantize(64, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    frames = []
    for point, picture in zip(points, pictures):
        frame = background.copy()
        # Few greys in squares: what does not change costs nothing in a GIF.
        steps = np.round(picture * (GREYS - 1)) / (GREYS - 1)
        ink = Image.fromarray((255 - 255 * steps).astype(np.uint8)).resize((side, side), Image.Resampling.NEAREST)
        frame.paste(ink.convert("RGB"), (left, top))
        x = PLANE * (point[0] - low[0]) / (high[0] - low[0])
        y = PLANE * (1 - (point[1] - low[1]) / (high[1] - low[1]))
        pen = ImageDraw.Draw(frame)
        for width, colour in ((5, "#ffffff"), (3, "#22262b")):
            pen.ellipse((x - 9, y - 9, x + 9, y + 9), outline=colour, width=width)
            pen.line((x - 16, y, x + 16, y), fill=colour, width=width - 1)
            pen.line((x, y - 16, x, y + 16), fill=colour, width=width - 1)
        frames.append(frame.quantize(palette=palette, dither=Image.Dither.NONE))
    frames[0].save(
        options.out, save_all=True, append_images=frames[1:], duration=110, loop=0, optimize=True, disposal=1
    )


if __name__ == "__main__":
    main()
