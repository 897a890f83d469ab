"""`latens sample`: new rows from a model."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from latens.errors import ConfigError, UsageError
from latens.verbs._lazy import evaluation, jax, np
from latens.verbs.kernel import At, Given, Made, Mean, Seed, Verb, Work, arg, free_name, number, table_rows

if TYPE_CHECKING:
    from collections.abc import Collection

    from latens.data import Dataset
    from latens.workflow.new_rows import Kept
    from latens.workflow.trained import TrainedModel

SELDOM = 10.0
"""Rows like those that are asked for, among those of the training, below which samples are a guess."""
_COUNT = "how many (default 16; with --complete one for each row of FILE)"
_TEMPERATURE = "of z, or of the tokens of text; below 1: nearer to the centre, and less varied (default 1)"
_WHERE = "only such rows of a mixed table, as sex=Female, 'age>=65' or age=20..30; may be given again"
_NOISE = "draws with the noise of single pixels: a .png of photographs has their means by default"
_GAPS = "empty cells of a mixed table: as often as in the data, and where another column says it (default), or none"
_COMPLETE = (
    "rows of a mixed table with empty cells, or without some columns: the rest of each is drawn; of a model of text "
    "how every row begins"
)


class Sample(Verb):
    """New rows from the model."""

    # z from the prior, then a draw from p(x | z), or its mean.

    endings: ClassVar = (".npz", ".png", ".csv", ".parquet", ".txt", ".mid")
    needs_latents: ClassVar = False
    n: Annotated[int | None, arg(_COUNT, "-n", "N", kind=table_rows)] = None
    temperature: Annotated[float, arg(_TEMPERATURE, metavar="T", kind=number(0.0, 100.0))] = 1.0
    where: Annotated[list[str] | None, arg(_WHERE, metavar="CONDITION", many=True)] = None
    complete: Annotated[str | None, arg(_COMPLETE, metavar="FILE", reads=True)] = None
    gaps: Annotated[str, arg(_GAPS, choices=("data", "none"))] = "data"
    label: Annotated[str | None, arg("the class, of a model that has them", metavar="NAME")] = None
    given: Given = None
    mean: Mean = False
    noise: Annotated[bool, arg(_NOISE)] = False
    seed: Seed = 0

    def place(self, at: At) -> Path | None:
        from latens.data.schema import image_shape
        from latens.verbs._files import TABLE_ENDINGS, TEXT_ENDINGS

        if at.trained.schema.tokens is not None:
            return self.checked_out(at.asked, TEXT_ENDINGS) if at.asked else None
        mixed = at.trained.schema.kind == "mixed"
        ending = ".csv" if mixed else ".png" if image_shape(at.trained.schema) else ".npz"
        long = at.trained.schema.sequences is not None
        ending, endings = (".csv" if long else ending), TABLE_ENDINGS if mixed or long else (".npz", ".png")
        return self.checked_out(at.asked or free_name("samples", ending), endings)

    def __call__(self, at: At) -> Work:
        from latens.data.conditions import parse_conditions
        from latens.verbs._files import formula_note, formulas, lines_of
        from latens.workflow.inputs import lacks_prior

        trained = at.trained
        self._refuse_temperature(trained)
        if trained.schema.tokens is not None and self.complete is not None:
            return (yield from self._begun(at))
        if self.complete is not None:
            return (yield from self._completed(at))
        n, mixed = 16 if self.n is None else self.n, trained.schema.kind == "mixed"
        if self.mean and self.noise:
            raise UsageError("--mean leaves out what --noise adds.", where="--noise", fix="Give one of them.")
        if mixed and self.mean:
            what = "the columns of a mixed table have names and dates, which have no mean."
            raise UsageError(what, where="--mean", fix="Leave it out: samples are drawn.")
        conditions = None
        if self.where:
            if self.label is not None or trained.preparation.classes:
                what = "a model that reads labels is asked for a class by --label."
                raise UsageError(what, where="--where", fix="Fit the table with --label none to ask for any column.")
            conditions = parse_conditions(self.where, trained.schema)
        if lacks_prior(trained):
            fix = "Fit one with `latens refit RUN --prior mixture`, or use a VAE's recipe."
            raise ConfigError("an autoencoder has no prior to sample from.", where=at.name, fix=fix)
        yield f"draw {n} samples"
        known = formulas(trained.schema) if mixed else ()
        if conditions is not None:
            return self._conditional(at, conditions, n, known)
        chosen = trained.in_turn(n) if self.label is None else np.full(n, _class_of(trained, self.label))
        arrays, redrawn = self._in_order(at, n, chosen)
        x = evaluation.finite(arrays["x"], "x", where=at.name)

        def pixels() -> tuple[Any, int]:
            from latens.pictures.images import shown

            assert chosen is not None
            return _by_class(shown(trained.schema, x), chosen)

        said = self._said(at, mixed)
        if mixed:
            arrays = self._as_written(at, x) | ({} if chosen is None else {"label": arrays["label"]})
        arrays |= {name: np.full(n, value) for name, value in said.items()}
        told: dict[str, Any] = {"rows": n, "shape": list(x.shape)}
        text = f"{n} {'means of samples' if self._means(at) else 'samples'}"
        if self._means(at) and not self.mean:
            text += ", without the noise of single pixels (--noise: with it)"
        if redrawn:
            told["redrawn"] = redrawn
            text += f", {redrawn} of them drawn anew, as they broke a rule that the data keep"
        text += _computed(trained)
        for name, rules in zip(("computed", "near_a_line"), _rules(trained) if mixed else ()):
            told |= {name: rules} if rules else {}
        text += self._empty(at) if mixed else ""
        if self.temperature != 1.0:
            told["temperature"], text = self.temperature, f"{text} at a temperature of {self.temperature:g}"
        if trained.schema.tokens is not None:
            told["text"], text = trained.schema.decode(x), text if at.writes else lines_of(trained.schema, x)
        if said:
            told["given"], text = trained.told, f"{text} given {trained.told}"
        return Made(
            arrays=arrays, known=known, schema=trained.schema, value=told, image=x,
            pixels=None if chosen is None or self.label is not None else pixels, dialect=at.dialect(),
            text=text + formula_note(known, at.out),
        )  # fmt: skip

    def _means(self, at: At) -> bool:
        """Whether means stand for samples: where they are asked for, and in a picture of photographs."""
        from latens.data.check import is_picture

        return self.mean or (at.writes and at.picture and not self.noise and is_picture(at.trained.schema))

    def _as_written(self, at: At, x: "np.ndarray") -> "dict[str, np.ndarray]":
        """The columns of a mixed table; in a .csv or .parquet file empty where one does not apply, or by --gaps."""
        from latens.data import gaps
        from latens.data.blanks import empty_cells
        from latens.data.mixed import as_columns
        from latens.verbs._tables import emptied
        from latens.workflow.new_rows import not_applicable

        schema, csv = at.trained.schema, at.writes and at.out.suffix.lower() == ".csv"
        arrays = as_columns(x, schema)
        blank = not_applicable(at.trained.facts, schema, x)
        if self.gaps == "data":
            blank |= empty_cells(x, schema.types or ())
            blank |= gaps.drawn(gaps.read(at.trained.facts.get("gaps")), schema, x, self.seed)
            said = " ".join(self.where or ())  # what is asked for is there
            blank[:, [name in said for name in schema.names]] = False
        if not at.writes or at.out.suffix.lower() == ".npz":
            return arrays
        return {
            name: emptied(values, gone, "" if csv else None) for (name, values), gone in zip(arrays.items(), blank.T)
        }

    def _said(self, at: At, mixed: bool) -> dict[str, Any]:
        """The conditions of every sample, by the names of their columns; of an archive by names of their own."""
        from latens.data.given import GIVEN, cells_of_one

        said = cells_of_one(at.trained.schema.conditions or (), at.told)
        whole = {name: int(one) if isinstance(one, float) and one.is_integer() else one for name, one in said.items()}
        return whole if mixed else {f"{GIVEN}_{name}": one for name, one in whole.items()}

    def _refuse_temperature(self, trained: "TrainedModel") -> None:
        """A UsageError where another temperature than 1 would change nothing."""
        from latens.config import ClassifierConfig

        if self.temperature == 1.0:
            return
        asked = "--where" if self.where else "--complete" if self.complete else None
        if asked or isinstance(trained.config, ClassifierConfig):
            what = f"with {asked} z is drawn given a row" if asked else "a Bayes classifier has no z"
            raise UsageError(f"{what}.", where="--temperature", fix="Leave it out.")

    def _conditional(self, at: At, conditions: Any, n: int, known: tuple[str, ...]) -> Made:
        """Rows of a mixed table under conditions."""
        from latens.verbs._files import formula_note
        from latens.workflow.new_rows import table_given

        schema = at.trained.schema
        made, found = table_given(at.trained, conditions, n, self.seed, key=jax.random.key(self.seed))
        share = float(np.exp(found.log_probability))
        text = f"{n} samples where {' and '.join(self.where or [])}"
        text += f" given {at.trained.told}" if at.trained.told else ""
        worth = f"{found.effective:,.0f} of {found.draws:,} draws of z"
        learned = at.trained.facts.get("rows")
        number = share * learned if isinstance(learned, int) else math.inf
        about = f" (about {number:,.0f} of {learned:,})" if math.isfinite(number) else ""
        text += f"\nthe model holds that of {share:.3%} of the rows{about}"
        text += f"; effective sample size {worth}" if found.effective < 0.999 * found.draws else ""
        if number < SELDOM:
            count = f"about {number:,.0f}" if number >= 1.5 else "one" if number >= 0.5 else "less than one"
            few = f"such rows are few: {count} of the {learned:,} that the model learned from, by its own count"
            at.warn(f"{few}; what is sampled is a guess")
        if found.effective < 0.1 * n:
            few = "fewer than a tenth as many as the samples: they share latents"
            text += f"\n{few}, and are less varied than they should be"
        value = {"rows": n, "shape": list(found.x.shape), "where": self.where, "probability": share}
        value |= {"about_rows": number} if math.isfinite(number) else {}
        value |= {"effective_sample_size": found.effective, "draws": found.draws}
        names = schema.names
        exact = {name for name, low, high in zip(names, conditions.low, conditions.high) if low == high}
        text += _computed(at.trained, exact)  # one number that is asked for is there, whatever the others are
        made, redrawn = self._warned(at, made)
        if redrawn:
            value["redrawn"] = redrawn
            text += f"\n{redrawn} of them drawn anew, as they broke a rule that the data keep"
        arrays = self._as_written(at, made["x"])
        arrays |= {name: np.full(n, one) for name, one in self._said(at, True).items()}
        text += self._empty(at) + self._judged(at)
        text += formula_note(known, at.out)
        return Made(arrays=arrays, known=known, schema=schema, value=value, text=text, dialect=at.dialect())

    def _empty(self, at: At) -> str:
        """That cells are empty, and how they are not."""
        some = at.writes and self.gaps == "data" and _has_gaps(at.trained)
        return "\ncells are empty as often as in the data (--gaps none: whole rows)" if some else ""

    def _judged(self, at: At) -> str:
        """How rows that were asked for are judged: beside the real ones that are so."""
        if not at.writes or at.out.suffix.lower() != ".csv":
            return ""
        asked = " ".join(f'--where "{one}"' for one in self.where or ())
        return f"\nNext: latens judge DATA {at.out} {asked}"

    def _others(self) -> list[tuple[str, Any]]:
        """Options that say nothing beside --complete."""
        return [("--where", self.where), ("--label", self.label), ("--mean", self.mean)]

    def _begun(self, at: At) -> Work:
        """Rows of text that begin as it is said, the rest drawn."""
        from latens.data.conditions import Conditions
        from latens.evaluation.samples.conditional import TEXT_CHUNK, sample_given
        from latens.verbs._files import lines_of

        trained, n = at.trained, 16 if self.n is None else self.n
        for flag, given in self._others():
            if given:
                what = "a beginning says all that is known of a row, and the rest is drawn."
                raise UsageError(what, where=flag, fix="Leave it out.")
        if trained.is_point or trained.preparation.classes:
            fix = "Train with `latens fit FILE --recipe text`, without labels."
            raise ConfigError("only a VAE without labels completes beginnings.", where="--complete", fix=fix)
        (codes,) = trained.schema.encode([str(self.complete)], where="--complete")
        yield f"draw {n} rows that begin with {self.complete!r}"
        bounds = Conditions(codes.astype(np.float32), np.where(codes > 0, codes, -1.0).astype(np.float32))
        found = sample_given(trained.model, bounds, n, key=jax.random.key(self.seed), chunk=TEXT_CHUNK)
        share, worth = float(np.exp(found.log_probability)), f"{found.effective:,.0f} of {found.draws:,} draws of z"
        note = f"the model holds that {share:.3%} of rows begin so; effective sample size {worth}"
        value = {"rows": n, "begins": self.complete, "probability": share, "text": trained.schema.decode(found.x)}
        value |= {"effective_sample_size": found.effective, "draws": found.draws}
        text = f"{n} samples" if at.writes else lines_of(trained.schema, found.x)
        return Made(arrays={"x": found.x}, schema=trained.schema, value=value, text=f"{text}\n{note}")

    def _completed(self, at: At) -> Work:
        """Rows of a mixed table with their empty cells drawn given the others."""
        from latens.verbs._files import formula_note, formulas
        from latens.verbs._tables import table_as_written

        trained, spec = at.trained, str(self.complete)
        for flag, given in self._others():
            if given:
                what = "every row of --complete says itself what is known of it, and the rest is drawn."
                raise UsageError(what, where=flag, fix="Leave it out, or write a column into the file.")
        if trained.schema.types is None or trained.is_point:
            fix = "Train with `latens fit DATA --typed`, or use `latens impute`."
            raise ConfigError("only a VAE of a mixed table completes rows.", where="--complete", fix=fix)
        if at.out.suffix.lower() == ".npz":
            what = "completed rows keep their text as it is written, which is not an array."
            raise UsageError(what, where=f"--out {at.out}", fix="Use --out FILE.csv or FILE.parquet.")
        data = at.load_of(spec, partial=True, every=False)
        n = len(data) if self.n is None else self.n
        if n < len(data):
            fix = "Leave it out for one row each, or give more: they are taken in turn."
            raise UsageError(f"{n} is fewer than the {len(data)} rows of {spec}.", where="-n", fix=fix)
        yield f"complete {len(data)} rows to {n}"
        row, turns = np.arange(n) % len(data), -(-n // len(data))
        hidden = np.zeros(data.x.shape, bool) if data.mask is None else ~data.mask
        found, effective, left = self._filled(at, data, hidden, turns)
        where = (Path(spec), at.out, at.options)
        drawn = [table_as_written(data, found[:, k], hidden, *where) for k in range(turns)]
        own = trained.schema.names
        names = [*(name for name in drawn[0] if name not in own), *own]
        few = int((effective[hidden.any(axis=1)] < 10).sum())
        if left:
            at.warn(f"{left} rows break a rule that the data keep: what is known of them may be wrong")
        text = f"{n} rows, {int(hidden[row].sum())} cells of which were drawn"
        if few:
            text += f"\n{few} of the {len(data)} rows hang on fewer than 10 draws of z: they vary too little"
        known = formulas(trained.schema)
        return Made(
            table={name: np.concatenate([part[name] for part in drawn])[:n] for name in names},
            known=known,
            dialect=at.dialect(spec),
            value={"rows": n, "drawn": int(hidden[row].sum()), "rows_on_few_draws": few},
            text=text + formula_note(known, at.out),
        )

    def _filled(
        self, at: At, data: "Dataset", hidden: "np.ndarray", turns: int
    ) -> "tuple[np.ndarray, np.ndarray, int]":
        """Rows with their empty cells drawn so that they keep the rules, their draws' worth, and how many do not."""
        # returns: the rows, shape (n, turns, *x); each is drawn anew while it breaks a rule.
        from latens.data.rules import filled, unsolved_in
        from latens.workflow.new_rows import MOST_TIMES

        trained, facts, schema = at.trained, at.trained.facts, at.trained.schema
        made, effective = np.zeros((len(data), turns, *data.x.shape[1:])), np.zeros(len(data))
        wrong = np.ones((len(data), turns), bool)
        for again in range(MOST_TIMES):
            some = np.flatnonzero(wrong.any(axis=1) & hidden.any(axis=1)) if again else np.arange(len(data))
            if not len(some):
                break
            asked = trained.rows(data, some, seed=self.seed + 7919 * again)
            found = evaluation.impute(asked, num_draws=turns, mean=False)
            evaluation.finite(found.draws, "x", where=at.name)
            effective[some] = effective[some] if again else found.effective
            row, turn = np.nonzero(wrong[some])
            new, own = trained.data_units(found.draws[row, turn], mean=False), some[row]
            outside = None if data.outside is None else data.outside[own]
            new = filled(facts, schema, new, data.x[own], hidden[own], self.seed + again, outside)
            made[own, turn] = new
            wrong[own, turn] = unsolved_in(facts, schema, new, hidden[own])
        return made, effective, int(wrong[:, 0].sum())

    def _in_order(self, at: At, n: int, codes: "np.ndarray | None") -> "tuple[dict[str, np.ndarray], int]":
        """New rows that keep the rules of the data, and how many were drawn anew for that."""
        from latens.workflow.new_rows import new_table

        exact = self._means(at) or self.temperature == 0.0
        draw = lambda again: self._drawn(at, n, codes, again)  # noqa: E731
        cond = None if at.trained.is_point else at.trained.condition(codes)
        return self._warned(at, new_table(at.trained, draw, self.seed, exact=exact, cond=cond))

    def _warned(self, at: At, found: "Kept") -> "tuple[dict[str, np.ndarray], int]":
        """Rows and how many were drawn anew; a warning of those that break a rule all the same."""
        from latens.workflow.new_rows import MOST_TIMES

        if found.left:
            at.warn(f"{found.left} rows break a rule that the data keep, also after {MOST_TIMES} draws")
        return found.arrays, found.redrawn

    def _drawn(self, at: At, n: int, codes: "np.ndarray | None", again: int = 0) -> "dict[str, np.ndarray]":
        """New rows in the units of the data, with what they were made from: z and label, or class and component."""
        from latens.config import ClassifierConfig
        from latens.evaluation.latents.encode import new_rows
        from latens.workflow.detours import without_detours

        trained, mean = at.trained, self._means(at)
        key = jax.random.key(self.seed)
        key = jax.random.fold_in(key, again) if again else key
        if isinstance(trained.config, ClassifierConfig):
            drawn = evaluation.sample_classes(trained.model, n, key=key, label=None if codes is None else int(codes[0]))
            x = trained.data_units(drawn.component_mean if mean else drawn.x, mean=mean)
            label = {"label": np.array(trained.schema.classes)[drawn.label]} if trained.schema.classes else {}
            return {"x": x, **label, "component": drawn.component}
        given = {"mean": mean, "temperature": self.temperature, "cond": trained.condition(codes)}
        values, z = new_rows(without_detours(trained), n, key=key, **given)
        return {"x": trained.data_units(values, mean=mean), "z": z} | (
            {} if codes is None else {"label": np.array(trained.classes)[codes]}
        )


def _rules(trained: "TrainedModel", asked: "Collection[str]" = ()) -> "tuple[dict[str, str], dict[str, str]]":
    """The columns, but those that are asked for, that others give, and those near what others say: in words."""
    from latens.data.rules import in_words, near_in, placed

    schema = trained.schema
    near = near_in(trained.facts, schema)
    given = {one.target: in_words(one, schema) for one in placed(trained.facts, schema) if one.target not in asked}
    return given, {one.target: one.words for one in near if one.target not in asked}


def _computed(trained: "TrainedModel", asked: "Collection[str]" = ()) -> str:
    """A line for each column that is computed from others, but those that are asked for."""
    from latens.data import logits

    given, close = _rules(trained, asked)
    said = [f"\n{name} is computed, as in the data: {words}" for name, words in given.items()]
    said += [f"\n{name} lies near {words}, as in the data" for name, words in close.items()]
    found = logits.placed(logits.read(trained.facts.get("logits")), trained.schema)
    drawn = [one.target for one in found if one.target not in asked]
    return "".join([*said, *([f"\ndrawn by all other columns together: {', '.join(drawn)}"] if drawn else [])])


def _class_of(trained: "TrainedModel", name: str) -> int:
    """The code of a class, of any model that has classes; a UsageError names the nearest one."""
    from latens.config import ClassifierConfig

    names = trained.schema.classes or ()
    if isinstance(trained.config, ClassifierConfig) and name in names:
        return names.index(name)
    return trained.code_of(name)


def _by_class(images: "np.ndarray", codes: "np.ndarray") -> "tuple[np.ndarray, int]":
    """Images in rows, one for each class, and how many columns that makes; gaps are left empty."""
    rows = [images[codes == code] for code in np.unique(codes)]
    columns = max(map(len, rows))
    blank = np.zeros((columns, *images.shape[1:]), images.dtype)
    return np.concatenate([np.concatenate([row, blank[len(row) :]]) for row in rows]), columns


def _has_gaps(trained: "TrainedModel") -> bool:
    """Whether new rows of a table have empty cells."""
    from latens.data import gaps

    return any(any(one.shares) for one in gaps.read(trained.facts.get("gaps")))
