"""`latens decode`: latents to rows."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from latens.errors import UsageError
from latens.verbs._lazy import evaluation, np
from latens.verbs.kernel import At, Made, Verb, Work, arg

if TYPE_CHECKING:
    from latens.workflow.trained import TrainedModel


class Decode(Verb):
    """Latents to rows: means of p(x | z)."""

    endings: ClassVar = (".npz", ".png")
    latents: Annotated[str, arg("a file of latents, as `latens encode` writes it", "Z", reads=True)]
    label: Annotated[str | None, arg("the class, of a model that has them", metavar="NAME")] = None

    def __call__(self, at: At) -> Work:
        from latens.verbs._files import drawn_words, read_latents

        trained, path = at.trained, Path(self.latents)
        z, ids = read_latents(path, trained.latent_shape)
        codes = _codes_of(trained, path, len(z), self.label) if trained.preparation.classes else None
        if self.label is not None and codes is None:
            trained.code_of(self.label)  # says why there is none; a predicted label is part of a latent
            raise UsageError("the latents of this model hold the label.", where="--label", fix="Remove --label.")
        yield f"decode {len(z)} latents"
        rows, chosen = len(z), at.positions(len(z))
        z, codes = z[chosen], None if codes is None else codes[chosen]
        values = evaluation.decode(trained.model, z, cond=trained.condition(codes))
        x = evaluation.finite(trained.data_units(values, mean=True), "x", where=at.name)
        return Made(
            arrays={"x": x} | ({} if ids is None else {"row_id": ids[chosen]}),
            value={"rows": len(z), "shape": list(x.shape)},
            text=drawn_words(len(z), rows),
            image=x,
            schema=trained.schema,
        )


def _codes_of(trained: "TrainedModel", path: Path, n: int, name: str | None) -> "np.ndarray":
    """The class of every latent: the one named, else those that stand beside the latents in their file."""
    from latens.verbs._files import read_labels

    if name is not None:
        return np.full(n, trained.code_of(name))
    words = read_labels(path)
    if words is None or len(words) != n:
        raise UsageError("a conditional model decodes a latent and a label.", where=str(path),
                         fix="Add --label NAME, or an array `label` beside the latents.")  # fmt: skip
    return np.array([trained.code_of(word) for word in words])
