"""`latens evaluate --workers N`: every row of the split, also of rows that stay on disk, in parts that add up."""

import json
import os
import tempfile
from pathlib import Path

import numpy as np

from latens.cli.context import Context
from latens.cli.parts import INDEX
from latens.cli.verb import load_for
from latens.cli.workers import FOLDER, begin_launcher, begin_worker, launch_workers, own_parts
from latens.data import Dataset
from latens.data.parts import Parts
from latens.data.rows import SPLITS, split_code
from latens.data.streams.dataset import StreamDataset
from latens.errors import UsageError
from latens.evaluation import diagnose
from latens.io.atomic import write_atomic
from latens.io.json import to_json
from latens.io.workers import Worker, worker_of
from latens.verbs._measured import Summary, beware
from latens.verbs._sources import open_model
from latens.workflow.measurement import NUM_SAMPLES, density_of
from latens.workflow.sums import combined, part_sums, refuse_sums
from latens.workflow.trained import TrainedModel


def evaluate_parts(context: Context) -> int:
    """Measure what is a mean over rows, on all rows of the split, by several workers."""
    args = context.args
    worker = worker_of(None, None, os.environ) if FOLDER in os.environ else None
    begin_launcher() if worker is None else begin_worker()
    if args.all:
        what = "only means over rows are put together from parts."
        raise UsageError(what, where="--all", fix="Leave out --all, or --workers.")
    opened = open_model(args.run)
    refuse_sums(opened.trained)
    data = load_for(opened, context, index=Path(os.environ[FOLDER], INDEX) if worker is not None else None)
    split = "all"
    if opened.knows(data):
        split = next(name for name in (*reversed(SPLITS), "all") if name == "all" or data.count(name))
    if worker is not None:
        _measure(opened.trained, data, split, worker, context)
        return 0
    total = data.total if isinstance(data, StreamDataset) else len(data)
    rows = total if split == "all" else data.count(split)
    source = {"name": data.name, "split": split, "rows": rows, "fingerprint": data.fingerprint}
    if args.dry_run:
        draws = args.num_samples or NUM_SAMPLES
        text = f"would measure {args.run} on {rows} rows of {data.name} ({split}) with {draws} draws a row"
        context.say(text)
        context.result({"dry_run": True, "model": args.run, "data": source, "num_samples": draws})
        return 0
    with tempfile.TemporaryDirectory(prefix="latens-") as name:
        if isinstance(data, StreamDataset):
            data.write_index(Path(name, INDEX))
        launch_workers(context, args.workers, Path(name))
        parts = [json.loads(_file(Path(name), part).read_bytes()) for part in range(len(Parts(data)))]
    metrics = combined([part for part in parts if part], args.seed)
    held_out, warnings = beware(split, data, grey="cross_entropy_bound" in metrics, config=opened.trained.config)
    warnings += [(finding.name, finding.message) for finding in diagnose(metrics)]
    cells = "column" if data.schema.columns is not None else "pixel"
    found = Summary(metrics, split, held_out, tuple(warnings), (), cells, of=density_of(opened.trained))
    config = opened.trained.config
    value = {
        "metrics": found.to_json(),
        "data": {**source, "held_out": held_out},
        "model": {
            "name": args.run,
            "recipe": None if config is None else config.recipe,
            "parameters": opened.trained.num_parameters,
        },
        "warnings": found.warnings_json(),
        "units": [],
    }
    context.result(value, f"{args.run} on {data.name}\n{found.text()}")
    if found.warnings:
        context.say(found.warnings_text())
    return 0


def _file(folder: Path, part: int) -> Path:
    return folder / f"part-{part:06d}.json"


def _measure(trained: TrainedModel, data: Dataset, split: str, worker: Worker, context: Context) -> None:
    """The sums of a worker's parts, a file each."""
    parts, args = Parts(data), context.args
    if split == "all":
        codes = tuple(range(len(SPLITS)))
    else:
        code = split_code(split)
        codes = data.trains if isinstance(data, StreamDataset) and code in data.trains else (code,)
    for part in own_parts(worker, len(parts)):
        found, positions = parts.part(part)
        chosen = positions[np.isin(found.split[positions], codes)]
        options = {"num_samples": args.num_samples, "seed": args.seed}
        sums = part_sums(trained, found, chosen, **options) if len(chosen) else {}
        write_atomic(_file(Path(os.environ[FOLDER]), part), to_json(sums))
