"""The flag `--watch` of `latens fit`, `resume` and `demo`. Imports nothing heavy."""

import contextlib
from typing import Any

from latens.cli.context import Context


def live_page(context: Context, run: Any, experiment: Any, stack: contextlib.ExitStack) -> list[Any]:
    """The callback behind `--watch`, where it was asked for."""
    args = context.args
    if not getattr(args, "watch", False):
        return []
    from latens.callbacks.watch import Watch
    from latens.explorer.serving import announce

    def opened(url: str) -> None:
        announce(context, url, "the page grows while it trains", browser=True)
        if context.quiet:
            context.warn(f"the page of this training is {url}")  # else nobody could find it

    return [stack.enter_context(Watch(experiment, opened=opened, port=args.port or 0, history=run.read_metrics()))]
