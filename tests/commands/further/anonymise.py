"""A column drawn anew for every row, given the others."""

from dataclasses import replace
from typing import Annotated, ClassVar

from latens.commands.base import Call, Data, ModelCommand, Result, Seed, Work, arg
from latens.errors import UsageError, nearest


class Anonymise(ModelCommand):
    """A table with one column drawn anew given the others."""

    endings: ClassVar = (".csv", ".parquet")
    data: Data
    column: Annotated[str, arg("the column that is drawn", metavar="NAME")]
    seed: Seed = 0

    def __call__(self, at: Call) -> Work:
        data = at.load()
        names = [column.name for column in data.schema.columns or ()]
        if self.column not in names:
            raise UsageError(f"there is no column {self.column!r}.", where="--column", fix=nearest(self.column, names))
        yield f"draw {self.column} of {len(data)} rows of {data.name} anew"
        import numpy as np

        from latens import predictive
        from latens.kinds.tables.table_schema import as_frame

        batch = at.trained.batch(data)
        seen = np.ones(batch.x.shape, bool) if batch.mask is None else np.asarray(batch.mask)
        seen = seen & (np.arange(len(names)) != names.index(self.column))
        rows = at.trained.rows(replace(batch, mask=seen), seed=self.seed)
        found = predictive.impute(rows, num_samples=100, num_draws=1)
        x = np.where(seen, data.x, at.trained.data_units(found.draws[:, 0], mean=False))
        return Result(table=as_frame(x, data.schema), value={"rows": len(x)}, text=f"{len(x)} rows")
