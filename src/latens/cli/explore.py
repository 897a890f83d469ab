"""`latens explore`: the latent space of a run as a page in the browser, or as one file."""

import shlex

from latens.cli.context import Context, reading_as_typed, would
from latens.commands._sources import open_model
from latens.commands.base import Call, DryRun
from latens.data import KNOWN
from latens.errors import UsageError
from latens.io.terminal import doing


def explore(context: Context) -> int:
    """Write the page of a run, or of a model file with DATA, or serve it until Ctrl-C."""
    args = context.args
    if args.export is not None and (args.port or args.no_browser):
        flag = "--port" if args.port else "--no-browser"
        raise UsageError("the page is written, nothing is served.", where=flag, fix=f"Leave out {flag}, or --export.")
    if args.export is not None and not args.export.endswith(".html"):
        raise UsageError("the page is one file.", where="--export", fix="Let its name end in .html.")
    opened = open_model(args.run)
    if args.dry_run:
        what = f"write the page to {args.export}" if args.export else "serve the page on 127.0.0.1"
        return would(context, DryRun(f"{what}; nothing was written", {"file": args.export}), opened)
    files = page_files(opened, context, serve=args.export is None)
    if args.export is None:
        from latens.explorer.server import serve

        return serve(context, opened.trained, files)
    from latens.explorer.page_files import single_file, write_file

    doing("writing the page")
    body = single_file(files)
    path = write_file(args.export, body, force=args.force)
    words = f"{path}: {len(body) / 1e6:.1f} MB, one file that opens in a browser by itself"
    context.done({"file": str(path), "bytes": len(body)}, words)
    return 0


def page_files(opened: Call, context: Context, *, serve: bool) -> dict[str, bytes]:
    """Make the page of a model with its data."""
    from latens.explorer import payload, static_files

    args, run = context.args, opened.run
    if args.data is None and run is None and opened.trained.facts.get("data") not in KNOWN:
        raise UsageError("a model file contains no rows.", where=args.run, fix="Add DATA.")
    data = reading_as_typed(opened, context).load()
    history = [record for record in run.read_metrics() if record.get("event") == "epoch"] if run else []
    words = ["latens", "explore", args.run, *([args.data] if args.data else [])]
    doing("placing the rows")
    found = payload(
        opened.trained,
        data,
        history=history,
        most_rows=args.rows,
        seed=args.seed,
        command=shlex.join(words),
        serve=serve,
    )
    return static_files() | found
