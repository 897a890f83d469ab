"""Any verb as a command: its fields as flags, `--dry-run`, the file, and what is said of it."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import NODEFAULT

from latens.cli.context import Context, output_path, would
from latens.cli.flags import dry_run
from latens.errors import UsageError
from latens.verbs.kernel import Arg, At, Verb, arguments_of, finished, name_of


def add_arguments(verb: type[Verb], command: argparse.ArgumentParser, reading: Callable[[Any], None]) -> None:
    """Add the flags of a verb's fields; `reading` adds those that say how DATA is read."""
    for name, kind, default, meta in arguments_of(verb):
        asked: Arg = (meta.extra or {})["arg"]
        words = meta.description or None
        if asked.flag and not asked.flag.startswith("-"):
            command.add_argument(name, metavar=asked.flag, help=words)
            continue
        flag = asked.flag or "--" + name.replace("_", "-")
        if kind is bool:
            command.add_argument(flag, dest=name, action="store_true", help=words)
            continue
        given: dict[str, Any] = {"dest": name, "help": words}
        given |= {"required": True} if default is NODEFAULT else {"default": default}
        given |= {"choices": asked.choices} if asked.choices else {"metavar": asked.metavar, "type": asked.kind}
        command.add_argument(flag, **given)
    if verb.endings:
        endings = ", ".join(one.removeprefix(".") for one in verb.endings)
        command.add_argument("--out", metavar="FILE", help=f"where the result goes: {endings}")
    else:
        command.add_argument("--out", metavar="FOLDER", help="where the files go")
    dry_run(command)
    if any(name == "data" for name, *_ in arguments_of(verb)):
        reading(command)


def run_verb(verb: type[Verb], context: Context) -> int:
    """Open the model, load, refuse, say what would be done or do it, write the file and tell of it."""
    from latens.cli.sources import open_model

    args = context.args
    taken = {name: getattr(args, name) for name, *_ in arguments_of(verb)}
    inputs = [taken[name] for name, _, _, meta in arguments_of(verb) if (meta.extra or {})["arg"].reads]
    out = output_path(args, verb.endings, *inputs) if verb.endings else output_folder(args)
    opened = open_model(taken["run"])
    if verb.needs_latents:
        from latens.workflow.inputs import refuse_classifier

        refuse_classifier(opened.trained.config, name_of(verb), taken["run"])
    work = verb(**taken)(Typed(context, opened, out))
    what = next(work)
    if args.dry_run:
        return would(context, what, out)
    made = finished(work)
    if verb.endings:
        made.write(out)
    context.done({"out": str(out), **made.value}, f"{out}: {made.text}" if verb.endings else made.text)
    return 0


def output_folder(args: argparse.Namespace) -> Path:
    """The folder that `--out` names."""
    if not args.out:
        raise UsageError("--out is missing: it says where the files go.", where="--out", fix="Add --out FOLDER.")
    return Path(args.out)


class Typed(At):
    """A verb called on the command line, whose flags say how rows are read."""

    def __init__(self, context: Context, opened: Any, out: Path) -> None:
        super().__init__(opened.trained, opened.name, out)
        self.context, self.opened, self.picture = context, opened, out.suffix.lower() == ".png"

    def load(self, *, own_classes: bool = False, every: bool = True) -> Any:
        from latens.cli.sources import read_for

        data, _, self.options = read_for(self.opened, self.context, own_classes=own_classes, every=every)
        return data

    def load_new(self) -> Any:
        from latens.cli.reading import reading_options
        from latens.cli.sources import load_new

        self.options = reading_options(vars(self.context.args))
        return load_new(self.context.args.data, self.options)
