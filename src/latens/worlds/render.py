"""Pictures of what a model of an environment shows: decoded ones, or the observation's entries over time."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from latens.errors import UsageError
from latens.kinds.steps.world import World

SIDE = (400, 300)
"""Width and height of a drawing, in pixels."""
_COLOURS = ((31, 119, 180), (214, 96, 20), (44, 140, 60), (170, 40, 50), (120, 90, 170), (110, 80, 70))
_MARGIN = 12


def drawn(trail: Sequence[Any], world: World, steps: int = 0) -> np.ndarray:
    """Draw observations: the last one where they are pictures, else a line for each entry over the steps."""
    from PIL import Image, ImageDraw

    width, height = SIDE
    if len(world.observation.shape) > 1:
        last = np.asarray(trail[-1])
        last = last[..., None] if last.ndim == 2 else last
        low, high = (float(np.min(x)) for x in world.observation.limits())
        grey = np.clip((last - low) / max(high - low, 1e-9), 0, 1) * 255
        tiles = np.broadcast_to(grey, (*grey.shape[:2], 3)).astype(np.uint8)
        return np.asarray(Image.fromarray(tiles).resize((height, height), Image.Resampling.NEAREST))
    rows = np.asarray(trail, np.float64).reshape(len(trail), -1)
    page = Image.new("RGB", SIDE, (255, 255, 255))
    pen, span = ImageDraw.Draw(page), max(steps, len(rows), 100)
    band = (height - 2 * _MARGIN) / rows.shape[1]
    for j in range(rows.shape[1]):
        top, reach = _MARGIN + band * j, max(float(np.abs(rows[:, j]).max()), 1e-6)
        pen.line([(0, top + 6 + band / 2), (width, top + 6 + band / 2)], fill=(225, 225, 225))
        points = [
            (_MARGIN + (width - 2 * _MARGIN) * i / (span - 1), top + 6 + band / 2 - 0.34 * band * value / reach)
            for i, value in enumerate(rows[:, j])
        ]
        colour = _COLOURS[j % len(_COLOURS)]
        pen.line(points, fill=colour, width=2) if len(points) > 1 else pen.point(points, fill=colour)
        pen.text((_MARGIN, top + 1), f"{world.observations[min(j, len(world.observations) - 1)]} {rows[-1, j]:.2f}",
                 fill=colour)  # fmt: skip
    return np.asarray(page)


def film(
    env: Any,
    true: Any,  # the environment that was recorded, with `render_mode="rgb_array"`
    policy: Callable[[Any], Any],
    out: str | Path,
    *,
    steps: int = 200,
    seed: int = 0,
    draw: Callable[[np.ndarray], np.ndarray] | None = None,  # of an observation, for what the model shows
) -> dict[str, float]:
    """Play one policy in the model and in the true environment, side by side in a GIF; give both returns."""
    # Both begin at the observation of the true one's reset. Each is played by what it shows itself. An episode that has
    # ended stands still. `outside` is the share of the model's steps at which the alarm was on.
    from PIL import Image

    from latens.io.atomic import as_path, write_atomic

    if Path(out).suffix.lower() != ".gif":
        raise UsageError(f"{str(out)!r} does not end in .gif.", where="out", fix="Give a name that ends in .gif.")
    if getattr(true, "render_mode", None) != "rgb_array":
        fix = 'Make it with render_mode="rgb_array".'
        raise UsageError("the true environment renders no pictures.", where="true", fix=fix)
    there, _ = true.reset(seed=seed)
    picked = there if env.world.observed is None else np.asarray(there)[list(env.world.observed)]
    here, _ = env.reset(seed=seed, options={"start": np.asarray(picked)})
    trail, frames, alive, outside, paid = [here], [], [True, True], [], {"model": 0.0, "true": 0.0}
    for _ in range(steps):
        left = draw(np.asarray(here)) if draw is not None else drawn(trail, env.world, steps)
        frames.append(_beside(left, true.render()))
        if not any(alive):
            break
        if alive[0]:
            here, reward, terminated, truncated, info = env.step(policy(here))
            trail.append(here)
            outside.append(info["outside"])
            paid["model"] += float(reward)
            alive[0] = not (terminated or truncated)
        if alive[1]:
            there, reward, terminated, truncated, _ = true.step(policy(there))
            paid["true"] += float(reward)
            alive[1] = not (terminated or truncated)
    import io

    first, *rest = (Image.fromarray(frame).quantize(64) for frame in frames)
    sink = io.BytesIO()
    first.save(sink, "GIF", save_all=True, append_images=rest, duration=40, loop=0)
    write_atomic(as_path(out), sink.getvalue())
    return {**paid, "outside": float(np.mean(outside))}


def _beside(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Two pictures of one height with a line between them."""
    from PIL import Image

    height = SIDE[1]
    sized = [
        np.asarray(Image.fromarray(np.asarray(one, np.uint8)).resize((one.shape[1] * height // one.shape[0], height)))
        for one in (left, right)
    ]
    return np.concatenate([sized[0], np.full((height, 4, 3), 90, np.uint8), sized[1]], axis=1)
