"""`latens decompress`: the rows that `latens compress` coded."""

import io
from pathlib import Path

import numpy as np

from latens.cli.context import Context, output_path, would
from latens.cli.sources import open_vae
from latens.io.atomic import write_atomic


def decompress(context: Context) -> int:
    """Write coded rows as an array again.

    Args:
        context: The call of the command.

    Returns:
        The exit code.
    """
    args = context.args
    out = output_path(args, (".npy",), args.file, args.run)
    trained = open_vae(args.run, "decompress").trained
    if args.dry_run:
        return would(context, f"decode {Path(args.file).name}", out)
    from latens.workflow.compress import decompress as decode

    rows, buffer = decode(trained, args.file), io.BytesIO()
    np.save(buffer, rows, allow_pickle=False)
    write_atomic(out, buffer.getvalue())
    value = {"out": str(out), "rows": len(rows), "shape": list(rows.shape), "dtype": str(rows.dtype)}
    context.done(value, f"{out}: {len(rows)} rows")
    return 0
