"""`latens encode`: rows to latents."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from latens.commands._lazy import clusters, codes, importance, np
from latens.commands.base import Call, Data, Given, ModelCommand, Result, Seed, Unknown, Work, arg, draws
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
