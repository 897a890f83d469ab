"""`latens export`: a model for other engines."""

from typing import Annotated, ClassVar

from latens.verbs.kernel import At, Made, Verb, Work, arg


class Export(Verb):
    """Write encoder and decoder as ONNX files."""

    endings: ClassVar = ()
    takes_out: ClassVar = ("FOLDER", "where the files go")
    format: Annotated[str, arg("the format of the files (default onnx)", choices=("onnx",))] = "onnx"

    def __call__(self, at: At) -> Work:
        yield "write encoder.onnx and decoder.onnx"
        from latens.workflow.onnx_export import export

        told = export(at.trained, at.out)
        lines = [
            f"{at.out / name}: {tuple(of['input'])} to {tuple(of['output'])}, within {of['difference']:.1g}"
            for name, of in told.items()
        ]
        return Made(value={"files": told}, text="\n".join(lines))
