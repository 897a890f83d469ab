"""`latens encode`, `decode`, `reconstruct` and `translate`: rows to latents, and latents to rows."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from latens.commands._lazy import clusters, codes, estimate, importance, np
from latens.commands.base import Call, Data, Given, Mean, ModelCommand, Result, Seed, Unknown, Work, arg, draws, whole
from latens.errors import UsageError

if TYPE_CHECKING:
    from latens.data import Dataset

PROBABILITIES, PREDICTED = "class_probability", "predicted"
"""The array with the probability of each class, and that with the name of the likeliest one."""


class Encode(ModelCommand):
    """Map rows to latents, with terms of the ELBO."""

    endings: ClassVar = (".npz", ".csv", ".parquet", ".h5ad")
    takes_out: ClassVar = ("FILE", "the output file: npz, csv, parquet; h5ad of cells")
    by_row: ClassVar = True
    data: Data
    unknown: Unknown = "error"
    given: Given = None
    seed: Seed = 0
    num_samples: Annotated[int, arg("draws of each row (default 16)", metavar="K", kind=draws)] = 16

    def __call__(self, at: Call) -> Work:
        into = at.out.suffix.lower() == ".h5ad"
        data = at.load() if not into or Path(str(at.data)).suffix.lower() == ".h5ad" else None
        if data is None or (into and data.kept is not None):
            what = "a .h5ad output is a copy of DATA, a .h5ad file all of whose rows are encoded."
            raise UsageError(what, where=f"--out {at.out}", fix="Use --unknown missing, or write .npz.")
        yield f"encode {len(data)} rows of {data.name}"
        arrays = self.part(at, data, np.arange(len(data)))
        table = {name: array for name, array in arrays.items() if name != PROBABILITIES}
        shapes = {name: list(array.shape) for name, array in arrays.items()}
        listed = ", ".join(
            f"{n} {tuple(a.shape[1:])}" if a.ndim > 1 else n for n, a in arrays.items() if n[:12] != "probability_"
        )
        rows = len(arrays["row_id"])
        if into:
            from latens.kinds.counts.anndata import with_codes

            raw = with_codes(Path(at.data), arrays["mean"].reshape(rows, -1))
            return Result(raw=raw, value={"rows": rows}, text=f"obsm['X_latens'], {rows} rows")
        return Result(
            arrays=arrays, table=table, value={"rows": rows, "arrays": shapes}, text=f"{listed}, {rows} rows"
        )  # fmt: skip

    def part(self, at: Call, data: "Dataset", positions: "np.ndarray") -> "dict[str, np.ndarray]":
        """Encode rows."""
        from latens.data.conditions import GIVEN, cells_of

        trained = at.trained
        rows = trained.rows(data, positions, seed=self.seed)
        found = codes.encode(rows)
        arrays: dict[str, np.ndarray] = {"row_id": data.names[positions]}
        if data.label is not None:
            words = np.array([*(data.schema.classes or ()), ""])  # the last one is of rows without a label, -1
            arrays["label"] = words[data.label[positions]]
        arrays |= at.kind.texts(trained.schema, data.x[positions])
        if data.cond is not None and data.schema.conditions:
            known = cells_of(data.schema.conditions, data.cond[GIVEN][positions])
            arrays |= {f"{GIVEN}_{name}": cells for name, cells in known.items()}
        if data.places is not None:
            from latens.kinds.steps.sequences import named_steps

            places = data.places[positions]
            first = np.arange(places.line.shape[1]) == np.zeros((len(positions), 1))
            arrays |= named_steps(trained.schema.steps, places, first)
        arrays |= {name: found[name] for name in ("mean", "log_variance") if name in found}
        if clusters.predicts_labels(trained.model):
            arrays |= _predicted(trained.classes, clusters.label_probabilities(rows))
        if clusters.has_clusters(trained.model):
            arrays["cluster"] = clusters.cluster_probabilities(rows)
        if not trained.is_point:
            terms = importance.elbo_parts(rows, num_samples=self.num_samples)
            arrays |= {name: terms[name] for name in ("elbo", "log_likelihood", "kl")}
        return arrays


def _predicted(classes: tuple[str, ...], share: "np.ndarray") -> "dict[str, np.ndarray]":
    """The probabilities of classes, those of each by its name, and the likeliest class of each row with its own."""
    named = {f"probability_{name}": share[:, k] for k, name in enumerate(classes)}
    best = np.array([str(name) for name in classes])[share.argmax(axis=1)]
    return {PROBABILITIES: share, PREDICTED: best, "probability": share.max(axis=1), **named}


if TYPE_CHECKING:
    from latens.trained.trained_model import TrainedModel


_BETWEEN = "for text: rows on the line between the latents of the texts A and B"
_STEPS = whole(2, 10_000)


class Decode(ModelCommand):
    """Map latents to rows: means of p(x | z)."""

    # On the way from one row to another z goes along a straight line between the codes of both.

    endings: ClassVar = (".npz", ".png", ".txt", ".csv", ".parquet")
    latents: Annotated[str | None, arg("a file of latents, written by `latens encode`", "Z", reads=True)] = None
    between: Annotated[list[str] | None, arg(_BETWEEN, metavar="A B", many=True)] = None
    steps: Annotated[int, arg("rows of --between, including both ends (default 7)", metavar="N", kind=_STEPS)] = 7
    label: Annotated[str | None, arg("the class to decode as", metavar="NAME")] = None
    given: Given = None

    def place(self, at: Call) -> Path | None:
        printed = at.kind.printed and self.between is not None and not at.asked
        return None if printed else self.checked_out(at.asked, at.kind.endings)

    def __call__(self, at: Call) -> Work:
        from latens.commands._files import drawn_words, read_latents
        from latens.data.conditions import GIVEN

        if self.between is not None:
            return (yield from self._between(at))
        if self.latents is None:
            what = "neither a file of latents nor two rows were given."
            raise UsageError(what, where="Z", fix="Give a file that `latens encode` wrote, or --between A B of text.")
        trained, path = at.trained, Path(self.latents)
        z, ids = read_latents(path, trained.latent_shape)
        labels = _codes_of(trained, path, len(z), self.label) if trained.preparation.classes else None
        if self.label is not None and labels is None:
            trained.code_of(self.label)  # says why there is none; a predicted label is part of a latent
            raise UsageError("the latents of this model contain the label.", where="--label", fix="Remove --label.")
        yield f"decode {len(z)} latents"
        rows, chosen = len(z), at.positions(len(z))
        z, labels = z[chosen], None if labels is None else labels[chosen]
        known = _conditions_of(trained, path, rows, at.told)
        cond = (trained.condition(labels) or {}) | ({} if known is None else {GIVEN: known[chosen]})
        values = codes.decode(trained.model, z, cond=cond or None)
        x = estimate.finite(trained.data_units(values, mean=True), "x", where=at.name)
        return Result(
            arrays={"x": x} | ({} if ids is None else {"row_id": ids[chosen]}),
            value={"rows": len(z), "shape": list(x.shape)},
            text=drawn_words(len(z), rows),
            image=x,
            schema=trained.schema,
        )

    def _between(self, at: Call) -> Work:
        """Rows on the way from one row of text to another."""
        from latens.commands._files import lines_of

        trained, ends = at.trained, list(self.between or ())
        if self.latents is not None or self.label is not None:
            flag = "Z" if self.latents is not None else "--label"
            raise UsageError("--between already gives both ends.", where=flag, fix="Leave it out.")
        if not at.kind.printed or trained.preparation.classes or len(ends) != 2:
            fix = "Use `latens encode` and `latens decode RUN Z`, or `latens report --only figures`."
            raise UsageError("--between needs a model of text.", where="--between", fix=fix)
        rows = trained.schema.encode(ends, where="--between")
        yield f"decode {self.steps} latents between {ends[0]!r} and {ends[1]!r}"
        first, last = trained.encode(rows)
        z = first + np.linspace(0.0, 1.0, self.steps, dtype=np.float32)[:, None] * (last - first)
        x = estimate.finite(trained.data_units(codes.decode(trained.model, z), mean=True), "x", where=at.name)
        text = f"{self.steps} rows" if at.writes else lines_of(trained.schema, x)
        value = {"rows": self.steps, "between": ends, "text": trained.schema.decode(x)}
        return Result(arrays={"x": x, "z": z}, value=value, text=text, schema=trained.schema)


def _conditions_of(trained: "TrainedModel", path: Path, n: int, told: dict[str, Any]) -> "np.ndarray | None":
    """The conditions that stand beside the latents in their file; None where none do: then they are usual, or told."""
    from latens.commands._files import read_beside
    from latens.data.conditions import GIVEN, arrays_of, vectors

    known = trained.schema.conditions or ()
    found = {one.name: read_beside(path, f"{GIVEN}_{one.name}") for one in known}
    cells = {one.name: told.get(one.name, found[one.name] or one.usually) for one in known}
    return vectors(known, arrays_of(cells, n, str(path)), str(path)) if known else None


def _codes_of(trained: "TrainedModel", path: Path, n: int, name: str | None) -> "np.ndarray":
    """The class of every latent: the one named, else those that stand beside the latents in their file."""
    from latens.commands._files import read_beside

    if name is not None:
        return np.full(n, trained.code_of(name))
    words = read_beside(path, "label")
    if words is None or len(words) != n:
        raise UsageError("a conditional model decodes a latent and a label.", where=str(path),
                         fix="Add --label NAME, or an array `label` with the latents.")  # fmt: skip
    return np.array([trained.code_of(word) for word in words])


class Reconstruct(ModelCommand):
    """Encode rows and decode them again."""

    endings: ClassVar = (".npz", ".png", ".csv", ".parquet", ".txt")
    by_row: ClassVar = True
    data: Data
    mean: Mean = None
    unknown: Unknown = "error"
    given: Given = None
    seed: Seed = 0

    def place(self, at: Call) -> Path:
        return self.checked_out(at.asked, at.kind.endings)

    def __call__(self, at: Call) -> Work:
        from latens.commands._files import drawn_words
        from latens.commands.evaluate import MOST_PICTURES
        from latens.data.row_fields import every_nth

        data, trained, mean = at.load(), at.trained, at.noiseless if self.mean is None else self.mean
        test = data.subset("test") if at.picture and at.knows(data) else np.zeros(0, int)
        rows = test if len(test) else np.arange(len(data))
        chosen = rows[at.positions(len(rows))]
        yield f"reconstruct {len(chosen)} rows of {data.name}"
        values = codes.reconstruct(trained.rows(data, chosen, seed=self.seed), mean=mean)
        x = estimate.finite(trained.data_units(values, mean=mean), "x", where=at.name)
        text = f"{drawn_words(len(x), len(rows))} of {data.name}{', of the test set' * bool(len(test))}"
        text += ", without the noise of single pixels (--no-mean: with it)" * (mean and self.mean is None)
        if trained.schema.image is not None and data.mask is None:
            of = f" of {trained.schema.cells.high:g} levels" * trained.schema.cells.pixel
            judged = every_nth(rows, MOST_PICTURES)  # the number that `fit` tells
            error = np.sqrt(np.square(trained.reconstruct(trained.batch(data, judged)) - data.x[judged]).mean())
            text += f"\nRMSE of means, {len(judged):,} {'test ' * bool(len(test))}rows: {error:.3g}{of}"
        return Result(
            arrays={"row_id": data.names[chosen], "x": x},
            value={"rows": len(x), "shape": list(x.shape)},
            text=text,
            image=x,
            beside=data.x[chosen],
            schema=trained.schema,
            places=None if data.places is None else data.places[chosen],
        )


class Translate(ModelCommand):
    """Decode rows of one class as another."""

    endings: ClassVar = (".npz", ".png")
    data: Annotated[Any, arg("rows with labels", "DATA", reads=True)]
    start: Annotated[str, arg("the class of the rows", "--from", "A")]
    end: Annotated[str, arg("the class to decode them as", "--to", "B")]
    mean: Mean = None
    seed: Seed = 0

    def __call__(self, at: Call) -> Work:
        from latens.trained.augmentation import translate

        data, trained, mean = at.load(), at.trained, at.noiseless if self.mean is None else self.mean
        yield f"decode the rows of class {self.start!r} of {data.name} as class {self.end!r}"
        found = translate(trained, data, self.start, self.end, mean=mean, seed=self.seed)
        some = at.positions(len(found.x))
        rows, x = found.positions[some], found.x[some]
        return Result(
            arrays={"row_id": data.names[rows], "x": x, "label": np.full(len(rows), self.end)},
            value={"rows": len(rows), "from": self.start, "to": self.end, "mean": mean},
            text=f"{len(rows)} rows of class {self.start} of {data.name} as class {self.end}",
            image=x,
            beside=data.x[rows],
            schema=trained.schema,
        )
