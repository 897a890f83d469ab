"""`latens export`: a model for other engines."""

from pathlib import Path

from latens.cli.context import Context, would
from latens.cli.sources import open_vae
from latens.errors import UsageError


def export(context: Context) -> int:
    """Write encoder and decoder as ONNX files, checked against the model.

    Args:
        context: The call of the command.

    Returns:
        The exit code.
    """
    args = context.args
    if not args.out:
        raise UsageError("--out is missing: it says where the files go.", where="--out", fix="Add --out FOLDER.")
    trained = open_vae(args.run, "export").trained
    if args.dry_run:
        return would(context, "write encoder.onnx and decoder.onnx", Path(args.out))
    from latens.workflow.export import export as write

    told = write(trained, args.out)
    lines = [
        f"{Path(args.out) / name}: {tuple(of['input'])} to {tuple(of['output'])}, within {of['difference']:.1g}"
        for name, of in told.items()
    ]
    context.done({"out": str(args.out), "files": told}, "\n".join(lines))
    return 0
