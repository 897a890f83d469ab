"""How many bits each row takes: -log2 p(x)."""

from typing import Annotated, ClassVar

from latens.commands.base import Call, Data, ModelCommand, Result, Seed, Work, arg, draws


class Length(ModelCommand):
    """The length of each row in bits, -log2 p(x)."""

    endings: ClassVar = (".csv", ".npz")
    data: Data
    num_samples: Annotated[int, arg("draws a row (default 100)", metavar="K", kind=draws)] = 100
    seed: Seed = 0

    def __call__(self, at: Call) -> Work:
        data = at.load()
        yield f"measure {len(data)} rows of {data.name}"
        import numpy as np

        found = at.trained.log_marginal(data, num_samples=self.num_samples, seed=self.seed)
        bits = -found / np.log(2.0)
        return Result(arrays={"row_id": data.names, "bits": bits}, value={"rows": len(bits), "bits": float(bits.sum())},
                    text=f"{len(bits)} rows, {bits.mean():.1f} bits in the mean")  # fmt: skip
