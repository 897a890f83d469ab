"""`latens demo`: the whole of latens on the built-in digits, in under a minute."""

from pathlib import Path

from latens.cli.context import Context
from latens.cli.fit import fit, fit_into
from latens.cli.training import told
from latens.runs.folder import RunFolder
from latens.verbs.kernel import free_name


def demo(context: Context) -> int:
    """Train on the digits, measure, compare with independent pixels, and draw the pictures."""
    args = context.args
    args.data, args.label, args.id, args.missing = "digits", None, None, None
    if args.dry_run:
        args.out = args.out or free_name("runs/demo", "")
        return fit(context)
    folder = Path(args.out or free_name("runs/demo", ""))
    context.say(f"latens demo: 1797 handwritten digits of 8 x 8 pixels, recipe {args.recipe!r}, into {folder}")
    experiment = fit_into(context, folder)
    from latens.pictures.draw import FIRST, write_pictures
    from latens.workflow.trained import TrainedModel

    run = RunFolder.open(folder, lock=False)
    history = [record for record in run.read_metrics() if record.get("event") == "epoch"]
    (folder / "figures").mkdir(exist_ok=True)
    trained = TrainedModel.load(run.model_file)
    written = write_pictures(trained, experiment.data, history, folder / "figures", only=FIRST)
    pictures = [str(path) for path in written if path.suffix == ".png"]
    context.say("pictures worth looking at:\n" + "\n".join(f"  {path}" for path in pictures))
    names = ("metrics", "split", "held_out", "warnings", "step")
    value = {"run": str(folder), "model": str(run.model_file), "figures": [str(path) for path in written]}
    context.done(value | {name: run.info.get(name) for name in names}, told(run))
    return 0
