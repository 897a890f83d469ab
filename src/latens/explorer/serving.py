"""The explorer's page on the local server until Ctrl-C, with a decoder where the page cannot decode itself."""

import contextlib
import json
import os
import sys
import threading
import webbrowser
from collections.abc import Mapping
from typing import Any

import numpy as np

from latens.explorer.decoder import decoded_means
from latens.explorer.server import Decoder, PageServer
from latens.explorer.whatif import answers
from latens.trained.trained_model import TrainedModel


def serve(context: Any, trained: TrainedModel, files: Mapping[str, bytes]) -> int:
    """Serve the page, say where, open a browser, and wait for Ctrl-C."""
    args = context.args
    with PageServer(files, port=args.port or 0, decoder=decoder_of(trained, files), given=answers(trained)) as page:
        try:
            announce(context, page.url, "Ctrl-C ends", browser=not args.no_browser)
            context.result({"url": page.url}, page.url if context.quiet else "")
            while True:
                threading.Event().wait(3600)
        except KeyboardInterrupt as stop:  # the way to end it, so no error; SIGTERM says who ended it
            context.say("closed")
            number = getattr(stop, "number", 2)
            return 0 if number == 2 else 128 + number


def announce(context: Any, url: str, words: str, *, browser: bool) -> None:
    """Write one line with the address, and open a browser where there is a screen."""
    # A text browser would take over the terminal.
    screen = sys.platform in ("win32", "darwin") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    opened = browser and screen and not context.json
    context.say(f"{url}  ({'opening a browser; ' if opened else ''}{words})")
    if opened:
        with contextlib.suppress(webbrowser.Error, OSError):
            webbrowser.open(url)


def decoder_of(trained: TrainedModel, files: Mapping[str, bytes]) -> Decoder | None:
    """Make what POST `decode` computes for a page: means of p(x | z) in the units of the data."""
    latent = json.loads(files["data/manifest.json"]).get("latent")
    if not latent:
        return None
    shape = tuple(latent["shape"])

    def decode(latents: np.ndarray, codes: np.ndarray | None) -> np.ndarray:
        return decoded_means(trained, latents.reshape(len(latents), *shape), codes)

    return Decoder(int(latent["size"]), decode, int(trained.preparation.classes))
