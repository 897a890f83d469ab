"""`latens express`: how much of each gene a cell has, at one depth and without the batch."""

from typing import Annotated, ClassVar

from latens.errors import UsageError
from latens.verbs._cells import EXPRESSION, annotated_bytes, batches_of, refuse_annotated
from latens.verbs._lazy import np
from latens.verbs.kernel import At, Data, Given, Made, Seed, Unknown, Verb, Work, arg, number, parts

_TOTAL = "the depth at which counts are said (default 10000, as of scanpy)"
_DRAWS = "also keep M draws of each cell's expression (.npz); 0 keeps the mean and the deviation alone (default 0)"
_OWN = "each cell in its own batch (default: the mean over all batches)"
_SAMPLES = "draws of the latents of each cell (default 25)"


class Express(Verb):
    """Normalised expression of each gene in each cell: means and draws, of counts given totals."""

    endings: ClassVar = (".npz", ".csv", ".parquet", ".h5ad")
    data: Data
    unknown: Unknown = "error"
    given: Given = None
    own: Annotated[bool, arg(_OWN)] = False
    total: Annotated[float | None, arg(_TOTAL, metavar="N", kind=number(1e-6, 1e12))] = None
    num_samples: Annotated[int, arg(_SAMPLES, metavar="K", kind=parts)] = 25
    draws: Annotated[int, arg(_DRAWS, metavar="M", kind=lambda text: parts(text) if text != "0" else 0)] = 0
    seed: Seed = 0

    def __call__(self, at: At) -> Work:
        from latens.workflow.expression import PER, decoded, genes_of

        trained, ending, vectors = at.trained, at.out.suffix.lower(), batches_of(at, own=self.own)
        if self.draws and ending not in ("", ".npz"):
            raise UsageError(f"a {ending} file holds one number a gene.", where="--draws", fix="Write .npz.")
        if self.draws > self.num_samples:
            what = f"{self.draws} draws of {self.num_samples} are asked for."
            raise UsageError(what, where="--draws", fix=f"Add --num-samples {self.draws}.")
        if ending == ".h5ad":
            refuse_annotated(at)
        data = at.load()
        if ending == ".h5ad":
            refuse_annotated(at, data)
        genes, total = genes_of(trained), PER if self.total is None else self.total
        yield f"express {len(genes)} genes of {len(data)} rows of {data.name}"
        means, deviations, kept = [], [], []
        rows = np.arange(len(data))
        for _, found in decoded(trained, data, rows, vectors, draws=self.num_samples, seed=self.seed):
            share = total * found["share"]
            means.append(share.mean(axis=1))
            deviations.append(share.std(axis=1))
            kept.append(share[:, : self.draws])
        mean, deviation = np.concatenate(means), np.concatenate(deviations)
        batches = "each in its own batch" if self.own else "the mean over batches"
        batches = at.trained.told if at.told else batches
        said = f"counts of a cell of {total:,.0f}{' (--total for others)' if self.total is None else ''}"
        said += f", {batches}" if trained.schema.conditions else ""
        value = {"rows": len(mean), "genes": len(genes), "total": float(total)}
        if ending == ".h5ad":
            return Made(raw=annotated_bytes(at, {f"layers/{EXPRESSION}": mean}, said), value=value,
                        text=f"layers[{EXPRESSION!r}], {len(mean)} rows of {len(genes)} genes: {said}")  # fmt: skip
        arrays = {"row_id": data.names, "gene": np.array(genes), "mean": mean, "deviation": deviation}
        arrays |= {"draws": np.concatenate(kept)} if self.draws else {}
        table = {"row_id": data.names} | {name: mean[:, j] for j, name in enumerate(genes)}
        text = f"{len(mean)} rows of {len(genes)} genes: {said}"
        return Made(arrays=arrays, table=table, value=value, text=text)
