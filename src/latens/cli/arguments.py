"""What can be typed: the commands, their flags, and mistakes as errors that name the nearest valid word."""

import argparse
import difflib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from msgspec import NODEFAULT

from latens.commands.base import (
    DATA,
    RUN,
    Arg,
    Command,
    arguments_of,
    count,
    draws,
    help_of,
    number,
    table_rows,
    verbs,
    whole,
)
from latens.commands.refit import PRIORS
from latens.errors import UsageError, nearest
from latens.kinds import KINDS as READERS
from latens.kinds import OPTIONS, Kind, Table
from latens.kinds.tables import LEFT_OUT
from latens.runtime.terminal import put

_WORDS: dict[str, str] = {
    "demo": "train a first model on the built-in digits",
    "check": "describe a data set without training",
    "fit": "train a model on a table, pictures or text",
    "resume": "resume a stopped run",
    "explore": "open the latent space in the browser",
    "info": "describe a run, model, recipes or the machine",
    "sweep": "search options and seeds with Optuna",
}
"""Name -> what it does; each is a function of that name in `latens.cli.NAME`. The others are verbs."""

GROUPS = {
    "start": ("demo", "check", "fit", "resume"),
    "use a model": ("sample", "impute", "encode", "decode", "reconstruct", "detect", "translate", "forecast"),
    "look at it": ("evaluate", "report", "explore", "info"),
    "more": ("refit", "sweep"),
}
"""The commands in the order in which a person meets them; a further verb stands in the last group."""

_ORDER = [name for names in GROUPS.values() for name in names]
COMMANDS = {name: _WORDS.get(name) or help_of(verbs()[name]) for name in dict.fromkeys([*_ORDER, *verbs()])}
"""Every command and what it does."""

FEW = {
    "fit": ("label", "recipe", "set", "out", "force", "minutes", "epochs", "seed", "start", "then"),
    "demo": ("out", "minutes", "epochs", "seed"),
    "check": ("label", "column"),
    "resume": ("minutes", "epochs", "steps", "dry_run"),
    "sweep": ("label", "recipe", "set", "out", "minutes", "seed", "trials", "seeds", "sampler", "pruner"),
}
"""The flags that `--help` shows of a command; of the others all but those that many commands share."""
_SHARED = ("output", "parts of your own", *(kind.title for kind in (Kind, *READERS)))

_ENDING = """
DATA  .csv .xlsx .parquet .jsonl .txt .npy .npz .h5ad,
      a folder of pictures, or digits, wine, mnist ...
RUN   a run folder, .safetensors file or pretrained:NAME

latens check customers.csv
latens fit customers.csv --out runs/customers
latens explore runs/customers

latens COMMAND --help, --help-all; latens --version"""

COUNTS = ("--count", "--n", "--num", "--number", "--rows", "--samples")
"""What people write for `-n`."""
SNAPSHOTS = 24
"""How many models `--snapshots` keeps without a number."""

port, seeds, each = whole(1024, 65535), whole(0, 2**32 - 1), whole(1, 10_000)
batch, snapshots, processes, places = whole(1, 2**20), whole(2, 1000), whole(1, 1024), whole(0, 1023)
RANGES = {one.most: whole(1, one.most) for one in OPTIONS.values() if one.most}
positive = number(5e-324, 1.7976931348623157e308, "a number above 0")


# --- the commands ---


class _Completion(argparse.Action):
    """Print a script of shtab, which knows every option, and leave."""

    def __call__(self, _parser: argparse.ArgumentParser, _args: object, shell: Any, _flag: str | None = None) -> None:
        import shtab

        put(shtab.complete(parser(), shell))
        raise SystemExit(0)


class _HelpAll(argparse.Action):
    """Print every flag of a command, and leave."""

    def __call__(self, parser: Any, _args: object, _values: object, _flag: str | None = None) -> None:
        parser.few = None
        parser.print_help()
        raise SystemExit(0)


class _Help(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)


class Parser(argparse.ArgumentParser):
    """An argument parser whose mistakes are `UsageError`s that name the nearest valid word."""

    few: tuple[str, ...] | None = None  # names of what `--help` shows, where that is not everything

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, formatter_class=_Help, allow_abbrev=False, **options)

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print help as every result is printed: a full disk is said in words."""
        if file is not None and file is sys.stdout:
            put(message, end="")
        else:
            super()._print_message(message, file)

    def format_help(self) -> str:
        """The help; of a command with the flags that are used most."""
        hidden = [each for each in self._actions if self.few is not None and each.dest not in self.few]
        kept = [each.help for each in hidden]
        for each in hidden:
            each.help = argparse.SUPPRESS
        text = super().format_help()
        for each, words in zip(hidden, kept):
            each.help = words
        return text

    def error(self, message: str) -> NoReturn:
        """Refuse what was typed."""
        flag = re.match(r"argument ([^:]+): (.*)", message, re.DOTALL)
        where, what = (flag[1], flag[2]) if flag else ("", message)
        raise UsageError(f"{what}.", where=where or self.prog, fix=f"`{self.prog} --help` shows what is possible.")


class Top(Parser):
    """The parser of the whole line, whose help has the commands in groups."""

    def format_help(self) -> str:
        lines = ["usage: latens COMMAND ...", "", "Train and use variational autoencoders."]
        named = GROUPS | {"more": tuple(name for name in COMMANDS if name not in _ORDER[: -len(GROUPS["more"])])}
        for title, names in named.items():
            lines += ["", title, *(f"  {name:<11}  {COMMANDS[name]}" for name in names)]
        return "\n".join([*lines, _ENDING]) + "\n"


def parser(command: str | None = None) -> Parser:
    """Make the parser of the whole command line; where the command is known, others have no arguments."""
    top = Top(prog="latens")
    top.add_argument("--version", action="store_true", help="print the versions of latens, Python and JAX")
    shells = {
        "choices": ("bash", "zsh", "fish"),
        "metavar": "SHELL",
        "help": "print tab completion for bash, zsh or fish",
    }
    top.add_argument("--print-completion", action=_Completion, **shells)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands", parser_class=Parser)
    for name, summary in COMMANDS.items():
        made: Parser = commands.add_parser(name, help=summary, conflict_handler="resolve")
        made.description = f"{summary[0].upper()}{summary[1:]}."
        if command in (None, name):
            made.add_argument("--help-all", nargs=0, action=_HelpAll, help="show every flag and exit")
            _arguments(name, made)
            shared = [each for group in made._action_groups if group.title in _SHARED for each in group._group_actions]
            made.few = FEW.get(name) or tuple(each.dest for each in made._actions if each not in shared)
            made.few += ("help", "help_all", *(each.dest for each in made._actions if not each.option_strings))
    return top


def _arguments(name: str, command: argparse.ArgumentParser) -> None:
    """Add the arguments of a command."""
    _common(command)
    if name in verbs():
        return _fields(verbs()[name], command)
    if name in ("check", "fit"):
        command.add_argument("data", metavar="DATA", help=DATA)
    match name:
        case "demo":
            _training(command)
        case "check":
            _reading(command, trains=True)
        case "fit":
            _reading(command, trains=True)
            _training(command)
            _distributed(command)
        case "sweep":
            _sweeping(command)
        case "resume":
            command.add_argument("run", metavar="RUN", help="a run folder")
            command.add_argument("data", metavar="DATA", nargs="?", help="default: the data of the run")
            _dry_run(command, "print what the command would do, and change nothing")
            _budget(command.add_argument_group("the new budget"))
            _while_training(command)
            _distributed(command)
            _evaluation(command)
        case "explore":
            _exploring(command)
        case "info":
            words = "a run folder, a model file, or one of recipes, parts, machine (default: machine)"
            command.add_argument("run", metavar="RUN|WORD", nargs="?", default="machine", help=words)


def _fields(verb: type[Command], command: argparse.ArgumentParser) -> None:
    """Add the flags of a verb's fields."""
    if {"data", "like"} & {name for name, *_ in arguments_of(verb)}:
        _reading(command)  # first: a flag of the verb's own replaces one of the same name
    groups: dict[str, Any] = {"": command}
    for name, kind, default, meta in arguments_of(verb):
        asked: Arg = (meta.extra or {})["arg"]
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
        if kind == bool | None:
            group.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, **given)
            continue
        if kind is bool:
            group.add_argument(flag, action="store_true", **given)
            continue
        given |= {"required": True} if default is NODEFAULT else {"default": default}
        given |= {} if asked.choices else {"metavar": asked.metavar, "type": asked.kind}
        if asked.many and len(words := asked.metavar.split()) > 1:  # a fixed number of them
            group.add_argument(flag, **given | {"nargs": len(words), "metavar": tuple(words)})
            continue
        group.add_argument(flag, action="append" if asked.many else "store", **given)
    if verb.takes_out is not None:
        metavar, words = verb.takes_out
        endings = ", ".join(one.removeprefix(".") for one in verb.endings)
        command.add_argument("--out", metavar=metavar, help=words or f"the output file: {endings}")
    if verb.by_row or verb.by_batch:
        what = "files" if verb.by_row else "batches"
        words = f"distribute {what} over Ray workers, on this machine or on the cluster at ADDRESS"
        command.add_argument("--ray", nargs="?", const="local", metavar="ADDRESS", help=words)
    _dry_run(command)


def _dry_run(
    command: argparse._ActionsContainer, what: str = "print what the command would do, and write nothing"
) -> None:
    """Add --dry-run."""
    command.add_argument("--dry-run", action="store_true", help=what)


def _seed(command: argparse._ActionsContainer, of: str, default: int | None = 0) -> None:
    """Add --seed."""
    command.add_argument("--seed", type=seeds, default=default, metavar="S", help=f"{of} (default 0)")


def _exploring(command: argparse.ArgumentParser) -> None:
    command.add_argument("run", metavar="RUN", help=RUN)
    command.add_argument("data", metavar="DATA", nargs="?", help="default: the data of the run")
    _reading(command)
    words = "a condition for everything that the page decodes, such as batch=2; repeatable"
    command.add_argument("--given", metavar="NAME=VALUE", action="append", help=words)
    words = "write the page to one file that opens without a server"
    command.add_argument("--export", metavar="FILE.html", help=words)
    command.add_argument("--force", action="store_true", help="overwrite an earlier export")
    command.add_argument("--no-browser", action="store_true", help="print the address without opening a browser")
    command.add_argument("--port", type=port, metavar="N", help="the port of the local server (default: a free one)")
    command.add_argument(
        "--rows", type=table_rows, default=100_000, metavar="N", help="show at most N rows (default 100000)"
    )
    _seed(command, "the seed of the draws")
    _dry_run(command)


def _common(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("output")
    group.add_argument("--json", action="store_true", help="print one JSON object on stdout, also for errors")
    group.add_argument("--quiet", action="store_true", help="print only warnings and errors on stderr")
    group.add_argument("--verbose", action="store_true", help="print all choices, notes and metrics of a training")
    group.add_argument("--debug", action="store_true", help="show the traceback of an error")
    words = "Python code to execute first, which registers your own parts (latens.register_part)"
    group = command.add_argument_group("parts of your own")
    group.add_argument("--import", dest="imports", action="append", default=[], metavar="FILE.py", help=words)


def left_out(name: str) -> str:
    """A column that is not modelled, as `--column` has it."""
    return f"{name}={LEFT_OUT}"


def separator(text: str) -> str:
    """A character, or the word "tab"."""
    return {"tab": "\t", "\\t": "\t"}.get(text, text)


def _reading(command: argparse.ArgumentParser, *, trains: bool = False) -> None:
    """Add the flags that say how rows are read, as each kind declares them."""
    for kind in (Kind, *reversed(READERS)):
        group = command.add_argument_group(kind.title)
        for name, asked in kind.options().items():
            if asked.training and not trains:
                continue
            flag = "--" + (asked.flag or name.replace("_", "-"))
            if asked.either:
                group.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=asked.help)
            elif asked.yes:
                group.add_argument(flag, action="store_const", const=True, help=asked.help)
            else:
                how: dict[str, Any] = {"choices": asked.choices} if asked.choices else {"metavar": asked.metavar}
                how |= {"type": RANGES[asked.most]} if asked.most else {}
                how |= {"type": separator} if asked.metavar == "CHARACTER" else {}
                group.add_argument(flag, action="append" if asked.many else "store", help=asked.help, **how)
        if kind is Table and trains:
            words = "ignore a column; the others have kinds, as with --column; repeatable"
            told: dict[str, Any] = {"dest": "column", "type": left_out, "action": "append"}
            group.add_argument("--leave-out", metavar="COLUMN", help=words, **told)


def _training(command: argparse.ArgumentParser) -> None:
    group = _model(command)
    words = "fit this prior to the latents after training, like `latens refit`"
    group.add_argument("--then", choices=PRIORS, metavar="PRIOR", help=words)
    words = "set an option of the configuration; repeatable"
    group.add_argument("--set", action="append", default=[], metavar="PART.OPTION=VALUE", help=words)
    group.add_argument("--out", metavar="FOLDER", help="the run folder (default: runs/TIME-DATA-RECIPE)")
    group.add_argument("--force", action="store_true", help="replace an earlier run in the folder")
    _dry_run(group, "print the complete configuration, and write nothing")
    words = f"store about N models during training, for animations (default {SNAPSHOTS})"
    how: dict[str, Any] = {"type": snapshots, "nargs": "?", "const": SNAPSHOTS}
    _while_training(command).add_argument("--snapshots", **how, metavar="N", help=words)
    _evaluation(command)


def _model(command: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    group = command.add_argument_group("model and training")
    group.add_argument(
        "--recipe",
        default="default",
        metavar="NAME",
        help="the recipe (default: default); `latens info recipes` lists them",
    )
    words = "a configuration file: the output of --dry-run, or the config.json of a run; other flags override it"
    group.add_argument("--config", metavar="FILE", help=words)
    words = "start from the weights and the configuration of this run or model file"
    group.add_argument("--from", dest="start", metavar="RUN", help=words)
    _budget(group)
    group.add_argument("--batch-size", type=batch, metavar="B", help="rows of a batch")
    _seed(group, "the seed of all random numbers", default=None)
    return group


def _sweeping(command: argparse.ArgumentParser) -> None:
    command.add_argument("data", metavar="DATA", help=DATA)
    _reading(command, trains=True)
    group = _model(command)
    words = "an option with a value, values (A,B) or a range (LOW..HIGH, LOW..HIGH:log); also `recipe`; repeatable"
    group.add_argument("--set", action="append", default=[], metavar="PART.OPTION=...", help=words)
    words = "the folder of the sweep (default: runs/TIME-DATA-sweep); the same command continues the sweep"
    group.add_argument("--out", metavar="FOLDER", help=words)
    _dry_run(group, "print the trials without training")
    group = command.add_argument_group("the sweep")
    group.add_argument("--trials", type=count, default=20, metavar="N", help="number of trials (default 20)")
    words = "train each trial with N seeds, starting at --seed S (default 1)"
    group.add_argument("--seeds", type=each, default=1, metavar="N", help=words)
    words = "a name of optuna.samplers (default TPESampler; BruteForceSampler tries every combination)"
    group.add_argument("--sampler", default="TPESampler", metavar="NAME", help=words)
    words = "a name of optuna.pruners, for the first seed of a trial (default MedianPruner; NopPruner for none)"
    group.add_argument("--pruner", default="MedianPruner", metavar="NAME", help=words)
    _evaluation(command)


def _budget(group: argparse._ActionsContainer) -> None:
    group.add_argument("--epochs", type=positive, metavar="N", help="maximum number of passes over the training rows")
    group.add_argument("--steps", type=count, metavar="N", help="maximum number of optimiser steps")
    group.add_argument("--minutes", type=positive, metavar="M", help="maximum minutes, including evaluation")


def _while_training(command: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    group = command.add_argument_group("during the training")
    group.add_argument("--log", choices=("tensorboard",), help="also write event files of TensorBoard")
    words = "write samples and reconstructions before the first step and every N steps"
    group.add_argument("--plots-every", type=count, metavar="N", help=words)
    words = "print the objective before the first step and every N steps (default: every few seconds)"
    group.add_argument("--log-every", type=count, metavar="N", help=words)
    return group


def _distributed(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("several processes (start the same command in each)")
    words = "train together with the other processes that SLURM, Open MPI or Kubernetes started"
    group.add_argument("--distributed", action="store_true", help=words)
    words = "the host of process 0 and a free port on it"
    group.add_argument("--coordinator", metavar="HOST:PORT", help=words)
    group.add_argument("--num-processes", type=processes, metavar="N", help="the number of processes")
    group.add_argument("--process-id", type=places, metavar="I", help="the index of this process, from 0")


def _evaluation(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("evaluation")
    group.add_argument("--num-samples", type=draws, metavar="K", help="draws per row for log p(x)")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the words of a command."""
    word = next((word for word in argv if not word.startswith("-")), None)
    if argv[:1] == ["--print-completion"]:
        word = None
    if word is not None and word not in COMMANDS:
        close = nearest(word, COMMANDS) if difflib.get_close_matches(word, COMMANDS, n=1) else ""
        fix = close or "`latens --help` lists the commands."
        raise UsageError(f"there is no command {word!r}.", where="latens", fix=fix)
    top = parser(word)
    args, unknown = top.parse_known_args(argv)
    if unknown:
        flag = unknown[0].split("=")[0]
        where = f"latens {args.command}" if args.command else "latens"
        if flag.startswith("-"):
            short = flag in COUNTS and args.command and "-n" in subparsers(top)[args.command]._option_string_actions
            fix = "Did you mean '-n'?" if short else nearest(flag, _flags(top, args.command))
            if args.command == "fit" and flag in _SET:
                fix = f"Use --set {_SET[flag]}=..."
            raise UsageError(f"there is no flag {flag}.", where=where, fix=fix)
        shown = " ".join(unknown)[:200]
        quoted = "Put a pattern of several files in quotes: 'photos/*.jpg'; "
        fix = f"{quoted * Path(unknown[0]).is_file()}`{where} --help` shows what it takes."
        raise UsageError(f"too many arguments: {shown!r}.", where=where, fix=fix)
    refuse_twice(argv, subparsers(top).get(args.command, top))
    return args


_SET = {"--latent-dim": "posterior.latent_dim", "--beta": "objective.beta", "--hidden": "network.hidden"}
_SET |= dict.fromkeys(("--lr", "--learning-rate"), "optimizer.learning_rate")
_SET |= {f"--{part}": part for part in ("likelihood", "prior", "posterior", "network", "objective")}
"""Flags that a reader expects of `latens fit`, and the options that they stand for."""


def refuse_twice(argv: Sequence[str], command: argparse.ArgumentParser) -> None:
    """Refuse a flag that is typed twice, of which argparse keeps the last, unless it collects them or has no value."""
    typed: dict[str, str] = {}
    for word in argv[: argv.index("--") if "--" in argv else None]:
        flag = word.split("=")[0]
        action = command._option_string_actions.get(flag)
        if action is None or isinstance(action, argparse._AppendAction):
            continue
        former = typed.setdefault(action.dest, "")
        if former and (former != flag or action.nargs != 0):
            same = f"{flag} is given twice, and takes one value."
            what = same if former == flag else f"{former} and {flag} contradict each other."
            raise UsageError(what, where=flag, fix="Leave one of them out.")
        typed[action.dest] = flag


def subparsers(top: Parser | None = None) -> dict[str, argparse.ArgumentParser]:
    """Find the parser of every command."""
    actions = (parser() if top is None else top)._actions
    return next(dict(action.choices) for action in actions if isinstance(action, argparse._SubParsersAction))


def _flags(top: Parser, command: str | None) -> list[str]:
    chosen = subparsers(top)[command] if command else top
    return [flag for action in chosen._actions for flag in action.option_strings if flag.startswith("--")]
