"""A training in a run folder, for the commands that start or continue one, and what `latens fit` prints."""

import contextlib
import json
import logging
import os
import re
import shlex
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from latens import __version__
from latens.callbacks.snapshots import snapshots_of
from latens.cli.context import Context
from latens.commands._sources import flags_of, read_with
from latens.commands.evaluate import next_of, result_lines
from latens.errors import LatensError, duration, visible
from latens.kinds import kind_of
from latens.runs.folder import RunFolder
from latens.runtime.terminal import clock, doing

if TYPE_CHECKING:  # jax is imported only after run.json is on disk
    from latens.fitting import Experiment

MOST_WARNINGS = 3
"""Warnings that are printed; the others stand in the log."""
MOST_NAMED = 3
"""Columns without a part in the model that are named."""


def line(title: str, text: str) -> str:
    """A line of what is printed."""
    return f"{title:<8} {text}"


def before(experiment: "Experiment") -> list[str]:
    """The data and the model, a line each."""
    data, schema = experiment.data, experiment.data.schema
    counts = ", ".join(f"{data.count(name):,} {words}" for name, words in
                       (("train", "to train"), ("validation", "to validate"), ("test", "to test")))  # fmt: skip
    row = " x ".join(map(str, schema.shape)) + kind_of(schema).unit
    some = "1 note" if len(data.notes) == 1 else f"{len(data.notes)} notes"
    ignored = schema.ignored or ()
    left = f"; not modelled: {', '.join(ignored[:MOST_NAMED])}{' ...' * (len(ignored) > MOST_NAMED)}" * bool(ignored)
    notes = left + (f"; {some} in log.txt" if data.notes else "")
    return [
        line("data", visible(f"{data.name}: {len(data):,} rows of {row} ({counts}){notes}")),
        line("model", _model(experiment)),
    ]


def _model(experiment: "Experiment") -> str:
    config: Any = experiment.config
    if not hasattr(config, "posterior"):
        return f"{config.recipe}, fitted in closed form"
    hidden = " x ".join(map(str, config.network.hidden or ()))
    parts = [config.recipe, f"{config.likelihood.family} likelihood", f"{config.posterior.latent_dim} latent units"]
    parts += [f"{config.network.kind} network {hidden}".rstrip(), f"{config.prior.kind} prior"]
    return ", ".join(part for part in parts if "None" not in part)


def after(run: RunFolder) -> list[str]:
    """What is printed of a run that is done, from what its run.json says."""
    info, here = run.info, shlex.quote(str(run.path))
    seconds, whole, steps = info.get("training_seconds"), info.get("command_seconds"), info.get("step") or 0
    of = "in all" if (whole or seconds or 0.0) >= (seconds or 0.0) else "of this command"  # which resumed the training
    took = "" if seconds is None else f"{duration(seconds)}, {duration(whole or seconds)} {of}"
    best = f", best step {info['best_step']:,}" if info.get("best_step") not in (None, steps) else ""
    prior = "; prior: a mixture of Gaussians fitted to the codes" if (info.get("refit") or {}).get("kept") else ""
    lines = [line("trained", (f"{steps:,} steps{best}, {took}" if steps else took) + prior)] if took else []
    lines += [line("" if k else "result", text) for k, text in enumerate(info.get("plain") or [])]
    if info.get("late"):
        lines.append(line("late", info["late"]))
    warnings = info.get("warnings") or []
    lines += [line("warning", one["message"]) for one in warnings[:MOST_WARNINGS]]
    if len(warnings) > MOST_WARNINGS:
        lines.append(line("", f"{len(warnings) - MOST_WARNINGS} more warnings: latens evaluate {here}"))
    following = (info.get("next") or f"latens report {here}").split("\n")
    return lines + [line("" if k else "next", text) for k, text in enumerate(following)]


if TYPE_CHECKING:  # jax is imported only after run.json is on disk
    from latens.config import Config
    from latens.fitting import Experiment
    from latens.trained.trained_model import TrainedModel
    from latens.training import Event, Interrupted, LoopState
else:
    Config = Experiment = Any

log = logging.getLogger("latens.command")

DECODINGS = 6.0
"""Decodings that a row of a training step takes as long as."""

WORK = 2.0
"""How many times its decodings what follows training takes: measured on digits, a table of 15 columns, and names."""

MEASURING_SHARE = 0.25
"""The share of the minutes that is kept for what follows training: the prior, log p(x), and old rows beside new."""

LATE = 1.2
"""How many times its minutes a command takes that says so."""

TRAINING = 0.3
"""The share of the minutes that training has at least, however long reading and compiling took."""

COMPILING = 12.0
"""Seconds for the programs of measuring.

Photographs of 64 x 64, 270 rows a second in training: 140 rows by 100 draws are 17 s, and took 24 s with compiling.
"""

DRAWS, FEWEST_ROWS = (1000, 300, 100, 30, 10), 40
"""Draws a row, of which the most that fit are taken, and the rows that are measured at least."""


class TimePlan:
    """What a command may take, and from when on."""

    before = 0.0  # seconds of training by earlier commands

    def __init__(self, minutes: float | None, began: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = None if minutes is None else 60.0 * minutes
        self.began, self.clock = began, clock

    def __call__(self, event: Any) -> str | None:
        """End training, as a callback of it, when what is left is for measuring."""
        if self.seconds is None or event.kind != "boundary" or event.snapshot.loop.finished:
            return None
        late = self.clock() - self.began >= (1.0 - MEASURING_SHARE) * self.seconds
        enough = event.snapshot.loop.seconds - self.before >= TRAINING * self.seconds
        return "minutes" if late and enough else None

    def late(self, training: float) -> str:
        """Say that the command took longer than its minutes, and what helps; empty where it did not."""
        took = self.clock() - self.began
        if self.seconds is None or took < LATE * self.seconds:
            return ""
        rest = f"reading, compiling and measuring took {clock(took - training + self.before)}"
        return f"{clock(took)}, not {clock(self.seconds)}: {rest}; give more --minutes"

    def effort(self, rows: int, usual: int, pace: float) -> tuple[int, int, str]:
        """Rows and draws of each that can be measured in the time that is left, and words where these are fewer."""
        # usual: draws without a limit; pace: rows a second in training.
        if self.seconds is None or not rows or pace <= 0.0:
            return rows, usual, ""
        left = self.seconds - (self.clock() - self.began) - COMPILING
        # Half of the time is for the comparison with training rows and for what no draws are taken of.
        most = 0.5 * max(left, 0.0) * DECODINGS * pace / WORK
        fitting = [count for count in DRAWS if count <= usual and count * rows <= most]
        draws = max(fitting, default=min(usual, DRAWS[-1]))
        few = min(rows, max(FEWEST_ROWS, int(most / draws)))
        if (few, draws) == (rows, usual):
            return rows, usual, ""
        said = f"measured on {few:,} of {rows:,} rows" if few < rows else f"measured on {rows:,} rows"
        return few, draws, f"{said} by {draws} draws each, because of --minutes; `latens evaluate` uses more"


AFTER_REFIT = 100
"""Draws a row at the end of a run whose prior was fitted after its training: a density of flow matching is slow."""

_SIGNAL = "signal "

MEASURING = (0.75, 1.0)
"""The part of a command that measuring is, as its line on the terminal has it."""

REMEMBERED = ("num_samples", "log", "start", "then")
"""What a resume does as the first command said, unless told otherwise."""


def train_run(context: Context, run: RunFolder, experiment: Experiment, *, resume: bool) -> None:
    """Train, measure and save the model of a run."""
    from latens.callbacks.progress import PlainProgress, TerminalProgress
    from latens.config import to_json
    from latens.fitting import train
    from latens.training import Interrupted

    run.set_config(to_json(experiment.config))
    run.set_state("running", data=run.info["data"] | about(experiment), seed=experiment.config.training.seed)
    for reason in (*experiment.data.notes, *experiment.reasons):
        log.info(reason)
        context.detail(f"  {reason}")
    for line in before(experiment):
        context.say(line)
    minutes = getattr(experiment.config.training, "minutes", None)
    own = context.args.minutes if resume else minutes  # a resume without minutes of its own has no plan
    plan = TimePlan(own, context.began)
    plan.before = 60.0 * (minutes - own) if minutes and own else 0.0
    callbacks: list[Any] = [*context.callbacks, _stop(context), plan]
    if not context.quiet:
        every = getattr(experiment.config.training, "log_every", None)
        callbacks.append(TerminalProgress(every, minutes) if context.terminal else PlainProgress(every))
    with contextlib.ExitStack() as stack:
        callbacks += _watchers(context, run, experiment, stack)
        stack.enter_context(context.signals.deferred())
        stack.enter_context(warnings.catch_warnings())
        warnings.showwarning = lambda message, *_: (context.warn(str(message)), log.warning("%s", message))
        try:
            trained, result = train(experiment, run=run, callbacks=callbacks, resume=resume)
        except Interrupted as interruption:
            step = interruption.snapshot.loop.total
            run.set_state("stopped", step=step)
            context.stopped = f" after step {step}; a checkpoint is written"
            _stopped(context, interruption)
    context.signals.check()
    _finish(context, run, experiment, trained, result.snapshot.loop, plan)


def joined(context: Context) -> bool:
    """Meet the other processes of a training, where there are any; True in those that follow process 0."""
    args = context.args
    given = (args.coordinator, args.num_processes, args.process_id)
    if not args.distributed and given == (None, None, None):
        return False
    from latens.training import shards

    shards.join(*given)
    if hasattr(args, "set") and not any(text.partition("=")[0].strip() == "training.shards" for text in args.set):
        args.set.append(f"training.shards={shards.shards()}")
    if shards.leads():
        return False
    args.quiet, args.json, args.log = True, False, None
    return True


def follow(context: Context, experiment: Experiment, run: RunFolder | None = None) -> int:
    """Train as one of several processes that is not the first: nothing is written or said."""
    from latens.fitting import train
    from latens.training import Interrupted

    with context.signals.deferred():
        try:
            train(experiment, run=run, callbacks=[_stop(context)], resume=run is not None)
        except Interrupted as interruption:
            _stopped(context, interruption)
    context.signals.check()
    return 0


def _stop(context: Context) -> Callable[[Any], str | None]:
    """The callback that asks for a pause once a signal came."""
    from latens.training import Pause

    def stop(event: "Event") -> str | None:
        received = context.signals.received
        return Pause(f"{_SIGNAL}{received}") if received is not None and event.kind == "boundary" else None

    return stop


def _stopped(context: Context, interruption: "Interrupted") -> NoReturn:
    """End as a signal asks for, also where it reached another process."""
    if interruption.reason.startswith(_SIGNAL):
        context.signals.received = context.signals.received or int(interruption.reason.removeprefix(_SIGNAL))
    context.signals.check()
    raise interruption


def _watchers(context: Context, run: RunFolder, experiment: Experiment, stack: contextlib.ExitStack) -> list[Any]:
    """Pictures and event files, where they were asked for; matplotlib is imported only then."""
    watchers: list[Any] = [*snapshots_of(run, experiment)]
    every = getattr(experiment.config.training, "plots_every", None)
    if every is not None:
        from latens.callbacks.plots import PlotsCallback

        seed, folder = experiment.config.training.seed, run.path / "samples"
        watchers.append(PlotsCallback(folder, experiment.data, every, seed, preparation=experiment.preparation))
    if context.args.log == "tensorboard":
        from latens.callbacks.tensorboard import TensorBoard

        watchers.append(stack.enter_context(TensorBoard(run.path / "tensorboard", experiment)))
    return watchers


def _finish(
    context: Context, run: RunFolder, experiment: Experiment, trained: "TrainedModel", loop: "LoopState", plan: TimePlan
) -> None:
    """Save the model, measure it, and note in the run what came out."""
    from latens.data.row_fields import MEASURED, every_nth
    from latens.kinds.tables.table_files import written_of
    from latens.recipes import as_trained
    from latens.recipes.pictures import few_pictures
    from latens.trained.metric_functions import held_out_rows, summary_of
    from latens.trained.prior_refit import refit_prior, refit_text, then_text

    began, source = refit_text(trained), run.info["data"]
    if began:
        log.info(began)
        context.detail(f"  {began}")
    trained = trained.with_facts(read_with=read_with(source), made=made(run.info, experiment.config))
    if written := written_of(source.get("spec"), source):
        trained = trained.with_facts(dialect=written.known())
    # The model first: whatever goes wrong in measuring it, it is not lost.
    trained.save(run.model_file)
    data, then = as_trained(trained.config, experiment.data), context.args.then
    if then is not None:
        doing(f"fitting a {then} prior to the latents")
        seed = experiment.config.training.seed
        refitted = refit_prior(trained, data, then, num_samples=AFTER_REFIT // 5, seed=seed)
        trained, began = refitted.trained, then_text(refitted, then)
        log.info(began)
    split, held_out = held_out_rows(data)
    positions = every_nth(held_out, MEASURED)
    seen = loop.total * experiment.settings.batch_size
    pace = seen / loop.seconds if loop.seconds else 0.0
    # A row of a step costs about six decodings: 1,000 draws take at most half as long as the training did.
    usual = AFTER_REFIT if then is not None else 1000 if 1000 * len(positions) <= 3 * seen else 100
    draws = context.args.num_samples
    if draws is None:
        most, draws, words = plan.effort(len(positions), usual, pace)
        positions = every_nth(positions, most)
        log.info("%s", words or f"{draws} draws a row")
    doing("measuring", part=MEASURING)
    found = summary_of(trained, data, split, positions, num_samples=draws)
    warnings = found.warnings_json()
    if loop.skipped:
        message = f"{loop.skipped} steps were not finite and left out; a smaller --set optimizer.learning_rate helps"
        warnings.append({"name": "skipped-steps", "message": message})
    if few := few_pictures(data):
        warnings.append({"name": "few-pictures", "message": few})
    for warning in warnings:
        log.warning("%s: %s", warning["name"], warning["message"])
    trained = trained.with_facts(metrics=found.to_json(seconds=False), split=split, held_out=found.held_out)
    trained.save(run.model_file)
    lines = result_lines(trained, data, held_out, found, cells=plan.seconds is None)
    lines += [began] if then is not None else []
    seconds, text = plan.clock() - plan.began, "\n".join(filter(None, (found.text(), began, found.warnings_text())))
    run.set_state(
        "done", step=loop.total, best_step=trained.facts.get("best_step", loop.best_step),
        again=trained.facts.get("again"), stopped_because=loop.stopped_because, training_seconds=loop.seconds,
        command_seconds=seconds, refit=trained.facts.get("refit"),
        metrics=found.to_json(), split=split, held_out=found.held_out, warnings=warnings, units=list(found.units),
        summary=text, plain=lines, next=next_of(trained, str(run.path), context.args.minutes),
        late=plan.late(loop.seconds),
    )  # fmt: skip


def close(context: Context, run: RunFolder) -> None:
    """Write the last lines of a run: what came out, its warnings, and what to type next."""
    info = run.info
    names = ("metrics", "split", "held_out", "warnings", "units", "step", "best_step", "stopped_because")
    fields = {name: info.get(name) for name in names}
    fields["next"] = f"latens report {shlex.quote(str(run.path))}"
    context.done(
        {"run": str(run.path), "state": info["state"], "model": str(run.model_file), **fields}, "\n".join(after(run))
    )
    context.detail("\n".join([steps_text(run), info.get("summary", "")]))


_ENDS = {
    "budget": "the limit of steps or epochs was reached",
    "minutes": "the time limit was reached",
    "no gain on validation": "the validation ELBO stopped improving (early stopping)",
}


def steps_text(run: RunFolder) -> str:
    """Say where a run is that is done, and how long it trained."""
    best, steps = run.info.get("best_step"), run.info.get("step", 0)
    if not steps:
        return f"{run.path}: fitted in closed form"
    because = _ENDS.get(run.info["stopped_because"], run.info["stopped_because"])
    last = not best or run.config.get("training", {}).get("keep") == "last"
    if run.info.get("again"):
        return f"{run.path}: {steps} steps, the last {run.info['again']} of them on all rows; the last step is used"
    kept = "the last step is used" if last else f"step {best}, the best on validation rows, is used"
    return f"{run.path}: {steps} steps, ended because {because}; {kept}"


@contextlib.contextmanager
def logged(context: Context, run: RunFolder) -> Iterator[None]:
    """Write whatever goes wrong inside to the run's log with its traceback."""
    context.log = run.path / "log.txt"
    log.info("latens %s", shlex.join(context.argv))
    if run.notice:
        log.warning(run.notice)
    try:
        yield
    except Exception:
        if context.log.parent.exists():
            log.exception("the run ended with an error")
        raise
    finally:
        with contextlib.suppress(LatensError):
            context.log = run.path / "log.txt"  # the folder may have been moved


def about(experiment: Experiment) -> dict[str, Any]:
    """Describe data as run.json does."""
    data = experiment.data
    splits = {name: data.count(name) for name in ("train", "validation", "test")}
    return {"name": data.name, "rows": splits, "shape": list(data.schema.shape), "fingerprint": data.fingerprint}


def would_fit(context: Context, folder: Path, experiment: Experiment) -> int:
    """Say what a training would be, after everything that can be checked without it was."""
    from latens import config as configuration
    from latens.runtime.atomic import to_json

    experiment.stages()  # an optimiser or objective that does not exist is found here
    config = configuration.to_json(experiment.config)
    context.say("\n".join([f"would train into {folder}; nothing was written", *(f"  {r}" for r in experiment.reasons)]))
    value = {"dry_run": True, "run": str(folder), "config": config, "reasons": list(experiment.reasons)}
    context.result({**value, "data": about(experiment)}, to_json(config, indent=2).decode("ascii"))
    return 0


def would_resume(context: Context, run: RunFolder) -> int:
    """Say where a run would go on."""
    from latens.training.checkpoint import latest_checkpoint

    found = latest_checkpoint(run.checkpoints)
    step = 0 if found is None else found.step
    context.say(f"would continue {run.path} from step {step}; nothing was changed")
    context.result({"dry_run": True, "run": str(run.path), "state": run.info["state"], "step": step})
    return 0


def made(info: Mapping[str, Any], config: Config) -> dict[str, str]:
    """The version, the day (of SOURCE_DATE_EPOCH, where it is set) and a command that makes the model again."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    day = time.strftime("%Y-%m-%d", time.gmtime(int(epoch))) if epoch.isdecimal() else str(info["created"])[:10]
    then = info.get("options", {}).get("then")
    command = command_of(info["data"], config) + (f" --then {then}" if then else "")
    return {"latens": __version__, "date": day, "command": command}


def command_of(source: Mapping[str, Any], config: Config) -> str:
    """A command of this configuration, with every option that is not the recipe's own; DATA without its folder."""
    from latens.config import to_json
    from latens.recipes import get_recipe

    words = ["latens", "fit", re.split(r"[\\/]", str(source.get("spec", "DATA")).rstrip("\\/"))[-1]]
    for flag, value in flags_of(source).items():
        for one in value if isinstance(value, list) else [value]:
            words += [f"--{'' if one else 'no-'}{flag}"] if isinstance(one, bool) else [f"--{flag}", str(one)]
    words += ["--recipe", config.recipe]
    own, theirs = to_json(config), to_json(get_recipe(config.recipe).config)
    for part, options in own.items():
        for name, value in options.items() if isinstance(options, dict) else ():
            if value != theirs[part].get(name):
                text = "none" if value is None else json.dumps(value, separators=(",", ":"), sort_keys=True)
                text = value if isinstance(value, str) else text
                words += ["--set", f"{part}.{name}={text}"]
    return shlex.join(words)
