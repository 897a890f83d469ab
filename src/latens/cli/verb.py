"""Any verb as a command: its fields as flags, `--dry-run`, the file, and what is said of it."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from msgspec import NODEFAULT

from latens.cli.context import Context
from latens.io.workers import worker_of
from latens.verbs.kernel import Arg, At, Made, Request, Verb, Work, Would, arguments_of, finished, refuse

if TYPE_CHECKING:
    from latens.data import Dataset


def add_arguments(verb: type[Request], command: argparse.ArgumentParser, reading: Callable[[Any], None]) -> None:
    """Add the flags of a verb's fields; `reading` adds those that say how DATA is read."""
    groups: dict[str, Any] = {"": command}
    for name, kind, default, meta in arguments_of(verb):
        asked: Arg = (meta.extra or {})["arg"]
        if asked.hidden:
            continue
        given: dict[str, Any] = {"help": meta.description or None}
        if asked.choices:
            given |= {"choices": asked.choices} | ({"metavar": asked.metavar} if asked.metavar else {})
        if asked.flag and not asked.flag.startswith("-"):
            given |= {"metavar": asked.metavar or asked.flag}
            if default is not NODEFAULT:
                given |= {"nargs": "*" if asked.many else "?", "default": default}
            command.add_argument(name, **given)
            continue
        group = groups.setdefault(asked.group, None) or command.add_argument_group(asked.group)
        groups[asked.group] = group
        flag, given["dest"] = asked.flag or "--" + name.replace("_", "-"), name
        if kind is bool:
            group.add_argument(flag, action="store_true", **given)
            continue
        given |= {"required": True} if default is NODEFAULT else {"default": default}
        given |= {} if asked.choices else {"metavar": asked.metavar, "type": asked.kind}
        group.add_argument(flag, action="append" if asked.many else "store", **given)
    if verb.takes_out is not None:
        metavar, words = verb.takes_out
        endings = ", ".join(one.removeprefix(".") for one in verb.endings)
        command.add_argument("--out", metavar=metavar, help=words or f"where the result goes: {endings}")
    dry_run(command)
    if any(name == "data" and not (meta.extra or {})["arg"].hidden for name, _, _, meta in arguments_of(verb)):
        reading(command)


def dry_run(command: Any, what: str = "write nothing, say what would be done") -> None:
    """Add --dry-run."""
    command.add_argument("--dry-run", action="store_true", help=what)


def run_verb(verb: type[Request], context: Context) -> int:
    """Open the model, load, refuse, say what would be done or do it, write the file and tell of it."""
    from latens.cli.workers import FOLDER, begin_launcher, begin_worker, in_parts
    from latens.verbs._sources import open_model

    args = context.args
    request = verb(**{name: getattr(args, name) for name, *_ in arguments_of(verb) if hasattr(args, name)})
    if verb.in_parts and in_parts(args, verb.endings):
        sums = verb.takes_out is None  # only this command starts workers that add up
        worker = None
        if not sums or FOLDER in os.environ:
            worker = worker_of(None if sums else args.worker, None if sums else args.workers, os.environ)
        begin_launcher() if worker is None else begin_worker()
        from latens.cli.parts import run_parts, run_sums  # they import jax, whose threads are set by now

        return (run_sums if sums else run_parts)(request, context, worker)
    at = At(cast(Any, None))
    at.asked = getattr(args, "out", None) or ""
    early = request.place(at) if verb.takes_out and verb.place is Request.place else None
    at = reading_as_typed(open_model(args.run) if issubclass(verb, Verb) else at, context)
    refuse(verb, at)
    at.write_to(early or (request.place(at) if verb.takes_out else None))
    work: Work = request(at)
    what = next(work)
    if args.dry_run:
        return would(context, what, at)
    made = finished(work)
    if verb.endings and at.writes:
        made.write(at.out)
    value = {"out": str(at.out), **made.value} if at.writes else made.value
    if verb.prints:
        return tell(context, value, made)
    context.done(value, f"{at.out}: {made.text}" if verb.endings else made.text)
    for words in made.warnings:
        context.warn(words)
    return 0


def tell(context: Context, value: dict[str, Any], made: Made) -> int:
    """Print a result, and say what is to be known of it."""
    context.result(value, made.text)
    if made.note:
        context.say(made.note)
    for words in made.warnings:
        context.warn(words)
    return 0


def reading_as_typed(at: At, context: Context) -> At:
    """Have a model read rows as the flags of a command say, and warn on stderr."""
    from latens.verbs._sources import reading_options

    at.flags = given = vars(context.args)
    at.data, at.unknown = given.get("data"), given.get("unknown", "error")
    at.typed, at.warn, at.say = context.argv, context.warn, context.say
    at.given = reading_options(given) if "data" in given else {}
    at.asked = given.get("out") or ""
    return at


def load_for(at: At, context: Context, index: Path | None = None) -> "Dataset":
    """Load the rows that DATA names, in the form that the model was trained on; without DATA, its own."""
    return reading_as_typed(at, context).load(every=False, index=index)


def would(context: Context, what: str | Would, at: At) -> int:
    """Say what a verb would do (`--dry-run`)."""
    if isinstance(what, str):
        what = Would(f"{what} into {at.out}; nothing was written", {"out": str(at.out), "would": what})
    context.say(f"would {what.text}")
    context.result({"dry_run": True, **what.value})
    return 0
