"""`latens reconstruct`: rows to latents and back."""

from pathlib import Path
from typing import ClassVar

from latens.commands._lazy import evaluation, np
from latens.commands.base import At, Data, Given, Made, Mean, Seed, Unknown, Verb, Work


class Reconstruct(Verb):
    """Encode rows and decode them again."""

    endings: ClassVar = (".npz", ".png", ".csv", ".parquet", ".txt")
    by_row: ClassVar = True
    data: Data
    mean: Mean = False
    unknown: Unknown = "error"
    given: Given = None
    seed: Seed = 0

    def place(self, at: At) -> Path:
        return self.checked_out(at.asked, at.kind.endings)

    def __call__(self, at: At) -> Work:
        from latens.commands._files import drawn_words

        data, trained = at.load(), at.trained
        chosen = at.positions(len(data))
        yield f"reconstruct {len(chosen)} rows of {data.name}"
        values = evaluation.reconstruct(trained.rows(data, chosen, seed=self.seed), mean=self.mean)
        x = evaluation.finite(trained.data_units(values, mean=self.mean), "x", where=at.name)
        text = f"{drawn_words(len(x), len(data))} of {data.name}"
        if x.ndim > 2 and data.mask is None and at.knows(data):
            for split in ("train", "validation", "test"):
                rows = np.isin(chosen, data.subset(split))
                errors = np.square(x[rows] - np.asarray(data.x[chosen[rows]], np.float64))
                text += f"\nmean squared error of {rows.sum()} {split} rows: {errors.mean():.4g}" if len(errors) else ""
        return Made(
            arrays={"row_id": data.names[chosen], "x": x},
            value={"rows": len(x), "shape": list(x.shape)},
            text=text,
            image=x,
            beside=data.x[chosen],
            schema=trained.schema,
            places=None if data.places is None else data.places[chosen],
        )
