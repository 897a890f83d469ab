"""From what was typed after `latens sweep` to its settings: all combinations, random ones, budgets of halving."""

import argparse
import itertools
import math
import re
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from latens.cli.arguments import subparsers
from latens.cli.fit import BUDGET
from latens.config import Config, VAEConfig, override, read_value
from latens.errors import ConfigError, UsageError
from latens.runs.sweep import Plan, shown

MOST_RUNS = 100_000
_RANGE = re.compile(r"([^,:\[\]]+):([^,:\[\]]+)")
_NOT_SHARED = ("help", "out", "force", "dry_run", "seed", "set", "json", "quiet", "debug", "imports")


def plan_of(args: argparse.Namespace, words: Sequence[str], config: Config) -> Plan:
    """Make the plan of a sweep from its arguments."""
    fixed, options = _typed(args, config)
    budget, budgets = None, []
    settings = math.prod(map(len, options.values())) if args.random is None else args.random
    if settings * args.seeds > MOST_RUNS:
        what = f"{settings} settings with {args.seeds} seeds are more than {MOST_RUNS} runs."
        raise UsageError(what, where="--set", fix="Give fewer values, or draw some of them: --random N.")
    if args.random is None:
        chosen = [dict(zip(options, each)) for each in itertools.product(*(options[name] for name in options))]
    else:
        chosen = _drawn(options, config, args.random, args.seed or 0)
    for setting in chosen:
        override(config, {**fixed, **setting})
    if len(chosen) * args.seeds < 2:
        fix = "Give several values, as --set optimizer.learning_rate=1e-3,3e-3, or --seeds N"
        fix = f"{fix}; {args.data} holds no sweep."
        raise UsageError("one setting with one seed is one run.", where="--set", fix=fix)
    if args.halving:
        budget, budgets = _budgets(args, len(chosen), [override(config, {**fixed, **setting}) for setting in chosen])
    first = args.seed or 0
    shared = [*words, *itertools.chain(*(("--set", f"{name}={fixed[name]}") for name in sorted(fixed)))]
    texts = {name: ",".join(found) for name, found in options.items()}
    seeds = list(range(first, first + args.seeds))
    return Plan(shared, texts, chosen, seeds, args.random, budget, budgets)


def words_of(args: argparse.Namespace) -> list[str]:
    """Write the arguments that `latens fit` takes too, but for settings, seed and folder, as words of it."""
    words: list[str] = []
    for action in subparsers()["fit"]._actions:
        value = getattr(args, action.dest, action.default)
        if action.dest in _NOT_SHARED or value == action.default or (args.halving and action.dest in BUDGET):
            continue
        if not action.option_strings:
            words.append(str(value))
        elif isinstance(action, argparse.BooleanOptionalAction):
            words.append(action.option_strings[0 if value else 1])
        else:
            words += [action.option_strings[0], *([] if action.nargs == 0 else [str(value)])]
    return words


def _typed(args: argparse.Namespace, config: Config) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The options with one value, and those with several, in the order of their names and values."""
    fixed: dict[str, str] = {}
    several: dict[str, list[str]] = {}
    for text in args.set:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name:
            fix = "Write for example --set optimizer.learning_rate=1e-3,3e-3."
            raise UsageError(f"{text!r} is not PART.OPTION=VALUE or PART.OPTION=VALUE,VALUE.", where="--set", fix=fix)
        if name in fixed or name in several:
            fix = "Write all of its values in one --set, with commas between."
            raise UsageError(f"{name} is given twice.", where=f"--set {text}", fix=fix)
        if name == "training.seed":
            raise UsageError("seeds have flags.", where=f"--set {text}", fix="Use --seeds N, from --seed S on.")
        values = split_values(value)
        ranges = [one for one in values if _RANGE.fullmatch(one)]
        if ranges and args.random is None:
            what = f"the range {ranges[0]} is drawn from, and nothing says how often."
            raise UsageError(what, where=f"--set {text}", fix="Add --random N, or list values: A,B,C.")
        if len(values) == 1 and not ranges:
            fixed[name] = value
            continue
        if len(values) > 1 and _takes_list(config, name, value):
            fix = f"Write a list in brackets: {name}=[{value}] is one value, {name}={_apart(values)} are {len(values)}."
            raise UsageError(f"{name} takes lists, and a comma stands between values.", where=f"--set {text}", fix=fix)
        several[name] = sorted(values, key=_order)
        again = [one for one, other in itertools.pairwise(several[name]) if shown(one) == shown(other)]
        if again:
            what = f"the value {again[0]} is given twice."
            raise UsageError(what, where=f"--set {text}", fix="Give each value once; a list is written in brackets.")
    return fixed, dict(sorted(several.items()))


def split_values(text: str) -> list[str]:
    """Split at the commas outside of brackets.

    Examples:
        >>> split_values("1e-3, 3e-3"), split_values("[64,64],[32]")
        (['1e-3', '3e-3'], ['[64,64]', '[32]'])
    """
    parts, depth = [""], 0
    for character in text:
        depth += {"[": 1, "]": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _apart(values: Sequence[str]) -> str:
    return ",".join(value if value.startswith("[") else f"[{value}]" for value in values)


def _takes_list(config: Config, name: str, text: str) -> bool:
    """Whether an option of a configuration would take the whole text as one list."""
    part, _, option = name.partition(".")
    try:
        return isinstance(getattr(getattr(override(config, {name: text}), part, None), option, None), tuple)
    except ConfigError:
        return False


def _order(text: str) -> tuple[int, float, str]:
    """Numbers by their size, then words."""
    value = read_value(text)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return (0, float(value), shown(text)) if number else (1, 0.0, shown(text))


def _drawn(options: Mapping[str, Sequence[str]], config: Config, count: int, seed: int) -> list[dict[str, str]]:
    """Random settings, no two alike; each option draws by its own name, so that their order does not matter."""
    if not options:
        fix = "Give a range, as --set optimizer.learning_rate=1e-4:1e-2, or several values."
        raise UsageError("there is nothing to draw.", where="--random", fix=fix)
    draws = {name: _Draw(name, values, config, seed) for name, values in options.items()}
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for index in range(100 * count):
        setting = {name: draw(index) for name, draw in draws.items()}
        found.setdefault(tuple(map(shown, setting.values())), setting)
        if len(found) == count:
            return list(found.values())
    what = f"{count} different settings are asked for, and {len(found)} were found."
    raise UsageError(what, where="--random", fix=f"Use {len(found)} at the most, or wider ranges.")


class _Draw:
    """The values of one option: log-uniform within a range, or one of several."""

    def __init__(self, name: str, values: Sequence[str], config: Config, seed: int) -> None:
        self.name, self.values, self.seed = name, values, seed
        self.low = self.high = 0.0
        self.whole = False
        ranges = [value for value in values if _RANGE.fullmatch(value)]
        if not ranges:
            return
        where = f"--set {name}={','.join(values)}"
        fix = f"Write {name}=LOW:HIGH with 0 < LOW < HIGH; it is drawn evenly in its logarithm."
        if len(values) > 1:
            raise UsageError("a range stands alone.", where=where, fix=fix)
        ends = [read_value(end) for end in values[0].split(":")]
        if not all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends):
            raise UsageError("the ends of a range are numbers.", where=where, fix=fix)
        self.low, self.high = map(float, ends)
        if not 0.0 < self.low < self.high < math.inf:
            raise UsageError(f"{self.low:g} to {self.high:g} is not a range.", where=where, fix=fix)
        for end in values[0].split(":"):
            override(config, {name: end})
        if all(isinstance(end, int) for end in ends):
            try:
                override(config, {name: "1.5"})
            except ConfigError:
                self.whole = True

    def __call__(self, index: int) -> str:
        rng = np.random.default_rng([self.seed, zlib.crc32(self.name.encode()), index])
        if not self.high:
            return self.values[int(rng.integers(len(self.values)))]
        value = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        if self.whole:
            return str(min(max(round(value), int(self.low)), int(self.high)))
        return repr(min(max(float(f"{value:.4g}"), self.low), self.high))


def _budgets(args: argparse.Namespace, settings: int, configs: Sequence[Config]) -> tuple[str, list[float]]:
    """The flag of the budget, and its values: doubled until one setting is left."""
    given = [name for name in BUDGET if getattr(args, name) is not None]
    if given not in (["steps"], ["epochs"]):
        fix = "Add --steps N or --epochs N alone: what the best setting gets in the end."
        raise UsageError("which budget is doubled?", where="--halving", fix=fix)
    if settings < 2:
        fix = "Give an option several values, as --set optimizer.learning_rate=1e-3,3e-3."
        raise UsageError("there is one setting, and nothing to drop.", where="--halving", fix=fix)
    if any(isinstance(config, VAEConfig) and config.optimizer.schedule == "cosine" for config in configs):
        what = "a cosine ends with its budget, which is doubled here."
        fix = "Use constant or schedule-free, or leave out --halving."
        raise ConfigError(what, where="optimizer.schedule", fix=fix)
    rounds, whole = math.ceil(math.log2(settings)), getattr(args, given[0])
    values = [whole / 2 ** (rounds - i) for i in range(rounds + 1)]
    if given[0] == "steps":
        values = [float(round(value)) for value in values]
        if values[0] < 1 or len(set(values)) < len(values):
            fix = f"Give --steps {2**rounds} or more, or fewer settings."
            raise UsageError(f"{whole} steps cannot be halved {rounds} times.", where="--halving", fix=fix)
    return given[0], values
