"""`latens refit`: a trained model with another prior, beside the old one."""

import shlex
from pathlib import Path
from typing import Any

from latens.cli.context import Context, output_path
from latens.cli.sources import Opened, load_for, open_model
from latens.config import to_json
from latens.data import Dataset
from latens.errors import DataError
from latens.evaluation import Estimate
from latens.runs.folder import RunFolder
from latens.verbs._measured import held_out_rows, summary_of
from latens.verbs._sources import source_of
from latens.workflow.refit import Refitted, refit_prior

_OPTIONS = ("components", "layers", "width", "together", "latent_dim")


def refit(context: Context) -> int:
    """Fit a new prior to the aggregated posterior of the training rows; encoder and decoder stay as they are."""
    args = context.args
    opened = open_model(args.run)
    data = load_for(opened, context)
    if not opened.knows(data):
        raise DataError(
            "these are not the data that the model was trained on.",
            where=args.data or args.run,
            fix="Give those data: a prior is fitted to the posteriors of training rows.",
        )
    out = _target(context, opened)
    rows = len(data.subset("train"))
    if args.dry_run:
        what = f"fit a {args.prior} prior to the posteriors of {rows} rows"
        context.say(f"would {what}, into {out}; nothing was written")
        context.result({"dry_run": True, "out": str(out), "prior": args.prior, "rows": rows})
        return 0
    options = {name: getattr(args, name) for name in _OPTIONS if getattr(args, name) is not None}
    draws = args.num_samples or 100
    given = {"options": options, "steps": args.steps, "num_samples": draws, "seed": args.seed}
    found = refit_prior(opened.trained, data, args.prior, **given)
    value: dict[str, Any] = {"out": str(out), "prior": args.prior, "rows": rows}
    value["gain"] = None if found.gain is None else found.gain.to_json()
    if out.suffix.lower() == ".safetensors":
        found.trained.save(out)
        model, following = out, f"latens sample {shlex.quote(str(out))}"
    else:
        model = _into_run(context, opened, data, found, out, draws)
        following = f"latens figures {shlex.quote(str(out))}"
    value |= {"model": str(model), "next": following}
    context.done(value, f"{out}: {rows} training rows, a {args.prior} prior{_gained(found.gain)}\nnext: {following}")
    return 0


def _gained(gain: Estimate | None) -> str:
    if gain is None:
        return "; an autoencoder has no log p(x), but now it can be sampled"
    what = gain.protocol.split(" with the refitted prior")[0]
    return f"; {what} of {gain.n} {_rows(gain)} rows changed by {gain.value:+.2f} ± {gain.standard_error:.2f} nats"


def _rows(gain: Estimate) -> str:
    return next((split for split in ("test", "validation") if f"{split} rows" in gain.protocol), "training")


def _target(context: Context, opened: Opened) -> Path:
    """Where the new model goes: `--out`, else beside the old one under a name that is free."""
    args = context.args
    if args.out:
        path = Path(args.out)
        return output_path(args, (".safetensors",), args.run) if path.suffix.lower() == ".safetensors" else path
    if opened.run is not None:
        path = opened.run.path if opened.run.path.name.strip(".") else opened.run.path.resolve()
        stem, ending = path.with_name(f"{path.name}-{args.prior}"), ""
    else:
        name = Path(args.run.removeprefix("pretrained:"))
        stem, ending = name.with_name(f"{name.stem}-{args.prior}"), ".safetensors"
    path, number = Path(f"{stem}{ending}"), 2
    while path.exists():
        path, number = Path(f"{stem}-{number}{ending}"), number + 1
    return path


def _into_run(context: Context, opened: Opened, data: Dataset, found: Refitted, out: Path, draws: int) -> Path:
    """The model as a run of its own, measured like one that was trained."""
    trained, config = found.trained, found.trained.config
    assert config is not None
    if opened.run is not None:
        source = opened.run.info["data"]
    else:
        source = {**source_of(vars(context.args)), "spec": context.args.data or data.name}
        source |= {"fingerprint": data.fingerprint, "name": data.name, "shape": list(data.schema.shape)}
    command = ["latens", *context.argv]
    with RunFolder.create(out, command, to_json(config), source, context.args.seed, force=context.args.force) as run:
        trained.save(run.model_file)
        split, positions = held_out_rows(data)
        measured = summary_of(trained, data, split, positions, num_samples=draws, seed=context.args.seed)
        facts = {"split": split, "held_out": measured.held_out}
        trained.with_facts(metrics=measured.to_json(seconds=False), **facts).save(run.model_file)
        run.set_state(
            "done",
            step=trained.facts.get("steps") or 0,
            best_step=trained.facts.get("best_step") or 0,
            stopped_because=f"a {context.args.prior} prior was fitted to {opened.name}",
            refitted={"from": opened.name, "prior": context.args.prior},
            gain=None if found.gain is None else found.gain.to_json(),
            metrics=measured.to_json(),
            warnings=measured.warnings_json(),
            units=list(measured.units),
            summary=measured.text(),
            **facts,
        )
    return run.model_file
