"""`latens evaluate`: held-out numbers with their standard errors, units and protocol; with `--all` every one."""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from latens.cli.context import Context
from latens.cli.evaluate_parts import evaluate_parts
from latens.cli.verb import load_for
from latens.data import Dataset
from latens.data.streams.dataset import StreamDataset
from latens.errors import ResourceError
from latens.io.atomic import write_atomic
from latens.io.json import plain, to_json
from latens.io.terminal import table
from latens.text import visible
from latens.verbs._measured import held_out_rows, summary_of
from latens.verbs._sources import open_model
from latens.verbs.kernel import At
from latens.workflow.columns import column_nats, has_columns
from latens.workflow.measurement import NUM_SAMPLES

MOST_COLUMNS = 40
"""Columns that are printed; --json has all."""


def evaluate(context: Context) -> int:
    """Measure a model on its own held-out rows, or on every row of other data; `--all` also writes RUN/report.json."""
    args = context.args
    if args.workers is not None:
        return evaluate_parts(context)
    opened = open_model(args.run)
    data = load_for(opened, context)
    split, positions = held_out_rows(data) if opened.knows(data) else ("all", np.arange(len(data)))
    draws = args.num_samples or NUM_SAMPLES
    source = {"name": data.name, "split": split, "rows": len(positions), "fingerprint": data.fingerprint}
    if args.dry_run:
        text = f"would measure {args.run} on {len(positions)} rows of {data.name} ({split}) with {draws} draws a row"
        context.say(text)
        context.result({"dry_run": True, "model": args.run, "data": source, "num_samples": draws})
        return 0
    if isinstance(data, StreamDataset):
        context.say(f"{data.name}: {data.described()}")
        source["of"] = data.total if split == "all" else data.count(split)
    file = _report_file(opened, data) if args.all else None
    if args.all:
        context.say(f"measuring everything on {len(positions)} rows of {data.name} ({split})")
    began = time.perf_counter()
    found = summary_of(
        opened.trained, data, split, positions, num_samples=args.num_samples, seed=args.seed, everything=args.all
    )
    config = opened.trained.config
    model = {
        "name": args.run,
        "recipe": None if config is None else config.recipe,
        "parameters": opened.trained.num_parameters,
    }
    value = {
        "metrics": found.to_json(),
        "data": {**source, "held_out": found.held_out},
        "model": model,
        "warnings": found.warnings_json(),
        "units": list(found.units),
    }
    text = f"{args.run} on {data.name}\n{found.text()}"
    if has_columns(opened.trained):
        value["columns"] = column_nats(opened.trained, data, positions, seed=args.seed)
        text += f"\n{_by_column(value['columns'])}"
    if args.all:
        value |= {"left_out": found.left_out, "seconds": time.perf_counter() - began}
        text += f"\nevery number\n{found.table_text()}"
    if file is not None:
        write_atomic(file, to_json(plain(value, nonfinite=lambda number: None), indent=2) + b"\n")
    context.result(value, text)
    if found.left_out:
        context.say(found.left_out_text())
    if file is not None:
        context.say(f"{file}: these numbers, with how each was made")
    if found.warnings:
        context.say(found.warnings_text())
    return 0


def _by_column(columns: list[dict[str, Any]]) -> str:
    """What each column adds to log p(x), a line each: most nats first, the latents last."""
    *own, latents = columns
    rows = [("nats by column", "", "alone")]
    for one in [*sorted(own, key=lambda one: one["nats"])[:MOST_COLUMNS], latents]:
        alone = "" if one is latents else f"{one['independent']:.2f}"
        rows.append((visible(one["name"]), f"{one['nats']:.2f} ± {one['standard_error']:.2f}", alone))
    more = f"\n  and {len(own) - MOST_COLUMNS} more columns" if len(own) > MOST_COLUMNS else ""
    return table(rows, indent="  ") + more


def _report_file(opened: At, data: Dataset) -> Path | None:
    """Where the metrics are kept: in the run, of its own data; a ResourceError comes before any work."""
    if opened.run is None or not opened.knows(data):
        return None
    if not os.access(opened.run.path, os.W_OK):
        fix = "Change the permissions, or copy the run; without --all nothing is written."
        raise ResourceError("permission denied.", where=str(opened.run.path), fix=fix)
    return opened.run.path / "report.json"
