"""`latens demo`: the whole of latens on the built-in digits, in under a minute."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from latens.cli.context import Context
from latens.cli.fit import fit_into, new_experiment, settings_of
from latens.cli.training import after, would_fit
from latens.io.file_limits import free_name
from latens.runs.folder import RunFolder


def demo(context: Context) -> int:
    """Train on the digits, measure, compare with independent pixels, and draw the pictures."""
    args = context.args
    args.data, args.label, args.id, args.missing = "digits", None, None, None
    folder = Path(args.out or free_name("runs/demo", ""))
    if args.dry_run:
        return would_fit(context, folder, new_experiment(context, settings_of(args)))
    context.say("This demo trains a model on 1,797 handwritten digits of 8 x 8 pixels, in about a minute.")
    experiment = fit_into(context, folder)
    from latens.model_figures.draw import FIRST, draw_pictures, save_pictures
    from latens.trained.trained_model import TrainedModel

    run = RunFolder.open(folder, lock=False)
    history = [record for record in run.read_metrics() if record.get("event") == "epoch"]
    (folder / "figures").mkdir(exist_ok=True)
    trained = TrainedModel.load(run.model_file)
    drawn = draw_pictures(trained, experiment.data, history, only=FIRST)
    written = save_pictures(drawn, folder / "figures")
    names = ("metrics", "split", "held_out", "warnings", "step")
    value = {"run": str(folder), "model": str(run.model_file), "figures": [str(path) for path in written]}
    context.done(value | {name: run.info.get(name) for name in names}, said(run, written))
    return 0


LEADS = ("samples", "reconstructions")
"""The pictures that a newcomer looks at first."""


def said(run: RunFolder, written: Sequence[Path]) -> str:
    """What the model learned, what to see in each picture, and what to type next, without a word of the trade."""
    from latens.model_figures.draw import PICTURES

    pictures = sorted((path for path in written if path.suffix == ".png"), key=lambda path: path.stem not in LEADS)
    lines = [*after(run)[:-1], "", "Pictures:"]
    for path in pictures:
        lines += [f"  {path}", f"      {PICTURES[path.stem].sees}"]
    here = shlex.quote(str(run.path))
    lines += ["", "Next:"]
    lines += [
        f"  {command:<{len(here) + 16}}  {what}"
        for command, what in (
            (f"latens explore {here}", "drag a point to change the digit"),
            (f"latens report {here}", "an HTML report"),
            (f"latens evaluate {here}", "all metrics with their errors"),
        )
    ]
    return "\n".join(lines)
