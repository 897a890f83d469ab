"""`latens evaluate`: held-out numbers with their standard errors, units and protocol."""

import numpy as np

from latens.commands.context import Context
from latens.commands.report import held_out_rows, report
from latens.commands.sources import load_for, open_model


def evaluate(context: Context) -> int:
    """Measure a model on its own held-out rows, or on every row of other data."""
    args = context.args
    opened = open_model(args.run)
    data = load_for(opened, context)
    split, positions = held_out_rows(data) if opened.knows(data) else ("all", np.arange(len(data)))
    draws = args.num_samples or 1000
    source = {"name": data.name, "split": split, "rows": len(positions), "fingerprint": data.fingerprint}
    if args.dry_run:
        text = f"would measure {args.run} on {len(positions)} rows of {data.name} ({split}) with {draws} draws a row"
        context.say(text)
        context.result({"dry_run": True, "model": args.run, "data": source, "num_samples": draws})
        return 0
    found = report(opened.trained, data, split, positions, num_samples=draws, seed=args.seed)
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
    context.result(value, f"{args.run} on {data.name}\n{found.text()}")
    if found.warnings:
        context.say(found.warnings_text())
    return 0
