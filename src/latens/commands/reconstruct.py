"""`latens reconstruct`: rows to latents and back."""

from pathlib import Path
from typing import ClassVar

from latens.commands._lazy import codes, estimate, np
from latens.commands.base import Call, Data, Given, Mean, ModelCommand, Result, Seed, Unknown, Work


class Reconstruct(ModelCommand):
    """Encode rows and decode them again."""

    endings: ClassVar = (".npz", ".png", ".csv", ".parquet", ".txt")
    by_row: ClassVar = True
    data: Data
    mean: Mean = False
    unknown: Unknown = "error"
    given: Given = None
    seed: Seed = 0

    def place(self, at: Call) -> Path:
        return self.checked_out(at.asked, at.kind.endings)

    def __call__(self, at: Call) -> Work:
        from latens.commands._files import drawn_words
        from latens.data.splits import evenly_spaced

        data, trained = at.load(), at.trained
        chosen, own = at.positions(len(data)), data.x.ndim > 2 and data.mask is None and at.knows(data)
        test = data.subset("test") if own else np.zeros(0, int)
        if at.picture and own:  # test rows say most
            others = np.setdiff1d(np.arange(len(data)), test)
            test = evenly_spaced(test, max(len(chosen) // 2, len(chosen) - len(others)))
            chosen = np.concatenate([test, evenly_spaced(others, len(chosen) - len(test))])
        yield f"reconstruct {len(chosen)} rows of {data.name}"
        values = codes.reconstruct(trained.rows(data, chosen, seed=self.seed), mean=self.mean)
        x = estimate.finite(trained.data_units(values, mean=self.mean), "x", where=at.name)
        text = f"{drawn_words(len(x), len(data))} of {data.name}"
        if at.picture and own:
            text += f", {len(test)} test rows first"
        if own:
            for split in ("train", "validation", "test"):
                rows = np.isin(chosen, data.subset(split))
                errors = np.square(x[rows] - np.asarray(data.x[chosen[rows]], np.float64))
                if len(errors):
                    text += f"\nmean squared error of {rows.sum()} {split} rows: {errors.mean():.4g}"
                    cells = trained.schema.cells  # a root in levels is easier to imagine
                    text += f" (root: {errors.mean() ** 0.5:.1f} of {cells.high:g} levels)" * cells.pixel
        return Result(
            arrays={"row_id": data.names[chosen], "x": x},
            value={"rows": len(x), "shape": list(x.shape)},
            text=text,
            image=x,
            beside=data.x[chosen],
            schema=trained.schema,
            places=None if data.places is None else data.places[chosen],
        )
