"""`latens translate`: rows of one class as rows of another."""

from typing import Annotated, Any, ClassVar

from latens.commands._lazy import np
from latens.commands.base import Call, Mean, ModelCommand, Result, Seed, Work, arg


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
