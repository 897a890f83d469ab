"""`latens export`: a model for other engines."""

from typing import Annotated, ClassVar

from latens.verbs.kernel import At, Made, Verb, Work, arg


class Export(Verb):
    """Encoder, decoder and ELBO as ONNX files."""

    endings: ClassVar = ()
    takes_out: ClassVar = ("FOLDER", "where the files go")
    format: Annotated[str, arg("of the files (default onnx)", choices=("onnx",))] = "onnx"

    def __call__(self, at: At) -> Work:
        yield "write encoder.onnx, decoder.onnx and, of one Normal q(z | x), elbo.onnx"
        from latens.workflow.export import export

        told = export(at.trained, at.out)
        lines = [
            f"{name} is left out: {of['left_out']}"
            if "left_out" in of
            else f"{at.out / name}: {tuple(of['input'])} to {tuple(of['output'])}, within {of['difference']:.1g}"
            for name, of in told.items()
        ]
        return Made(value={"files": told}, text="\n".join(lines))
