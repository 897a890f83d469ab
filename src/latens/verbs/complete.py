"""`latens complete`: pictures of which a part is hidden, their colours or details, or all by noise; several answers."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

from latens.errors import UsageError
from latens.io.waiting import doing
from latens.verbs._lazy import evaluation, jax, np
from latens.verbs.kernel import At, Given, Made, Seed, Verb, Work, arg, draws, number, parts, whole

if TYPE_CHECKING:
    from latens.data import Dataset
    from latens.evaluation.complete import Completed
    from latens.evaluation.reductions import Reduction

MOST_IMAGES = 16
"""Rows that a picture of completions shows."""

MOST_CUT = 0.02
"""The share of noisy values at the ends of the range above which it is said that noise was cut off."""

_REGION = "pixels that are hidden, counted from 0: --region 14:,: for the lower half of 28 rows"
_SCALE = "details are hidden: the mean of each N x N block is seen; DATA may be small or whole"
_NOISE = "DATA are noisy: Normal noise of this standard deviation, in levels, lies over every pixel"
_STEPS = (
    "gradient steps on the posterior of each picture (default 100, of pictures of more than 4096 numbers 50; 0 takes "
    "the encoder's)"
)
_DRAWS = "draws of z (default 1000, of pictures of more than 4096 numbers 200)"

KEPT_EVERY = 2.0
"""Seconds from one writing of the answers so far to the next."""


class Complete(Verb):
    """Pictures of which a part is hidden: several answers for it."""

    endings: ClassVar = (".npz", ".png")
    needs_density: ClassVar = ("what a hidden part may have been", "Train a VAE.")
    data: Annotated[Any, arg("pictures", "DATA", reads=True)]
    region: Annotated[str | None, arg(_REGION, metavar="ROWS,COLUMNS")] = None
    mask: Annotated[str | None, arg("a picture or .npy file: hidden where it is above 0", metavar="FILE")] = None
    grey: Annotated[bool, arg("colours are hidden; DATA may be grey or in colour")] = False
    scale: Annotated[int | None, arg(_SCALE, metavar="N", kind=whole(2, 64))] = None
    noise: Annotated[float | None, arg(_NOISE, metavar="SD", kind=number(1e-6, 1e6))] = None
    num_samples: Annotated[int | None, arg(_DRAWS, metavar="K", kind=draws)] = None
    draws: Annotated[int, arg("answers for each picture (default 8)", metavar="M", kind=parts)] = 8
    mean: Annotated[bool, arg("answers are means of p(x | z), without noise; z is drawn")] = False
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
        reduction = reduction_of(trained, self.grey, self.scale, self.noise)
        hidden = hidden_part(trained, self.region, self.mask)
        if not given:
            at.given = {"missing": "nan", **at.given}
        data, whole = (at.load(), True) if reduction is None else rows_to_reduce(at, reduction)
        positions = at.positions(len(data))
        if at.picture:
            positions = positions[:: max(1, -(-len(positions) // MOST_IMAGES))]
        yield f"complete {len(positions)} rows of {data.name}"
        how = self._effort(at, len(positions))
        try:
            if reduction is None:
                filled = self._part(at, data, positions, hidden, how)
            else:
                filled = self._whole(at, data, positions, reduction, whole, how)
        except KeyboardInterrupt:
            if at.kept:
                at.say(f"{at.out}: {at.kept} of {len(positions)} rows, those that were done")
            raise
        line, few = filled.line, int((filled.effective < 10).sum())
        if few:
            fewer = f"{few} of {len(positions)} rows hang on fewer than 10 of the {how['num_samples']} draws of z"
            line += f"\n{fewer}: answers vary too little; raise --steps first, then --num-samples"
        if at.picture:
            last = "" if filled.original is None else ", the original"
            line += f"\nfrom left to right: what is seen, the mean, {self.draws} draws{last}"
            line += "" if self.mean else "\ndraws have the noise of single pixels; --mean shows answers without it"
        made = self._made(at, data, positions, filled)
        made.value = {"rows": len(positions), **filled.told, "rows_on_few_draws": few}
        made.text = f"{len(positions)} row{'s' * (len(positions) != 1)} of {data.name}, {line}"
        return made

    def _effort(self, at: At, rows: int) -> dict[str, int]:
        """The draws of z and gradient steps of every row; of large ones it is said what they are."""
        from latens.evaluation.complete import effort

        usual = effort(int(np.prod(at.trained.schema.shape)))
        asked = {"num_samples": self.num_samples, "steps": self.steps}
        found = usual | {name: value for name, value in asked.items() if value is not None}
        if usual != effort(1) and None in asked.values():
            each = f"{found['num_samples']} draws of z and {found['steps']} steps each"
            size = "a row of this size takes long (--num-samples, --steps)"
            at.say(f"{rows} row{'s' * (rows > 1)}, one by one, by {each}: {size}")
        return found

    def _made(self, at: At, data: "Dataset", positions: "np.ndarray", filled: "_Filled") -> Made:
        """What a file of these rows holds; the first of the positions where fewer are done."""
        from latens.pictures.images import shown

        def pixels() -> tuple[Any, int]:
            x, drawn, original = filled.seen, filled.draws, filled.original
            scale = (float(min(x.min(), drawn.min())), float(max(x.max(), drawn.max())))
            images = [shown(at.trained.schema, rows, scale) for rows in (x, filled.mean, *np.moveaxis(drawn, 1, 0))]
            images += [] if original is None else [shown(at.trained.schema, original, scale)]
            if "mask" in filled.entries:
                images[0] = _hatched(images[0], filled.entries["mask"])
            return np.stack(images, axis=1).reshape(-1, *images[0].shape[1:]), len(images)

        names = data.names[positions[: len(filled.mean)]]
        rows = {"row_id": names, "x": filled.mean, "draws": filled.draws, "effective": filled.effective}
        return Made(arrays=rows | filled.entries, pixels=pixels)

    def _answers(
        self, at: At, data: "Dataset", positions: "np.ndarray", of: Any, answer: "Callable[[Completed], _Filled]",
        **options: Any,
    ) -> "Completed":  # fmt: skip
        """Complete rows, and write those that are done every few seconds: what is stopped keeps them."""
        from latens.evaluation.complete import Completed, complete

        blocks: list[Completed] = []
        last = time.monotonic()

        def each(block: Completed) -> None:
            nonlocal last
            blocks.append(block)
            if at.writes and time.monotonic() - last > KEPT_EVERY:
                so_far = Completed(*map(np.concatenate, zip(*blocks)))
                self._made(at, data, positions, answer(so_far)).write(at.out)
                at.kept = len(so_far.mean)
                last = time.monotonic()

        doing("drawing answers")
        return complete(of, num_draws=self.draws, mean=self.mean, each=each, **options)

    def _part(
        self, at: At, data: "Dataset", positions: "np.ndarray", hidden: "np.ndarray | None", how: dict[str, int]
    ) -> "_Filled":
        import dataclasses

        from latens.evaluation.complete import log_hidden
        from latens.evaluation.linear_answer import conditioned

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

        def answer(found: "Completed", told: Any = None, line: str = "") -> _Filled:
            n = len(found.mean)
            mean = np.where(seen[:n], x[:n], trained.data_units(found.mean, mean=True))
            mean = evaluation.finite(mean, "mean", where=at.name)
            drawn = np.where(seen[:n, None], x[:n, None], trained.data_units(found.draws, mean=self.mean))
            original = x[:n] if known else None
            return _Filled(x[:n], mean, drawn, original, found.effective, {"mask": seen[:n]}, told or {}, line)

        found = self._answers(at, data, positions, of, answer, **how)
        mean = answer(found).mean
        told: dict[str, Any] = {"hidden": float(1 - seen.mean())}
        line = f"{100 * (1 - seen.mean()):.0f} % hidden"
        if known:
            doing("how likely the hidden parts are")
            hidden_rows = log_hidden(of, **how)
            rows = evaluation.finite(hidden_rows.rows, "log p(hidden | seen)", where=at.name)
            error = float(rows.std(ddof=1) / np.sqrt(len(rows))) if len(rows) > 1 else None
            by_draws = hidden_rows.draws_error if np.isfinite(hidden_rows.draws_error) else None
            told |= {"log_hidden_given_seen": float(rows.mean()), "standard_error": error, "draws_error": by_draws}
            line += f"\nlog p(hidden | seen): {rows.mean():.2f}"
            line += "" if error is None else f" ± {1.96 * error:.2f} (rows)"
            line += "" if by_draws is None else f" ± {1.96 * by_draws:.2f} (draws)"
            line += " nats a row, of what is hidden as it was"
            if by_draws is None:
                line += "; by how much the draws of z make it wrong is not known: raise --steps, then --num-samples"
            if (rival := conditioned(of)) is not None:
                means = np.where(seen, x, trained.data_units(rival.mean, mean=True))
                beside = _beside(mean, means, x, ~seen)
                beside["gaussian"]["log_hidden_given_seen"] = float(rival.log_hidden.mean())
                told |= beside
                line += f"\n{_beside_text(beside)}, and log p(hidden | seen) is {rival.log_hidden.mean():.2f}"
        return answer(found, told, line)

    def _whole(
        self, at: At, data: "Dataset", positions: "np.ndarray", reduction: "Reduction", whole: bool,
        how: dict[str, int],
    ) -> "_Filled":  # fmt: skip
        from latens.data import Preparation
        from latens.evaluation import Rows
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
            mean = evaluation.finite(trained.data_units(found.mean, mean=True), "mean", where=at.name)
            drawn = trained.data_units(found.draws, mean=self.mean)
            before = None if original is None else original[:n]
            return _Filled(seen[:n], mean, drawn, before, found.effective, {"seen": stored[:n]}, told or {}, line)

        found = self._answers(at, data, positions, of, answer, reduction=reduction, **how)
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
                beside = _beside(mean, means, original, np.ones(mean.shape, bool))
                told |= {"error": beside["error"], "gaussian": told["gaussian"] | beside["gaussian"]}
                line += f"\n{_beside_text(beside)}"
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


def _beside(mean: "np.ndarray", rival: "np.ndarray", x: "np.ndarray", hidden: "np.ndarray") -> dict[str, Any]:
    """How far the means of hidden cells are from what they were, beside those of a conditioned Gaussian."""
    x = np.asarray(x, np.float64)
    ours, other = (np.where(hidden, np.square(one - x), 0.0).reshape(len(x), -1).sum(axis=1) for one in (mean, rival))
    away = (ours - other) / hidden.reshape(len(x), -1).sum(axis=1).mean()
    behind = len(x) > 1 and away.mean() > 2.0 * away.std(ddof=1) / np.sqrt(len(x))
    cells = hidden.sum()
    error, of_rival = (float(np.sqrt(one.sum() / cells)) for one in (ours, other))
    return {"error": error, "gaussian": {"error": of_rival, "nearer": bool(behind)}}


def _beside_text(told: dict[str, Any]) -> str:
    """One sentence of both errors."""
    rival = told["gaussian"]
    text = f"error of the mean where it is hidden: {told['error']:.4g}; of a conditioned Gaussian {rival['error']:.4g}"
    return f"{text}, which is nearer: train longer" if rival["nearer"] else text


def _hatched(images: "np.ndarray", seen: "np.ndarray") -> "np.ndarray":
    """The pictures with a pattern of squares where they are hidden."""
    rows, columns = np.indices(images.shape[1:3])
    pattern = np.where((rows + columns) % 2, 0.55, 0.35)
    pattern = np.broadcast_to(pattern if images.ndim == 3 else pattern[..., None], images.shape[1:])
    return np.where(seen.reshape(images.shape), images, pattern)
