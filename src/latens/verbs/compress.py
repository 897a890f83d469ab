"""`latens compress`, `latens decompress`: rows as a file of bits that the model gives back exactly."""

from pathlib import Path
from typing import Annotated, ClassVar

from latens.verbs._lazy import np
from latens.verbs.kernel import At, Data, Made, Verb, Work, arg


class Compress(Verb):
    """Rows without loss in as many bits as the model's ELBO says."""

    endings: ClassVar = (".bits",)
    data: Data

    def __call__(self, at: At) -> Work:
        data = at.load()
        yield f"code {len(data)} rows of {data.name}"
        from latens.workflow.compress import compress

        raw, told = compress(at.trained, data)
        share = told["bits"] / told["negative_elbo_bits"] - 1
        words = f"{told['rows']} rows in {told['bits']:,} bits, {told['bits_per_dimension']:.4f} a dimension"
        text = f"{words}, {100 * share:+.2f} % against the ELBO"
        return Made(value={**told, "over_elbo": share}, text=text, raw=raw)


class Decompress(Verb):
    """The rows that `latens compress` coded."""

    endings: ClassVar = (".npy",)
    file: Annotated[str, arg("what `latens compress` wrote", "FILE", reads=True)]

    def __call__(self, at: At) -> Work:
        yield f"decode {Path(self.file).name}"
        import io

        from latens.workflow.compress import decompress

        x, buffer = decompress(at.trained, self.file), io.BytesIO()
        np.save(buffer, x, allow_pickle=False)
        value = {"rows": len(x), "shape": list(x.shape), "dtype": str(x.dtype)}
        return Made(arrays={"x": x}, value=value, text=f"{len(x)} rows", raw=buffer.getvalue())
