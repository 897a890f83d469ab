"""`latens complete`: pictures of which a part is hidden, their colours or details, or all by noise; several answers."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

from latens.errors import LatensError, UsageError
from latens.io.waiting import doing
from latens.verbs._lazy import evaluation, jax, np
from latens.verbs.kernel import At, Given, Made, Seed, Verb, Work, arg, draws, number, whole

if TYPE_CHECKING:
    from latens.data import Dataset, Schema
    from latens.evaluation.complete import Completed
    from latens.evaluation.reductions import Reduction
    from latens.workflow.hidden import Way

MOST_IMAGES = 16
"""Rows that a picture of completions shows."""

MOST_CUT = 0.02
"""The share of noisy values at the ends of the range above which it is said that noise was cut off."""

_REGION = (
    "pixels that are hidden, as 14:,: for the lower half of 28 rows: counted from 0, at the size at which the model "
    "learned them; or in percent, as 50%%:,:"
)
_SCALE = "details are hidden: the mean of each N x N block is seen; DATA may be small or whole"
_NOISE = "DATA are noisy: Normal noise of this standard deviation, in levels, lies over every pixel"
_STEPS = (
    "gradient steps on the posterior of each picture (default 100, of pictures of more than 4096 numbers 50; 0 takes "
    "the encoder's)"
)
_ANSWERS = "answers for each picture (default 8; in a .png none with --mean)"
_DRAWS = "draws of z (default 1000, of pictures of more than 4096 numbers 200)"

_POWER = (
    "what is seen counts to the power T of its likelihood, as neighbours repeat one another (default: what hidden "
    "parts of the run's validation rows ask for; 1 takes the model as it is)"
)
POOR = 0.6
"""The share of the error of a plain colour above which it is said that little comes back."""

HOLE, COLOUR_HOLE = 0.15, 0.12
"""How far one plain level lies from what is around it, of the range of what is seen, where it is taken for a hole; and
how far a colour does: hardly any part of a photograph has one plain colour."""
MIXED, PLAIN = 3, 0.1
"""Pixels of its edge that may be mixed with others, and the range of levels within which a colour is plain."""

NEAR_BLOCK = 8
"""Large pictures that are completed together."""

KEPT_EVERY = 2.0
"""Seconds from one writing of the answers so far to the next."""


class Complete(Verb):
    """Pictures of which a part is hidden: several answers for it."""

    endings: ClassVar = (".npz", ".png")
    takes_out: ClassVar = ("FILE", "where the result goes: npz, png (a sheet), or FOLDER/ for one filled picture a row")
    needs_density: ClassVar = ("what a hidden part may have been", "Train a VAE.")
    data: Annotated[Any, arg("pictures", "DATA", reads=True)]
    region: Annotated[str | None, arg(_REGION, metavar="ROWS,COLUMNS")] = None
    mask: Annotated[str | None, arg("a picture or .npy file: hidden where it is above 0", metavar="FILE")] = None
    grey: Annotated[bool, arg("colours are hidden; DATA may be grey or in colour")] = False
    scale: Annotated[int | None, arg(_SCALE, metavar="N", kind=whole(2, 64))] = None
    noise: Annotated[float | None, arg(_NOISE, metavar="SD", kind=number(1e-6, 1e6))] = None
    num_samples: Annotated[int | None, arg(_DRAWS, metavar="K", kind=draws)] = None
    draws: Annotated[int | None, arg(_ANSWERS, metavar="M", kind=whole(0, 10**5))] = None
    mean: Annotated[bool, arg("answers are means of p(x | z), without noise; z is drawn")] = False
    power: Annotated[float | None, arg(_POWER, metavar="T", kind=number(1e-6, 1.0))] = None
    steps: Annotated[int | None, arg(_STEPS, metavar="N", kind=whole(0, 10_000))] = None
    given: Given = None
    seed: Seed = 0

    def __call__(self, at: At) -> Work:
        from latens.verbs._hidden import hidden_part, reduction_of, rows_to_reduce

        trained = at.trained
        ways = {"--region": self.region, "--mask": self.mask, "--grey": self.grey or None}
        ways |= {"--scale": self.scale, "--noise": self.noise}
        given = [flag for flag, value in ways.items() if value is not None]
        if len(given) > 1:
            what = f"{given[0]} and {given[1]} both say what is seen of a picture."
            raise UsageError(what, where=given[1], fix="Give one of them.")
        if self.power is not None and given and given[0] not in ("--region", "--mask"):
            what = f"--power does not go with {given[0]}."
            raise UsageError(what, where="--power", fix="Leave --power out, or give --region or --mask.")
        if self.draws == 0 and not self.mean:
            what = "0 leaves nothing but the mean."
            raise UsageError(what, where="--draws", fix="Add --mean, or give 1 or more.")
        reduction = reduction_of(trained, self.grey, self.scale, self.noise)
        hidden = hidden_part(trained, self.region, self.mask)
        if not given:
            at.given = {"missing": "nan", **at.given}
        data, whole = (at.load(), True) if reduction is None else rows_to_reduce(at, reduction)
        positions = at.positions(len(data))
        if at.picture:
            positions = positions[:: max(1, -(-len(positions) // MOST_IMAGES))]
        yield f"complete {len(positions)} rows of {data.name}"
        how = self._effort(at)
        try:
            if reduction is None:
                filled = self._part(at, data, positions, hidden, how)
            else:
                filled = self._whole(at, data, positions, reduction, whole, how)
        except KeyboardInterrupt:
            if at.kept:
                at.say(f"{at.out}: {at.kept} of {len(positions)} rows, those that were done")
            raise
        few = int((filled.effective < 10).sum()) if filled.told.get("weighed", True) else 0
        line = filled.line
        if few:
            fewer = f"{few} of {len(positions)} rows hang on fewer than 10 of the {how['num_samples']} draws of z"
            line += f"\n{fewer}: answers vary too little; raise --steps first, then --num-samples"
        if at.picture:
            last = "" if filled.original is None else ", the original"
            drawn = f", {self._shown(at)} draws" if self._shown(at) else ""
            line += f"\nfrom left to right: what is seen, the mean{drawn}{last}"
            if not self.mean and not filled.told.get("carried"):
                line += "\ndraws have the noise of single pixels; --mean shows answers without it"
        made = self._made(at, data, positions, filled)
        made.value = {"rows": len(positions), **filled.told, "rows_on_few_draws": few}
        made.text = f"{len(positions)} row{'s' * (len(positions) != 1)} of {data.name}, {line}"
        return made

    def place(self, at: At) -> Path | None:
        """A file, or a folder: one that is there, or that is named with a slash at its end."""
        if not at.asked.endswith(("/", os.sep)) and not os.path.isdir(at.asked):
            return self.checked_out(at.asked)
        folder = Path(at.asked)
        if folder.exists() and not folder.is_dir():
            raise UsageError("this is a file.", where=f"--out {at.asked}", fix="Choose another name for the folder.")
        if isinstance(self.data, str) and os.path.isdir(self.data):
            data, into = Path(self.data).resolve(), folder.resolve()
            if data == into or data in into.parents:
                what = "the filled pictures would lie among those of DATA."
                raise UsageError(what, where=f"--out {at.asked}", fix="Choose another folder.")
        return folder

    def _shown(self, at: At) -> int:
        """How many answers are drawn for every picture: none of a sheet of means, unless they are asked for."""
        if self.draws is not None:
            return self.draws
        return 0 if self._folder(at) or (self.mean and at.picture) else 8

    def _folder(self, at: At) -> bool:
        """Whether a folder of filled pictures is written."""
        return at.writes and (at.asked.endswith(("/", os.sep)) or at.out.is_dir())

    def _effort(self, at: At) -> dict[str, int]:
        """The draws of z and gradient steps of every row."""
        from latens.evaluation.complete import effort

        asked = {"num_samples": self.num_samples, "steps": self.steps}
        found = effort(int(np.prod(at.trained.schema.shape)))
        return found | {name: value for name, value in asked.items() if value is not None}

    def _say_effort(self, at: At, rows: int, how: dict[str, int]) -> None:
        """Say of large rows what takes long."""
        from latens.evaluation.complete import effort

        if effort(int(np.prod(at.trained.schema.shape))) != effort(1) and None in (self.num_samples, self.steps):
            each = f"{how['num_samples']} draws of z and {how['steps']} steps each"
            size = "a row of this size takes long (--num-samples, --steps)"
            at.say(f"{rows} row{'s' * (rows > 1)}, one by one, by {each}: {size}")

    def _made(self, at: At, data: "Dataset", positions: "np.ndarray", filled: "_Filled") -> Made:
        """What a file of these rows holds; the first of the positions where fewer are done."""
        from latens.pictures.full_size import at_full_size
        from latens.pictures.images import png_of, shown
        from latens.pictures.sheet import captioned

        def pixels() -> tuple[Any, int]:
            x, drawn, original = filled.seen, filled.draws, filled.original
            ends = [end for rows in (x, filled.mean, drawn) if rows.size for end in (rows.min(), rows.max())]
            scale = (float(min(ends)), float(max(ends)))
            answers = [drawn[:, k] for k in range(drawn.shape[1])]
            images = [shown(at.trained.schema, rows, scale) for rows in (x, filled.mean, *answers)]
            images += [] if original is None else [shown(at.trained.schema, original, scale)]
            if "mask" in filled.entries:
                images[0] = _hatched(images[0], filled.entries["mask"])
            heads = ["mean", *(f"draw {k}" for k in range(1, drawn.shape[1] + 1)), "original"][: len(images) - 1]
            below = [text for name in names for text in (str(name), *heads)]
            return captioned(np.stack(images, axis=1).reshape(-1, *images[0].shape[1:]), below), len(images)

        names = data.names[positions[: len(filled.mean)]]
        rows = {"row_id": names, "x": filled.mean, "draws": filled.draws, "effective": filled.effective}

        def files() -> dict[str, bytes]:
            images = list(shown(at.trained.schema, filled.mean))
            if "mask" in filled.entries and isinstance(self.data, str) and os.path.isdir(self.data):
                hidden = np.any(~filled.entries["mask"].reshape(len(images), *images[0].shape[:2], -1), axis=3)
                for k, name in enumerate(names.tolist()):
                    large = at_full_size(Path(self.data, str(name)), images[k], hidden[k])
                    images[k] = images[k] if large is None else large
            return {f"{name}.png": png_of(one) for name, one in zip(_stems(names), images)}

        return Made(arrays=rows | filled.entries, pixels=pixels, files=files if self._folder(at) else None)

    def _answers(
        self, at: At, data: "Dataset", positions: "np.ndarray", answer: "Callable[[Completed], _Filled]",
        units: "Callable[[Completed, slice], Completed]", run: "Callable[[Callable[[Completed], None]], Any]",
    ) -> "Completed":  # fmt: skip
        """Complete rows, and write those that are done every few seconds: what is stopped keeps them."""
        from latens.evaluation.complete import Completed

        blocks: list[Completed] = []
        last, done = time.monotonic(), 0

        def each(block: Completed) -> None:
            nonlocal last, done
            blocks.append(units(block, slice(done, done + len(block.mean))))
            done += len(block.mean)
            if at.writes and time.monotonic() - last > KEPT_EVERY:
                so_far = Completed(*map(np.concatenate, zip(*blocks)))
                self._made(at, data, positions, answer(so_far)).write(at.out)
                at.kept = len(so_far.mean)
                last = time.monotonic()

        doing("drawing answers")
        run(each)
        return Completed(*map(np.concatenate, zip(*blocks)))

    def _where(self, schema: "Schema") -> str:
        """The pixels of --region in words, with the size that they are counted on."""
        from latens.data.schema import image_shape
        from latens.verbs._hidden import region_of

        shape = image_shape(schema)
        if self.region is None or shape is None:
            return ""
        spans = zip(("pixel rows", "columns"), region_of(self.region, shape), shape)
        return ": " + ", ".join(f"{name} {first} to {last} of {size}" for name, (first, last), size in spans)

    def _way(self, at: At, seen: "np.ndarray", near: Any) -> "Way":
        """How much what is seen counts, as validation rows of the run say, where they are at hand."""
        from latens.data.schema import image_shape
        from latens.workflow.hidden import way_of

        own, options = None, at.options
        alone = image_shape(at.trained.schema) is None or getattr(at.trained.model, "missingness", None) is not None
        if not alone and self.power != 1.0:
            try:
                own = at.load_of(None)
            except LatensError:  # they have moved or changed, or nobody knows where they are
                own = None
            finally:
                at.options = options
        doing("how much seen pixels count")
        return way_of(at.trained, own, seen, near, power=self.power, seed=self.seed)

    def _part(
        self, at: At, data: "Dataset", positions: "np.ndarray", hidden: "np.ndarray | None", how: dict[str, int]
    ) -> "_Filled":
        import dataclasses

        from latens.evaluation.complete import LARGE, complete, log_hidden
        from latens.evaluation.linear_answer import conditioned
        from latens.workflow.hidden import carried_on, near_answers, near_zero

        trained = at.trained
        x = np.asarray(data.x[positions])
        seen = np.ones(x.shape, bool) if data.mask is None else np.asarray(data.mask[positions])
        seen = seen if hidden is None else seen & ~hidden
        if seen.all():
            ways = "--region ROWS,COLUMNS, --mask FILE, --grey, --scale N or --noise SD"
            what = f"nothing is hidden in the {len(positions)} rows of {data.name}."
            raise UsageError(what, where="--region", fix=f"Give {ways}, or rows with missing cells.")
        batch = dataclasses.replace(trained.batch(data, positions), mask=seen)
        of = trained.rows(batch, seed=self.seed)
        known = data.mask is None or bool(data.mask[positions].all())
        hole = _hole(trained.schema, x, ~seen) if known else None
        if hole is not None:
            known, seen = False, ~hole
            batch = dataclasses.replace(batch, mask=seen)
            of = trained.rows(batch, seed=self.seed)

        near = near_zero(trained.model, batch)
        way = self._way(at, seen, near)
        pixels = not self.mean and way.carry is None

        def units(found: "Completed", rows: slice) -> "Completed":
            mean, drawn = trained.data_units(found.mean, mean=True), trained.data_units(found.draws, mean=not pixels)
            how_drawn = {"means": self.mean, "seeds": np.asarray(batch.row_id)[rows], "seed": self.seed}
            mean, drawn = carried_on(trained, way, mean, drawn, x[rows], seen[rows], **how_drawn)
            return found._replace(mean=mean, draws=drawn[:, : self._shown(at)])

        def answer(found: "Completed", told: Any = None, line: str = "") -> _Filled:
            n = len(found.mean)
            mean = evaluation.finite(np.where(seen[:n], x[:n], found.mean), "mean", where=at.name)
            drawn = np.where(seen[:n, None], x[:n, None], found.draws)
            original = x[:n] if known else None
            return _Filled(x[:n], mean, drawn, original, found.effective, {"mask": seen[:n]}, told or {}, line)

        def run(each: "Callable[[Completed], None]") -> None:
            if way.near is None or way.power == 1.0:
                self._say_effort(at, len(x), how)
                how_decoded = {"mean": not pixels, "decoded": way.carry is not None}
                complete(
                    of, **{"num_draws": max(1, self._shown(at)), "power": way.power, "each": each, **how_decoded, **how}
                )
                return
            for start in range(0, len(x), NEAR_BLOCK):
                part = jax.tree.map(lambda leaf, at=start: leaf[at : at + NEAR_BLOCK], batch)
                each(near_answers(dataclasses.replace(of, batch=part), way, max(1, self._shown(at)), not pixels))

        found = self._answers(at, data, positions, answer, units, run)
        mean = answer(found).mean
        told: dict[str, Any] = {"hidden": float(1 - seen.mean()), "power": way.power}
        told |= {"carried": way.carry is not None, "judged_rows": way.rows}
        told |= {"weighed": way.near is None or way.power == 1.0}
        line = f"{100 * (1 - seen.mean()):.0f} % hidden{self._where(trained.schema)}\n{_way_text(way)}"
        if hole is not None:
            told["hole"] = True
            line += (
                "\nwhat is hidden is one plain colour in all pictures: taken for a hole, so its error is not measured"
            )
        if not known and way.errors is not None:
            ours, edge = way.errors
            told["error_on_validation_rows"] = {"error": ours, "edge": edge}
            line += f"\nerror of the mean in validation rows with such gaps: {ours:.4g}; "
            line += f"filled from the edge {edge:.4g}"
        if known:
            doing("how likely the hidden parts are")
            hidden_rows = log_hidden(of, near=near if x[0].size > LARGE else None, **how)
            rows = evaluation.finite(hidden_rows.rows, "log p(hidden | seen)", where=at.name)
            error = float(rows.std(ddof=1) / np.sqrt(len(rows))) if len(rows) > 1 else None
            by_draws = hidden_rows.draws_error if np.isfinite(hidden_rows.draws_error) else None
            told |= {"log_hidden_given_seen": float(rows.mean()), "standard_error": error, "draws_error": by_draws}
            line += f"\nlog p(hidden | seen): {rows.mean():.2f}"
            line += "" if error is None else f" ± {1.96 * error:.2f} (rows)"
            line += "" if by_draws is None else f" ± {1.96 * by_draws:.2f} (draws)"
            line += " nats a row, of what is hidden as it was"
            line += "" if way.as_it_is else ", by the model as it is"
            if by_draws is None:
                line += "; by how much the draws of z make it wrong is not known: raise --steps, then --num-samples"
            rival = conditioned(of, power=way.rival_power)
            means = None if rival is None else np.where(seen, x, trained.data_units(rival.mean, mean=True))
            if beside := _beside(trained.schema, mean, means, x, ~seen):
                if rival is not None:
                    beside["gaussian"]["log_hidden_given_seen"] = float(rival.log_hidden.mean())
                    line += f"\nlog p(hidden | seen) of a conditioned Gaussian: {rival.log_hidden.mean():.2f}"
                told |= beside
                line += f"\n{_beside_text(beside, trained.schema)}"
        return answer(found, told, line)

    def _whole(
        self, at: At, data: "Dataset", positions: "np.ndarray", reduction: "Reduction", whole: bool,
        how: dict[str, int],
    ) -> "_Filled":  # fmt: skip
        from latens.data import Preparation
        from latens.evaluation import Rows
        from latens.evaluation.complete import complete
        from latens.evaluation.linear_answer import conditioned
        from latens.verbs._hidden import reduced_rows

        trained = at.trained
        stored, batch = reduced_rows(trained, data, positions, reduction)
        of = Rows(trained.model, batch, jax.random.key(self.seed), Preparation(classes=trained.preparation.classes))
        seen = np.stack([np.asarray(reduction.spread(row)) for row in stored]).reshape(
            len(stored), *trained.schema.shape
        )
        original = np.asarray(data.x[positions]) if whole else None

        def answer(found: "Completed", told: Any = None, line: str = "") -> _Filled:
            n = len(found.mean)
            mean, drawn = evaluation.finite(found.mean, "mean", where=at.name), found.draws
            before = None if original is None else original[:n]
            return _Filled(seen[:n], mean, drawn, before, found.effective, {"seen": stored[:n]}, told or {}, line)

        def units(found: "Completed", rows: slice) -> "Completed":
            drawn = trained.data_units(found.draws, mean=self.mean)[:, : self._shown(at)]
            return found._replace(mean=trained.data_units(found.mean, mean=True), draws=drawn)

        self._say_effort(at, len(stored), how)
        options = {"num_draws": max(1, self._shown(at)), "mean": self.mean, "reduction": reduction, **how}
        found = self._answers(at, data, positions, answer, units, lambda each: complete(of, each=each, **options))
        mean = answer(found).mean
        line = "of the colours the grey is seen"
        if not self.grey:
            line = f"of {self.scale} x {self.scale} pixels the mean is seen"
        told: dict[str, Any] = {"hidden": 1 - stored[0].size / mean[0].size}
        if self.noise is not None:
            line, told = f"seen through noise of standard deviation {self.noise:g}", {"noise": self.noise}
            cut = float(np.mean((stored <= 0) | (stored >= (trained.schema.levels or 2) - 1)))
            if trained.schema.kind == "levels" and stored.min() >= 0 and cut > MOST_CUT:
                ends = f"{cut:.0%} of the noisy values lie at an end of the range"
                line += f"\n{ends}: cut-off noise makes dark pixels too bright and bright ones too dark; "
                line += "give the values before they were cut, where you have them (.npy)"
        if (rival := conditioned(of, reduction=reduction)) is not None:
            seen_by = {"log_seen": float(found.log_seen.mean())}
            told |= seen_by | {"gaussian": {"log_seen": float(rival.log_seen.mean())}}
            line += f"\nlog p(seen): {found.log_seen.mean():.2f} nats a row, of a conditioned Gaussian "
            line += f"{rival.log_seen.mean():.2f}"
            if original is not None:
                means = trained.data_units(rival.mean, mean=True)
                beside = _beside(trained.schema, mean, means, original, np.ones(mean.shape, bool))
                told |= {"error": beside["error"], "gaussian": told["gaussian"] | beside["gaussian"]}
                line += f"\n{_beside_text(beside, trained.schema)}"
        return answer(found, told, line)


class _Filled(NamedTuple):
    """Pictures that are whole again, in the unit of the stored rows, and what is said of them."""

    seen: "np.ndarray"
    mean: "np.ndarray"
    draws: "np.ndarray"
    original: "np.ndarray | None"
    effective: "np.ndarray"
    entries: "dict[str, np.ndarray]"
    told: dict[str, Any]
    line: str


def _hole(schema: "Schema", x: "np.ndarray", hidden: "np.ndarray") -> "np.ndarray | None":
    """What is hidden, where that is one plain colour in all pictures, and another than what lies around it."""
    # Where pictures were scaled, the colour is mixed with its neighbours at its edge: in a colour picture it may be one
    # that is plain only inside; then a pixel more around it is hidden. returns: None where nothing was painted.
    from scipy.ndimage import binary_dilation, binary_erosion

    from latens.data.schema import image_shape
    from latens.evaluation.carry import filled_from_edge

    shape = image_shape(schema)
    if shape is None or hidden.all() or np.any(hidden != hidden[:1]):
        return None
    whole = lambda one: np.asarray(one).reshape(len(x), *shape[:2], -1)  # noqa: E731
    own, at = whole(x).astype(np.float64), whole(hidden)
    plane, range_of = at[0].any(axis=2), max(float(np.ptp(own)), 1e-9)
    plain = lambda part, most: all(np.ptp(own[:, part, k]) <= most for k in range(own.shape[-1]))  # noqa: E731
    exact = all(np.ptp(own[..., k][at[..., k]]) == 0 for k in range(own.shape[-1]) if at[..., k].any())
    colours = own.shape[-1] == 3
    inside = binary_erosion(plane, iterations=MIXED, border_value=1) if colours else plane
    if not exact and not (inside.any() and plain(inside, PLAIN * range_of)):
        return None
    more = plane if exact else binary_dilation(plane, np.ones((3, 3)))
    at = at | (more & ~plane)[None, :, :, None]
    edge, seen = filled_from_edge(own, ~at), own[~at]
    far = COLOUR_HOLE if colours else HOLE
    if not np.sqrt(np.mean(np.square(edge - own)[at])) > far * max(float(np.ptp(seen)), 1e-9):
        return None
    return at.reshape(hidden.shape)


def _beside(
    schema: "Schema", mean: "np.ndarray", gaussian: "np.ndarray | None", x: "np.ndarray", hidden: "np.ndarray"
) -> dict[str, Any]:
    """How far the means of hidden cells are from what they were, beside a Gaussian and what the edge alone says."""
    # returns: the error, and for each rival its own and whether it is nearer by two standard errors.
    from latens.data.schema import image_shape
    from latens.evaluation.carry import filled_from_edge

    x, cells = np.asarray(x, np.float64), max(int(hidden.sum()), 1)
    away = lambda made: np.where(hidden, np.square(made - x), 0.0).reshape(len(x), -1).sum(axis=1)  # noqa: E731
    ours, others = away(mean), {} if gaussian is None else {"gaussian": gaussian}
    shape, flat = image_shape(schema), None
    if shape is not None and not hidden.all():
        whole = lambda one: one.reshape(len(x), *shape[:2], -1)  # noqa: E731
        others["edge"] = filled_from_edge(whole(x), ~whole(hidden)).reshape(x.shape)
        some = ~whole(hidden)
        middle = np.where(some, whole(x), 0).sum(axis=(1, 2), keepdims=True)
        middle = middle / np.maximum(some.sum(axis=(1, 2), keepdims=True), 1)
        flat = float(np.sqrt(away(np.broadcast_to(middle, some.shape).reshape(x.shape)).sum() / cells))
    if not others:
        return {}
    told: dict[str, Any] = {"error": float(np.sqrt(ours.sum() / cells))}
    for name, made in others.items():
        behind = (ours - (other := away(made))) / hidden.reshape(len(x), -1).sum(axis=1).mean()
        nearer = len(x) > 1 and behind.mean() > 2.0 * behind.std(ddof=1) / np.sqrt(len(x))
        told[name] = {"error": float(np.sqrt(other.sum() / cells)), "nearer": bool(nearer)}
    if flat is not None:
        told |= {"flat": flat, "poor": bool(told["error"] > POOR * flat)}
    return told


_RIVALS = {"edge": "filled from the edge alone", "gaussian": "by a conditioned Gaussian"}


def _beside_text(told: dict[str, Any], schema: "Schema") -> str:
    """One sentence of all errors, and another one where the model's is poor."""
    unit = f" of {schema.levels - 1} levels" if schema.kind == "levels" and schema.levels else ""
    text = f"error of the mean where it is hidden: {told['error']:.4g}{unit}"
    nearer = [words for name, words in _RIVALS.items() if name in told and told[name]["nearer"]]
    text += "".join(f"; {words} {told[name]['error']:.4g}" for name, words in _RIVALS.items() if name in told)
    if nearer:
        text += f"\npoor: {' and '.join(nearer)} it is nearer; train longer"
    elif told.get("poor"):
        text += f"\npoor: one plain colour, the mean of what is seen, is off by {told['flat']:.4g}; "
        text += "what was hidden is mostly guessed"
    return text


def _way_text(way: "Way") -> str:
    """What was done, in plain words."""
    parts = [f"seen pixels count for {100 * way.power:.3g} % each, as neighbours repeat one another"]
    if way.power == 1.0:
        parts = ["seen pixels count in full"]
    if way.carry is not None:
        parts.append("what the model leaves at the edge of a gap goes on into it")
    text = "; ".join(parts)
    if not way.rows:
        return text if way.power < 1.0 else f"{text}, as nothing else was chosen (--power)"
    by = f"{text} (chosen on hidden parts of {way.rows} validation rows"
    return f"{by})" if way.as_it_is else f"{by}; --power 1 takes the model as it is)"


def _stems(names: "np.ndarray") -> list[str]:
    """The names of rows as those of files: without their endings, where these do not tell them apart."""
    short = [os.path.splitext(str(name))[0] for name in names]
    return [one if short.count(one) == 1 else str(name) for one, name in zip(short, names)]


def _hatched(images: "np.ndarray", seen: "np.ndarray") -> "np.ndarray":
    """The pictures with a pattern of squares where they are hidden."""
    rows, columns = np.indices(images.shape[1:3])
    pattern = np.where((rows + columns) % 2, 0.55, 0.35)
    pattern = np.broadcast_to(pattern if images.ndim == 3 else pattern[..., None], images.shape[1:])
    return np.where(seen.reshape(images.shape), images, pattern)
