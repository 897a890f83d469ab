"""`latens pack`: rows of any kind as shards of NumPy arrays."""

import shlex
from pathlib import Path

from latens.cli.context import Context
from latens.errors import UsageError
from latens.verbs._sources import reading_options


def pack(context: Context) -> int:
    """Write rows as `.npy` shards, in their order or shuffled."""
    from latens.data import load
    from latens.data.streams.dataset import StreamDataset
    from latens.data.streams.pack import pack as write

    args = context.args
    if not args.out:
        fix = "Add --out FOLDER, the name of a folder that is not there yet."
        raise UsageError("is missing: it says where the shards go.", where="--out", fix=fix)
    data = load(args.data, **reading_options(vars(args)))
    if data.schema.conditions:
        fix = "Leave --condition out: the rows keep the column."
        raise UsageError("shards hold no conditions.", where="--condition", fix=fix)
    names = write(data, Path(args.out), shuffle=args.shuffle, seed=args.seed)
    rows = data.total if isinstance(data, StreamDataset) else len(data)
    missing = "" if data.mask is None else " --missing nan"
    following = f"latens fit {shlex.quote(args.out)}{missing}"
    value = {"out": args.out, "rows": rows, "shards": names, "dtype": str(data.x.dtype), "next": following}
    order = "shuffled" if args.shuffle else "in their order"
    context.done(value, f"{args.out}: {rows} rows, {order}, in {len(names)} shards\nnext: {following}")
    return 0
