"""`latens encode`: rows to latents, into one file or, by any number of workers, into a folder of parts."""

import os
from pathlib import Path
from typing import Any

from latens.cli.context import Context
from latens.cli.workers import begin_launcher, begin_worker
from latens.errors import UsageError
from latens.io.workers import worker_of

ENDINGS = (".npz", ".csv", ".parquet")


def encode(context: Context) -> int:
    """Write the posterior of every row: mean, log-variance, and the row's ELBO and its two terms."""
    args = context.args
    if not _in_parts(args):
        from latens.cli.codes import encode_file

        return encode_file(context, ENDINGS)
    worker = worker_of(args.worker, args.workers, os.environ)
    begin_launcher() if worker is None else begin_worker()
    from latens.cli.codes import encode_parts  # it imports jax, whose threads are set by now

    return encode_parts(context, worker)


def _in_parts(args: Any) -> bool:
    """Whether the result is a folder: several workers were asked for, or this is one of several tasks."""
    if not args.out:
        return False
    asked, file = (args.workers, args.worker) != (None, None), Path(args.out).suffix.lower() in ENDINGS
    if file or Path(args.out).is_file():
        if asked:
            fix = "Give the name of a folder, or leave out --workers and --worker."
            raise UsageError("workers write parts into a folder, and this is a file.", where=f"--out {args.out}",
                             fix=fix)  # fmt: skip
        return False
    return asked or worker_of(None, None, os.environ) is not None
