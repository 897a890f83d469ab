"""Which other rows lie nearest in the latents."""

from typing import Annotated, ClassVar

from latens.commands.base import Call, Data, ModelCommand, Result, Work, arg, whole


class Nearest(ModelCommand):
    """The rows whose latents lie nearest to those of each row."""

    endings: ClassVar = (".npz", ".csv")
    data: Data
    count: Annotated[int, arg("how many for each row (default 5)", metavar="N", kind=whole(1, 1000))] = 5

    def __call__(self, at: Call) -> Work:
        data = at.load()
        yield f"look for the {self.count} nearest of {len(data)} rows of {data.name}"
        from sklearn.neighbors import NearestNeighbors

        z = at.trained.encode(data)
        distance, index = NearestNeighbors(n_neighbors=min(self.count, len(z) - 1)).fit(z).kneighbors()
        return Result(arrays={"row_id": data.names, "nearest": data.names[index], "distance": distance},
                    value={"rows": len(z)}, text=f"{len(z)} rows")  # fmt: skip
