"""`latens translate`: rows of one class as rows of another; pictures as their pair."""

from typing import Annotated, Any, ClassVar

from latens.errors import UsageError
from latens.verbs._lazy import np
from latens.verbs.kernel import At, Made, Mean, Seed, Verb, Work, arg, draws

_FROM = "the class of the rows; for pairs, their side: source (default) or target"
_TO = "the class to decode them as; for pairs, the other side"


class Translate(Verb):
    """Decode rows of one class as another."""

    endings: ClassVar = (".npz", ".png")
    data: Annotated[Any, arg("rows with labels; for pairs, pictures of one side", "DATA", reads=True)]
    start: Annotated[str | None, arg(_FROM, "--from", "A")] = None
    end: Annotated[str | None, arg(_TO, "--to", "B")] = None
    mean: Mean = False
    num_samples: Annotated[int | None, arg("draws of each row, for pairs (default 100)", metavar="K", kind=draws)] = (
        None
    )
    seed: Seed = 0

    def __call__(self, at: At) -> Work:
        from latens.workflow.inputs import knows_pairs

        return self._pairs(at) if knows_pairs(at.trained) else self._classes(at)

    def _classes(self, at: At) -> Work:
        from latens.workflow.translation import translate

        if self.start is None or self.end is None:
            flag = "--from" if self.start is None else "--to"
            what = f"{flag} is missing: it must name a class."
            raise UsageError(what, where=flag, fix="Add --from CLASS --to CLASS.")
        if self.num_samples is not None:
            what = "only models of pairs use several draws."
            raise UsageError(what, where="--num-samples", fix="Leave it out.")
        data, trained = at.load(), at.trained
        yield f"decode the rows of class {self.start!r} of {data.name} as class {self.end!r}"
        found = translate(trained, data, self.start, self.end, mean=self.mean, seed=self.seed)
        some = at.positions(len(found.x))
        rows, x = found.positions[some], found.x[some]
        return Made(
            arrays={"row_id": data.names[rows], "x": x, "label": np.full(len(rows), self.end)},
            value={"rows": len(rows), "from": self.start, "to": self.end, "mean": self.mean},
            text=f"{len(rows)} rows of class {self.start} of {data.name} as class {self.end}",
            image=x,
            beside=data.x[rows],
            schema=trained.schema,
        )

    def _pairs(self, at: At) -> Work:
        from latens.kinds.pictures.picture_files import as_colours
        from latens.workflow.translation import SIDES, complete, side_schema

        start = self.start or (SIDES[0] if self.end != SIDES[0] else SIDES[1])
        end = self.end or (SIDES[1] if start != SIDES[1] else SIDES[0])
        data, trained = at.load_new(), at.trained
        yield f"write the {end} of each {start} of {data.name}"
        chosen = at.positions(len(data))
        rows, count = data.x[chosen], self.num_samples or 100
        given: dict[str, Any] = {"mean": self.mean, "num_samples": count, "seed": self.seed, "where": data.name}
        x = complete(trained, rows, start, end, **given)
        return Made(
            arrays={"row_id": data.names[chosen], "x": x},
            value={"rows": len(x), "from": start, "to": end, "mean": self.mean},
            text=f"the {end} of each {start} of {data.name}, {len(x)} rows",
            image=x,
            beside=as_colours(rows) if rows.ndim < x.ndim else rows,
            schema=side_schema(trained.schema),
        )
