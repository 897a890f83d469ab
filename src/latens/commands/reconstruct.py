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
