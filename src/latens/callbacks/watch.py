"""The explorer's page of a training that goes on: curves at every look, the latent space anew every few seconds."""

import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from latens.data import Dataset
from latens.data.dataset import rows_at
from latens.data.rows import evenly_spaced
from latens.explorer import payload, static_files
from latens.explorer.server import PageServer
from latens.explorer.serving import decoder_of
from latens.explorer.whatif import answers
from latens.io.json import plain, to_json
from latens.training import Event
from latens.workflow.experiment import Experiment

log = logging.getLogger("latens.callbacks.watch")

ROWS = 500
"""Rows whose posterior means are shown: one batch of the size that `evaluation.encode` is compiled for anyway."""
LEAST_SECONDS = 3.0
SHARE = 0.015
"""Of the time of a training that may be spent on the page: what took a second is done again after a minute or so."""
LOOKING = 8.0
"""Seconds after its last request in which somebody is taken to be looking; a page asks every two."""
MOST_FAILURES, SECONDS_AFTER_FAILURE = 3, 10.0
MOST_WITHIN = 200
"""Points of a curve within one epoch."""
GOODBYE = 3.0
"""Seconds in which a page that somebody looks at may fetch the end."""


class Watch:
    """A callback that serves the page of a training on 127.0.0.1 while it goes on; a `with` block ends it."""

    # Inside the loop it only notes numbers. Models are looked at in a thread of its own, only while somebody has the
    # page open, and so seldom that it takes about `SHARE` of the time; the first look compiles, which is not counted.
    # `opened`: Function of the address, called once, when the page is there.
    # `port`: The port; 0 takes any free one.
    # `history`: The "epoch" records of a run that is resumed.

    def __init__(
        self,
        experiment: Experiment,
        *,
        opened: Callable[[str], None] = lambda url: None,
        port: int = 0,
        history: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.experiment, self._opened, self._port = experiment, opened, port
        self.page: PageServer | None = None
        self.looks = 0
        self.cost = 0.0
        self._rows = some_rows(experiment.data, ROWS)
        self._title = f"{getattr(experiment.config, 'recipe', 'model')} on {experiment.data.name}"
        self._history = [dict(record) for record in history if record.get("event") == "epoch"]
        self._within: list[dict[str, Any]] = []  # of the epoch that goes on
        self._progress: dict[str, Any] = {}
        self._manifest: dict[str, Any] = {}
        self._live, self._changes, self._sent = True, 0, (-1, b"")
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], int] | None] = queue.SimpleQueue()
        self._idle, self._next = threading.Event(), 0.0
        self._last: Event | None = None
        self._thread = threading.Thread(target=self._work, name="latens-watch", daemon=True)

    # --- in the loop ---

    def __call__(self, event: Event) -> None:
        """Note the metrics of an event, and let the page be brought up to date."""
        if self.page is None:
            self._open(event)
        self._last = event
        if event.kind == "epoch":
            self._history.append({"event": "epoch", **event.record})
            self._within = []
        elif event.kind == "chunk" and (record := so_far(event)) is not None:
            # Every other one goes where they are many, so that a long epoch has a curve and the page stays small.
            kept = self._within if len(self._within) < MOST_WITHIN else self._within[::2]
            self._within = [*kept, record]
        elif event.kind not in ("chunk", "boundary", "stage-end"):
            return
        loop = event.snapshot.loop
        self._progress = {
            "step": loop.total,
            "total_steps": event.total_steps,
            "epoch": float(event.record.get("epoch", self._progress.get("epoch", 0.0))),
            "rows_per_second": event.rows_per_second,
        }
        self._changes += 1
        if event.kind == "boundary" and self._idle.is_set() and time.monotonic() >= self._next and self._looked_at():
            self._idle.clear()
            self._jobs.put((event.model, loop.total))

    def _looked_at(self) -> bool:
        return self.page is not None and time.monotonic() - self.page.asked < LOOKING

    def _open(self, event: Event) -> None:
        files = payload(self.experiment.trained(event.model()), None, live=True, serve=True, title=self._title)
        self._manifest = json.loads(files.pop("data/manifest.json"))
        self.page = PageServer({**static_files(), **files, "data/manifest.json": self.manifest}, port=self._port)
        self.page.start()
        self._idle.set()
        self._thread.start()
        self._opened(self.page.url)

    # --- beside the loop ---

    def _work(self) -> None:
        failures = 0
        while (job := self._jobs.get()) is not None:
            try:
                self.look(*job)
            except Exception:  # of a first stage, say, whose model has no latents yet
                failures += 1
                log.exception("the page of this training is not brought up to date")
                if failures == MOST_FAILURES:
                    return
                self._next = time.monotonic() + SECONDS_AFTER_FAILURE
            self._idle.set()

    def look(self, model: Callable[[], Any], step: int) -> None:
        """Bring the page up to date with a model."""
        began = time.perf_counter()
        trained = self.experiment.trained(model(), steps=step)
        files = payload(trained, self._rows, live=True, serve=True, title=self._title)
        assert self.page is not None
        self.page.decoder, self.page.given = decoder_of(trained, files), answers(trained)
        manifest = json.loads(files.pop("data/manifest.json"))
        self.page.publish(files)
        self.looks += 1
        self._manifest = {**manifest, "version": self.looks, "seen_step": step}
        self._changes += 1
        cost = time.perf_counter() - began
        self.cost += cost
        wait = 0.0 if self.looks == 1 else cost / SHARE
        self._next = time.monotonic() + max(LEAST_SECONDS, wait)

    def manifest(self) -> bytes:
        """Give the manifest with the history and the progress of this moment."""
        if self._sent[0] != (changes := self._changes):
            history = [*self._history, *self._within]
            now = {"live": self._live, "history": history, "progress": self._progress}
            body = to_json(plain({"version": 0, **self._manifest, **now}, nonfinite=lambda number: None))
            self._sent = (changes, body)
        return self._sent[1]

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self.page is None:
            return
        self._jobs.put(None)
        self._thread.join(timeout=30.0)
        if kind is None and self._last is not None and self._looked_at() and not self._thread.is_alive():
            try:
                self.look(self._last.model, self._last.snapshot.loop.total)
            except Exception:
                log.exception("the page of this training does not show its end")
        self._live = False
        self._changes += 1
        ended = time.monotonic()
        while self._looked_at() and self._sent[0] != self._changes and time.monotonic() - ended < GOODBYE:
            time.sleep(0.05)
        if self._sent[0] == self._changes:
            time.sleep(0.2)  # for the arrays that the last manifest names
        self.page.close()


def so_far(event: Event) -> dict[str, Any] | None:
    """Compute the means since the epoch began, as an "epoch" record that is not complete."""
    running, record = event.snapshot.loop.running, event.record
    if not running.get("steps"):
        return None
    means = {
        f"train_{name}": total / running[f"weight of {name}"]
        for name, total in running.items()
        if running.get(f"weight of {name}")
    }
    objective = running["objective"] / running["steps"]
    return {"event": "epoch", "step": record["step"], "epoch": record["epoch"], "train_objective": objective, **means}


def some_rows(data: Dataset, most: int) -> Dataset:
    """Choose rows of a data set, evenly spaced."""
    rows = evenly_spaced(np.arange(len(data)), most)
    return data if len(rows) == len(data) else rows_at(data, rows)
