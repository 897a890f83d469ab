"""`latens decode`: latents to rows."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from latens.commands._lazy import codes, estimate, np
from latens.commands.base import Call, Given, ModelCommand, Result, Work, arg, whole
from latens.errors import UsageError

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
