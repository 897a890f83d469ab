"""`latens sample`: new rows from a model."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from latens.commands._lazy import estimate, jax, np, pl
from latens.commands.base import Call, Given, Mean, ModelCommand, Result, Seed, Work, arg, number, table_rows
from latens.errors import ConfigError, UsageError
from latens.runtime.file_limits import free_name

if TYPE_CHECKING:
    from latens.predictive.conditional_samples import Conditions
    from latens.trained.trained_model import TrainedModel

SELDOM = 10.0
"""Rows like those that are asked for, among those of the training, below which samples are a guess."""
ROWS = 16
_COUNT = f"number of rows (default {ROWS}; with --like, for each class)"
_TEMPERATURE = "scale of the noise of z, or temperature of tokens; below 1, samples are less varied (default 1)"
_WHERE = "only rows that satisfy this condition, such as sex=Female, 'age>=65' or age=20..30; repeatable"
_LIKE = "labelled rows: draw -n new rows of each of their classes"
_GUIDANCE = "for a flow matching prior with labels: above 1, samples are clearer examples of their class"
_LABEL = "the class to sample; with --like, the column of the labels"
_DRAW = "with --like: draw from the posteriors of the rows, or from p(x | class) (default, if the model has it)"
_COMPLETE = "the beginning of every row of text"


class Sample(ModelCommand):
    """Draw new rows."""

    # z from the prior, then a draw from p(x | z), or its mean.

    endings: ClassVar = (".npz", ".png", ".csv", ".parquet", ".txt")
    needs_latents: ClassVar = False
    by_batch: ClassVar = True
    n: Annotated[int | None, arg(_COUNT, "-n", "N", kind=table_rows)] = None
    temperature: Annotated[float, arg(_TEMPERATURE, metavar="T", kind=number(0.0, 100.0))] = 1.0
    where: Annotated[list[str] | None, arg(_WHERE, metavar="CONDITION", many=True)] = None
    complete: Annotated[str | None, arg(_COMPLETE, metavar="TEXT")] = None
    like: Annotated[Any, arg(_LIKE, metavar="DATA", reads=True)] = None
    draw: Annotated[str | None, arg(_DRAW, choices=("rows", "class"))] = None
    label: Annotated[str | None, arg(_LABEL, metavar="NAME")] = None
    guidance: Annotated[float | None, arg(_GUIDANCE, metavar="W", kind=number(0.0, 100.0))] = None
    given: Given = None
    mean: Mean = None
    seed: Seed = 0

    def place(self, at: Call) -> Path | None:
        if self.like is not None:
            picture = at.kind.image(at.trained.schema) is not None
            return self.checked_out(at.asked, (".npz", ".csv", ".parquet", *[".png"] * picture))
        if at.kind.printed and not at.asked:
            return None
        endings, usual = at.kind.sampled(at.trained.schema)
        return self.checked_out(at.asked or free_name("samples", usual), endings)

    def __call__(self, at: Call) -> Work:
        from latens.commands._files import formula_note, formulas, lines_of

        self._refuse_idle(at)
        if self.guidance is not None:
            at.trained = at.trained.guided(self.guidance)
        trained = at.trained
        if self.like is not None:
            return (yield from self._alike(at))
        if self.complete is not None:
            return (yield from self._begun(at))
        n = ROWS if self.n is None else self.n
        mean = at.noiseless if self.mean is None else self.mean
        if self.mean:
            at.kind.refuse("means", "--mean", UsageError)
        conditions = self._conditions(at)
        yield f"draw {n} samples"
        if conditions is not None:
            return self._conditional(at, conditions, n)
        chosen = trained.in_turn(n) if self.label is None else np.full(n, _class_of(trained, self.label))
        arrays = self._drawn(at, n, chosen, mean)
        x, named = estimate.finite(arrays["x"], "x", where=at.name), np.asarray(arrays.get("label", chosen))
        frame = at.kind.frame(x, trained.schema)
        known = () if frame is None else formulas(trained.schema)
        said = self._said(at, frame is not None)
        if frame is not None:
            more = said if chosen is None else said | {"label": pl.Series(arrays["label"].tolist())}
            table, arrays = with_columns(frame, more), {}
        else:
            arrays |= {name: np.full(n, value) for name, value in said.items()}
            columns = x.ndim == 2 and bool(trained.schema.names)
            beside = {name: one for name, one in arrays.items() if name not in ("x", "z")}
            table = {**dict(zip(trained.schema.names, x.T)), **beside} if columns else None
        told: dict[str, Any] = {"rows": n, "shape": list(x.shape)}
        text = f"{n} {'means of samples' if mean else 'samples'}"
        if mean and self.mean is None:
            text += ", without the noise of single pixels (--no-mean: with it)"
        if self.temperature != 1.0:
            told["temperature"], text = self.temperature, f"{text} at a temperature of {self.temperature:g}"
        for name, texts in at.kind.texts(trained.schema, x).items():
            told[name], text = texts.tolist(), text if at.writes else lines_of(trained.schema, x)
        if said:
            told["given"], text = trained.told, f"{text} given {trained.told}"
        return Result(
            arrays=arrays, table=table, known=known, schema=trained.schema, value=told, image=x,
            pixels=None if chosen is None or self.label is not None else lambda: _by_class(trained, x, named),
            dialect=at.dialect(), text=text + formula_note(known, at.out),
        )  # fmt: skip

    def _conditions(self, at: Call) -> Any:
        """What --where asks for, None where it does not; a model that cannot be sampled is refused."""
        from latens.predictive.conditional_samples import parse_conditions
        from latens.trained.inputs import lacks_prior

        conditions, trained = None, at.trained
        if self.where:
            if self.label is not None or trained.preparation.classes:
                what = "for a conditional model, use --label to choose a class."
                raise UsageError(what, where="--where", fix="Fit with --label none to use conditions on all columns.")
            conditions = parse_conditions(self.where, trained.schema)
        if lacks_prior(trained):
            fix = "Fit one with `latens refit RUN --prior mixture`, or use a VAE's recipe."
            raise ConfigError("an autoencoder has no prior to sample from.", where=at.name, fix=fix)
        return conditions

    def _said(self, at: Call, named: bool) -> dict[str, Any]:
        """The conditions of every sample, by the names of their columns; of an archive by names of their own."""
        from latens.data.conditions import GIVEN, cells_of_one

        said = cells_of_one(at.trained.schema.conditions or (), at.told)
        whole = {name: int(one) if isinstance(one, float) and one.is_integer() else one for name, one in said.items()}
        return whole if named else {f"{GIVEN}_{name}": one for name, one in whole.items()}

    def _refuse_idle(self, at: Call) -> None:
        """Refuse options that would change nothing."""
        from latens.config import ClassifierConfig

        fix = "Leave it out."
        if at.given and self.like is None:
            flag = f"--{next(iter(at.given)).replace('_', '-')}"
            raise UsageError("no rows are read.", where=flag, fix="Leave it out, or add --like DATA.")
        if self.draw is not None and self.like is None:
            raise UsageError("it needs --like.", where="--draw", fix="Add --like DATA.")
        others = {"--where": self.where, "--complete": self.complete, "--given": self.given}
        if self.like is not None and (idle := [flag for flag, value in others.items() if value]):
            raise UsageError("--like determines the rows.", where=idle[0], fix=fix)
        if self.guidance is not None and (self.complete or self.like is not None):
            raise UsageError("z is drawn given a row.", where="--guidance", fix=fix)
        if self.temperature != 1.0 and (self.where or self.complete or self.like is not None):
            raise UsageError("z is drawn given a row.", where="--temperature", fix=fix)
        if self.temperature != 1.0 and isinstance(at.trained.config, ClassifierConfig):
            raise UsageError("a Bayes classifier has no z.", where="--temperature", fix=fix)

    def _alike(self, at: Call) -> Work:
        """Rows of each class of labelled rows."""
        from latens.commands._files import labelled
        from latens.trained.augmentation import augment

        data, each = at.load_of(self.like, own_classes=True), ROWS if self.n is None else self.n
        # Of a run's own data only training rows are drawn around: the others measure what the new rows are good for.
        known = at.knows(data)
        positions = data.subset("train", required=True) if known else np.arange(len(data))
        rows = f"{len(positions)} {'training rows' if known else 'rows'} of {data.name}"
        yield f"draw {each} rows of each class, from the labels of {rows},"
        mean = at.noiseless if self.mean is None else self.mean
        found = augment(
            at.trained, data, each, positions=positions, draw=self.draw, mean=mean, seed=self.seed  # type: ignore[arg-type]
        )  # fmt: skip
        classes = {str(name): int(count) for name, count in zip(*np.unique(found.label, return_counts=True))}
        how = "from p(x | class)" if found.around is None else f"around {rows}"
        around = {} if found.around is None else {"around": found.around}
        return Result(
            arrays={"x": found.x, "label": found.label, **around},
            value={"rows": len(found.x), "classes": classes, "drawn": how, "mean": mean},
            text=f"{len(found.x)} {'means' if mean else 'draws'} {how}, {each} of each of {len(classes)} classes",
            table=labelled(found.x, found.label, data.schema.names, at.options.get("label")),
            pixels=lambda: _by_class(at.trained, found.x, found.label),
        )

    def _conditional(self, at: Call, conditions: "Conditions", n: int) -> Result:
        """Rows of a mixed table under conditions."""
        from latens.commands._files import formula_note, formulas
        from latens.kinds.tables.table_schema import as_frame
        from latens.predictive.conditional_samples import sample_given

        schema = at.trained.schema
        known = formulas(schema)
        found = sample_given(at.trained.model, conditions, n, key=jax.random.key(self.seed))
        estimate.finite(found.x, "x", where=at.name)
        share = float(np.exp(found.log_probability))
        text = f"{n} samples where {' and '.join(self.where or [])}"
        text += f" given {at.trained.told}" if at.trained.told else ""
        worth = f"{found.effective:,.0f} of {found.draws:,} draws of z"
        learned = at.trained.facts.get("rows")
        number = share * learned if isinstance(learned, int) else math.inf
        about = f" (about {number:,.0f} of {learned:,})" if math.isfinite(number) else ""
        text += f"\nprobability of the conditions under the model: {_percent(share)}{about}"
        text += f"; effective sample size {worth}" if found.effective < 0.999 * found.draws else ""
        if number < SELDOM:
            count = f"about {number:,.0f}" if number >= 1.5 else "one" if number >= 0.5 else "less than one"
            few = f"rows with these conditions are rare: the model expects {count} among {learned:,} training rows"
            at.warn(f"{few}; the samples are uncertain")
        if found.effective < 0.1 * n:
            few = "less than a tenth of the number of samples: samples share latents"
            text += f"\n{few}, and are less varied than they should be"
        value = {"rows": n, "shape": list(found.x.shape), "where": self.where, "probability": share}
        value |= {"about_rows": number} if math.isfinite(number) else {}
        value |= {"effective_sample_size": found.effective, "draws": found.draws}
        table = with_columns(as_frame(found.x, schema), self._said(at, True))
        text += formula_note(known, at.out)
        return Result(table=table, known=known, schema=schema, value=value, text=text, dialect=at.dialect())

    def _begun(self, at: Call) -> Work:
        """Rows of text that begin as it is said, the rest drawn."""
        from latens.commands._files import lines_of
        from latens.predictive.conditional_samples import TEXT_CHUNK, Conditions, sample_given

        trained, n = at.trained, ROWS if self.n is None else self.n
        for flag, given in (("--where", self.where), ("--label", self.label), ("--mean", self.mean)):
            if given:
                raise UsageError("a row is completed from its beginning only.", where=flag, fix="Leave it out.")
        if not at.kind.printed or trained.is_point or trained.preparation.classes:
            fix = "Train with `latens fit FILE --recipe text`, without labels. `latens impute` fills rows of a table."
            raise ConfigError("only a VAE of text without labels completes rows.", where="--complete", fix=fix)
        (codes,) = trained.schema.encode([str(self.complete)], where="--complete")
        yield f"draw {n} rows that begin with {self.complete!r}"
        bounds = Conditions(codes.astype(np.float32), np.where(codes > 0, codes, -1.0).astype(np.float32))
        found = sample_given(trained.model, bounds, n, key=jax.random.key(self.seed), chunk=TEXT_CHUNK)
        share, worth = float(np.exp(found.log_probability)), f"{found.effective:,.0f} of {found.draws:,} draws of z"
        note = f"probability of these beginnings under the model: {_percent(share)}; effective sample size {worth}"
        value = {"rows": n, "begins": self.complete, "probability": share, "text": trained.schema.decode(found.x)}
        value |= {"effective_sample_size": found.effective, "draws": found.draws}
        text = f"{n} samples" if at.writes else lines_of(trained.schema, found.x)
        return Result(arrays={"x": found.x}, schema=trained.schema, value=value, text=f"{text}\n{note}")

    def _drawn(self, at: Call, n: int, codes: "np.ndarray | None", mean: bool) -> "dict[str, np.ndarray]":
        """New rows in the units of the data, with what they were made from: z and label, or class and component."""
        from latens.config import ClassifierConfig
        from latens.latents.codes import new_rows
        from latens.predictive.classes import sample_classes

        trained = at.trained
        key = jax.random.key(self.seed)
        if isinstance(trained.config, ClassifierConfig):
            drawn = sample_classes(trained.model, n, key=key, label=None if codes is None else int(codes[0]))
            x = trained.data_units(drawn.component_mean if mean else drawn.x, mean=mean)
            label = {"label": np.array(trained.schema.classes)[drawn.label]} if trained.schema.classes else {}
            return {"x": x, **label, "component": drawn.component}
        given = {"mean": mean, "temperature": self.temperature, "cond": trained.condition(codes)}
        values, z = new_rows(trained.model, n, key=key, **given)
        return {"x": trained.data_units(values, mean=mean), "z": z} | (
            {} if codes is None else {"label": np.array(trained.classes)[codes]}
        )


def with_columns(frame: "pl.DataFrame", more: "dict[str, Any]") -> "pl.DataFrame":
    """A frame with further columns, each a value for all rows or a series."""
    return frame.with_columns((one if hasattr(one, "dtype") else pl.lit(one)).alias(name) for name, one in more.items())


def _class_of(trained: "TrainedModel", name: str) -> int:
    """The code of a class, of any model that has classes; a UsageError names the nearest one."""
    from latens.config import ClassifierConfig

    names = trained.schema.classes or ()
    if isinstance(trained.config, ClassifierConfig) and name in names:
        return names.index(name)
    return trained.code_of(name)


def _by_class(trained: "TrainedModel", x: "np.ndarray", labels: "np.ndarray") -> "tuple[np.ndarray, int]":
    """Images in rows, one for each class with its name, and how many columns that makes; gaps are left empty."""
    from latens.model_figures.image_scale import captioned, shown

    images, classes = shown(trained.schema, x), np.unique(labels)
    rows = [images[labels == one] for one in classes]
    columns = max(map(len, rows))
    rows = [np.pad(row, ((0, columns - len(row)), *[(0, 0)] * (row.ndim - 1))) for row in rows]
    heads = [text for one in classes for text in (str(one), *[""] * (columns - 1))]
    return captioned(np.concatenate(rows), heads), columns


def _percent(share: float) -> str:
    """A share in per cent, in two digits."""
    return f"{np.format_float_positional(100 * share, 2, fractional=False, trim='-')} %"
