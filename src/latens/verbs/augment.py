"""`latens augment`: more rows of each class."""

from typing import Annotated, Any, ClassVar

from latens.verbs._lazy import np
from latens.verbs.kernel import At, Made, Mean, Seed, Verb, Work, arg, table_rows


class Augment(Verb):
    """More rows of each class: draws around labelled rows, or from p(x | class)."""

    endings: ClassVar = (".npz", ".csv", ".parquet")
    needs_latents: ClassVar = False
    data: Annotated[Any, arg("rows with labels", "DATA", reads=True)]
    run: Annotated[str, arg("the model that draws", "--model", "RUN", reads=True)]
    per_class: Annotated[int, arg("new rows of each class", metavar="N", kind=table_rows)]
    draw: Annotated[
        str | None,
        arg("around rows of the class, or from p(x | class), which is the default of models that have it",
            choices=("rows", "class")),
    ] = None  # fmt: skip
    mean: Mean = False
    seed: Seed = 0

    def __call__(self, at: At) -> Work:
        from latens.workflow.augment import augment

        data = at.load(own_classes=True)
        # Of a run's own data only training rows are drawn around: the others measure what the new rows are good for.
        known = data.fingerprint == at.trained.facts.get("fingerprint")
        positions = data.subset("train", required=True) if known else np.arange(len(data))
        rows = f"{len(positions)} {'training rows' if known else 'rows'} of {data.name}"
        yield f"draw {self.per_class} rows of each class, from the labels of {rows},"
        given: dict[str, Any] = {"positions": positions, "draw": self.draw, "mean": self.mean, "seed": self.seed}
        found = augment(at.trained, data, self.per_class, **given)
        classes = {str(name): int(count) for name, count in zip(*np.unique(found.label, return_counts=True))}
        how = "from p(x | class)" if found.around is None else f"around {rows}"
        what = "means" if self.mean else "draws"
        arrays = {"x": found.x, "label": found.label}
        return Made(
            arrays=arrays if found.around is None else {**arrays, "around": found.around},
            value={"rows": len(found.x), "classes": classes, "drawn": how, "mean": self.mean},
            text=f"{len(found.x)} {what} {how}, {self.per_class} of each of {len(classes)} classes",
            table=_table(found.x, found.label, data.schema.names, at.options.get("label")),
        )


def _table(x: "np.ndarray", label: "np.ndarray", names: list[str], given: object) -> "dict[str, np.ndarray]":
    """The columns of the data and their labels, so that the rows can stand below those of the table."""
    flat = x.reshape(len(x), -1)
    names = names or [f"x{i}" for i in range(flat.shape[1])]
    column = given if isinstance(given, str) and not given.endswith(".npy") else "label"
    return {**{name: flat[:, i] for i, name in enumerate(names)}, column: label}
