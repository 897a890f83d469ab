"""`latens evaluate`: held-out numbers with standard errors, units and protocol; of several runs differences."""

import os
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from latens.commands._lazy import np
from latens.commands.base import At, Made, Seed, Unknown, Verb, Work, Would, arg, draws
from latens.errors import ResourceError
from latens.io.atomic import write_atomic
from latens.io.json import plain, to_json

if TYPE_CHECKING:
    from latens.data import Dataset
    from latens.trained.metrics import Summary

_DATA = "more runs or model files to compare on the same rows; or the rows to use (default: the held-out rows)"


class Evaluate(Verb):
    """Measure held-out log p(x), or compare runs."""

    takes_out: ClassVar = None
    prints: ClassVar = True
    needs_latents: ClassVar = False
    by_batch: ClassVar = True
    data: Annotated[Any, arg(_DATA, "RUN2|DATA", reads=True, many=True)] = None
    unknown: Unknown = "error"
    num_samples: Annotated[
        int | None, arg("draws per row for log p(x)", metavar="K", kind=draws, group="evaluation")
    ] = None  # fmt: skip
    all: Annotated[bool, arg("print all metrics that apply, and write RUN/report.json")] = False
    seed: Seed = 0

    def __call__(self, at: At) -> Work:
        from latens.commands._compare import compared, parted
        from latens.trained.metric_functions import held_out_rows, summary_of

        others, at.data = parted(self.data)
        if others:
            return (yield from compared(at, others, at.data, self.num_samples, self.seed))
        data = at.load()
        split, positions = held_out_rows(data) if at.knows(data) else ("all", np.arange(len(data)))
        source = self._source(data, split, len(positions))
        yield self.would(at, source)
        file = _report_file(at, data) if self.all else None
        if self.all:
            at.say(f"measuring everything on {len(positions)} rows of {data.name} ({split})")
        began, given = time.perf_counter(), {"num_samples": self.num_samples, "seed": self.seed}
        found = summary_of(at.trained, data, split, positions, everything=self.all, **given)
        value = self._value(at, source, found)
        lines, text = self._plain(at, data, positions, found), f"{at.name} on {data.name}\n{found.text()}"
        if self.all:
            value |= {"left_out": found.left_out, "seconds": time.perf_counter() - began}
            text += f"\nall metrics\n{found.table_text()}"
        notes = [found.left_out_text()]
        if file is not None:
            write_atomic(file, to_json(plain(value, nonfinite=lambda number: None), indent=2) + b"\n")
            notes.append(f"{file}: these metrics, with their definitions")
        notes.append(found.warnings_text())
        return Made(value=value, text=text, plain=lines, note="\n".join(filter(None, notes)))

    def would(self, at: At, source: dict[str, Any]) -> Would:
        """Say what would be measured."""
        from latens.trained.measurement import NUM_SAMPLES

        draws = self.num_samples or NUM_SAMPLES
        rows = f"{source['rows']} rows of {source['name']} ({source['split']})"
        words = f"measure {at.name} on {rows} with {draws} draws a row"
        return Would(words, {"model": at.name, "data": source, "num_samples": draws})

    def _plain(self, at: At, data: "Dataset", positions: "np.ndarray", found: "Summary") -> tuple[str, ...]:
        """What the numbers come to."""
        from latens.commands._result_lines import result_lines

        lines = result_lines(at.trained, data, positions, found, cells=True)
        if at.run is not None and at.knows(data):
            lines.append(f"Next: latens report {shlex.quote(at.name)}")
        return tuple(line for line in lines if line)

    def _source(self, data: "Dataset", split: str, rows: int) -> dict[str, Any]:
        return {"name": data.name, "split": split, "rows": rows, "fingerprint": data.fingerprint}

    def _value(self, at: At, source: dict[str, Any], found: "Summary") -> dict[str, Any]:
        config, parameters = at.trained.config, at.trained.num_parameters
        recipe = None if config is None else config.recipe
        return {
            "metrics": found.to_json(),
            "data": {**source, "held_out": found.held_out},
            "model": {"name": at.name, "recipe": recipe, "parameters": parameters},
            "warnings": found.warnings_json(),
            "units": list(found.units),
        }


def _report_file(at: At, data: "Dataset") -> Path | None:
    """Where the metrics are kept: in the run, of its own data; a ResourceError comes before any work."""
    if at.run is None or not at.knows(data):
        return None
    if not os.access(at.run.path, os.W_OK):
        fix = "Change the permissions, or copy the run; without --all nothing is written."
        raise ResourceError("permission denied.", where=str(at.run.path), fix=fix)
    return at.run.path / "report.json"
