"""Do the tests bite? `python tests/mutants.py [--count 306] [--seed 0]` plants one slip at a time and runs its tests.

A mutant is one small slip in one expression: another operator, bound, constant, reduction, key or branch. Slips are
drawn at random, as many in each room of `ROOMS`; `--planted` takes those that were thought of by hand instead. Each is
judged by tests that run its line (`tests/support/line_map.py`): first by those of the quick suite, then by those of
`make test-more`, at most `--tests` of each, the cheapest first. Healthy code is loaded once; a mutant is a fork of it.

`tests/mutants.toml` holds the slips by hand, and the mutants that change no result, with the reason.
"""

import argparse
import ast
import contextlib
import copy
import functools
import gc
import importlib
import json
import os
import pkgutil
import random
import resource
import signal
import subprocess
import sys
import time
import tomllib
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, NamedTuple

import pytest
from jaxtyping._import_hook import _JaxtypingFinder, _JaxtypingLoader

TESTS = Path(__file__).resolve().parent
sys.path[:0] = [str(TESTS), str(TESTS / "support")]
from line_map import PACKAGE, line_names  # noqa: E402

ROOMS = ("distributions", "models", "objectives", "evidence", "latents", "predictive")
ROOMS += ("kinds/tables", "data", "estimators", "trained")
DEFAULTS = "tests/test_defaults.py::"
"""The tests that look at what loading makes: they run no line of a function."""

SECONDS = {"quick": 30.0, "more": 60.0}
"""Processor seconds, as the map has them, of the tests that judge one mutant."""


class Mutant(NamedTuple):
    """One slip: its file below src/latens, its line, the text and what takes its place, the source that has it."""

    file: str
    line: int
    right: str
    wrong: str
    source: str


BINARY = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Div}
BINARY |= {ast.Pow: ast.Mult, ast.Mod: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd}
COMPARED = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
COMPARED |= {ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In}
PAIRS = (
    ("min", "max"),
    ("minimum", "maximum"),
    ("sum", "mean"),
    ("any", "all"),
    ("floor", "ceil"),
    ("argmin", "argmax"),
)
PAIRS += (("zeros", "ones"), ("zeros_like", "ones_like"), ("append", "insert"), ("log", "log1p"), ("exp", "expm1"))
CALLED = {a: b for pair in PAIRS for a, b in (pair, pair[::-1])}
DROPPED = {"stop_gradient", "abs", "sort", "sqrt", "fold_in", "cumsum", "nan_to_num", "sorted", "reversed"}


def slips(node: ast.AST) -> Iterator[ast.AST]:
    """What a node may be mistaken for."""

    def but(**fields: Any) -> Any:
        made = copy.copy(node)
        for name, value in fields.items():
            setattr(made, name, value)
        return made

    match node:
        case ast.BinOp(op=ast.Div(), right=ast.JoinedStr() | ast.Constant(value=str())):  # of paths
            pass
        case ast.IfExp(body=ast.JoinedStr() | ast.Constant(value=str())):  # of words
            pass
        case ast.BinOp() | ast.AugAssign() if type(node.op) in BINARY:
            yield but(op=BINARY[type(node.op)]())
        case ast.Compare(ops=[op]) if type(op) in COMPARED:
            yield but(ops=[COMPARED[type(op)]()])
        case ast.Constant(value=bool()):
            yield but(value=not node.value)
        case ast.Constant(value=int()) if node.value < 10:  # one more of many draws or rows is not a slip
            yield but(value=node.value + 1)
            yield but(value=0 if node.value == 1 else node.value - 1)
        case ast.Constant(value=float()):
            yield but(value=2.0 * node.value or 1.0)
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node.operand
        case ast.BoolOp():
            yield but(op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        case ast.IfExp():
            yield but(body=node.orelse, orelse=node.body)
        case ast.If() if not node.orelse and isinstance(
            node.body[-1], ast.Return | ast.Continue | ast.Break | ast.Raise
        ):
            yield but(test=ast.Constant(False))
        case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)) as call:
            if name == "where" and len(call.args) == 3:
                yield but(args=[call.args[0], call.args[2], call.args[1]])
            if name in DROPPED and call.args and not isinstance(call.args[0], ast.Starred):
                yield call.args[0]
            if name in CALLED and (isinstance(call.func, ast.Attribute) or name in ("min", "max", "any", "all")):
                func = copy.copy(call.func)
                setattr(func, "attr" if isinstance(func, ast.Attribute) else "id", CALLED[name])
                yield but(func=func)
        case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Call(func=ast.Attribute(attr="split"))):
            yield but(value=ast.parse(f"[{ast.unparse(node.value)}[0]] * {len(names)}", mode="eval").body)


def places(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that count: no annotation, message, docstring, decorator or line that only stops."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "ctx", "op", "ops"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.Raise | ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom):
                continue
            called = ast.unparse(child.func) if isinstance(child, ast.Call) else ""
            if called.endswith(("Error", "field", "warn", "require", "Meta", "TypeVar")):
                continue
            if isinstance(child, ast.Subscript) and ast.unparse(child.value) in ("Annotated", "Literal", "Callable"):
                continue
            if isinstance(child, ast.keyword) and child.arg in ("stacklevel", "frozen", "strict", "static", "copy"):
                continue
            if isinstance(child, ast.AST):
                yield from places(child)


def mutants_of(file: str) -> list[Mutant]:
    """Every mutant of a file."""
    source = (PACKAGE / file).read_text(encoding="utf-8")
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line.encode()))
    raw, found = source.encode(), []
    for node in places(ast.parse(source)):
        for slip in slips(node):
            first, last = node.lineno, node.end_lineno
            begin, end = starts[first - 1] + node.col_offset, starts[last - 1] + node.end_col_offset
            if isinstance(node, ast.If):  # only its test is another
                begin, end = (starts[x - 1] + y for x, y in _ends(node.test))
                slip, first = slip.test, node.test.lineno
            bare = isinstance(slip, ast.keyword | ast.Assign | ast.AugAssign | ast.Constant | ast.Call | ast.Name)
            wrong = ast.unparse(slip) if bare else f"({ast.unparse(slip)})"
            if isinstance(node, ast.Constant) and raw[begin:end].startswith(b'"'):
                continue
            made = (raw[:begin] + wrong.encode() + raw[end:]).decode()
            found.append(Mutant(file, first, raw[begin:end].decode(), wrong, made))
    return found


def _ends(node: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)


def drawn(count: int, seed: int) -> list[Mutant]:
    """Mutants at random, as many of each room; a larger count begins with those of a smaller one."""
    each = -(-count // len(ROOMS))
    rooms = []
    for room in ROOMS:
        rng, chosen = random.Random(f"{seed} {room}"), []
        files = sorted((PACKAGE / room).rglob("*.py"))
        lines: dict[tuple[str, int], list[Mutant]] = defaultdict(list)
        for file in files:
            for one in mutants_of(str(file.relative_to(PACKAGE))):
                lines[one.file, one.line].append(one)
        for line in rng.sample(sorted(lines), min(each, len(lines))):  # one slip a line, whatever its length
            chosen.append(rng.choice(lines[line]))
        rooms.append(chosen)
    return [one for turn in zip(*rooms) for one in turn][:count]


def planted(entries: list[dict[str, str]]) -> list[Mutant]:
    """The slips by hand."""
    made = []
    for entry in entries:
        source = (PACKAGE / entry["file"]).read_text(encoding="utf-8")
        if source.count(entry["right"]) != 1:
            raise SystemExit(
                f"{entry['file']} does not hold {entry['right']!r} once: bring tests/mutants.toml up to date."
            )
        line = source[: source.index(entry["right"])].count("\n") + 1
        wrong = source.replace(entry["right"], entry["wrong"])
        made.append(Mutant(entry["file"], line, entry["right"], entry["wrong"], wrong))
    return made


def is_there(test: str) -> bool:
    """Whether a test of the map has been taken away since."""
    path, _, name = test.partition("::")
    return f"def {name.partition('[')[0]}(" in _text(TESTS.parent / path)


@functools.cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


class Map:
    """Which tests run a line, and what each costs."""

    def __init__(self, folder: Path) -> None:
        files = sorted(folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime)
        rows = (json.loads(line) for file in files for line in file.read_text().splitlines())
        known = {test: (mark, seconds, names) for test, mark, seconds, names in rows if is_there(test)}
        self.costs = {test: (mark, seconds) for test, (mark, seconds, _) in known.items()}
        self.lines: dict[str, set[str]] = defaultdict(set)
        for test, (_, _, names) in known.items():
            for name in names:  # a line, its function, the classes around that, its file
                function, _, _ = name.rpartition(":")
                around = [function[:at] for at, sign in enumerate(function) if sign == "." and ":" in function[:at]]
                for key in (name, function, *around, name.partition(":")[0]):
                    self.lines[key].add(test)

    def judges(self, mutant: Mutant, most: int) -> list[str]:
        """The tests that judge a mutant: those of its line, then of its function, then of its file."""
        name = line_names(mutant.file)[mutant.line - 1]
        function = name.rpartition(":")[0]
        levels = [
            (self.lines.get(key, set()), most // part) for key, part in ((name, 1), (function, 1), (mutant.file, 3))
        ]
        room = f"tests/{mutant.file.split('/')[0]}/"
        chosen = [] if function_of(mutant) else [test for test in self.costs if test.startswith(DEFAULTS)]
        for kind, budget in SECONDS.items():
            spent, own = 0.0, 0
            for level, most in levels if function.partition(":")[2] else levels[2:]:  # outside functions: the file
                dear = {test: self.costs[test][1] * (1 if test.startswith(room) else 3) for test in level}
                for test in sorted(dear, key=lambda test: (dear[test], test)):
                    fits = own < most and (spent + self.costs[test][1] <= budget or not own)
                    if fits and self.costs[test][0] == kind and test not in chosen:
                        chosen.append(test)
                        spent, own = spent + self.costs[test][1], own + 1
        return chosen


def plant(mutant: Mutant) -> None:
    """Put the mutant in this process: into the live function that holds it, or into the module that is yet to load."""
    path = str(PACKAGE / mutant.file)
    checked = [("typechecker", one._typechecker) for one in sys.meta_path if isinstance(one, _JaxtypingFinder)]
    kind = _JaxtypingLoader if checked else SourceFileLoader  # as conftest.py loads latens
    code = kind("mutant", path, **dict(checked)).source_to_code(mutant.source.encode(), path)
    if not LIVE:
        kind.get_code = lambda self, name, usual=kind.get_code: code if self.path == path else usual(self, name)
        return
    owner = function_of(mutant)
    new, live = _code_named(code, owner), LIVE[path, owner]
    assert new is not None, mutant[:4]
    for function in live:
        function.__code__ = new


LIVE: dict[tuple[str, str], list[FunctionType]] = {}
"""The functions of latens by file and name, once it is loaded."""


def function_of(mutant: Mutant) -> str:
    """The name of the outermost function whose body holds a mutant; none for one that loading runs."""
    return _function_at(ast.parse((PACKAGE / mutant.file).read_text(encoding="utf-8")).body, mutant.line, "")


def _function_at(body: list[ast.stmt], line: int, scope: str) -> str:
    """The name of the outermost function whose body holds a line; none where the line is a default."""
    for node in body:
        if isinstance(node, ast.ClassDef) and node.lineno <= line <= (node.end_lineno or 0):
            return _function_at(node.body, line, f"{scope}{node.name}.")
        if isinstance(node, ast.FunctionDef) and node.body[0].lineno <= line <= (node.end_lineno or 0):
            return f"{scope}{node.name}"
    return ""


def _code_named(code: CodeType, name: str) -> CodeType | None:
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            if inner.co_qualname == name:
                return inner
            if name.startswith(f"{inner.co_qualname}.") and (found := _code_named(inner, name)):
                return found
    return None


def judge(mutant: Mutant | None, tests: list[str], seconds: float, keep_on: bool = False) -> list[str]:
    """The tests that fail, in a fork; the first one only, or all. A mutant that hangs or cannot be loaded fails "-"."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        _judge_here(mutant, tests, seconds, keep_on, write)
    os.close(write)
    began, failed = time.monotonic(), b""
    while time.monotonic() - began < 20 * seconds and not os.waitid(
        os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT
    ):
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    with os.fdopen(read, "rb") as file:
        failed = file.read()
    names = failed.decode().splitlines()
    if names or status == 0:
        return names
    whole = sorted({test.partition("[")[0] for test in tests})
    if os.WEXITSTATUS(status) == pytest.ExitCode.USAGE_ERROR and whole != sorted(tests):
        return judge(mutant, whole, seconds, keep_on)  # a test of the map has other parameters by now
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) != pytest.ExitCode.INTERRUPTED:
        raise SystemExit(f"pytest ended with {os.WEXITSTATUS(status)} for {mutant and mutant[:4]}: {' '.join(tests)}")
    return ["-"]


def _judge_here(mutant: Mutant | None, tests: list[str], seconds: float, keep_on: bool, write: int) -> None:
    import hypothesis

    class Reporter:
        def pytest_runtest_logreport(self, report: Any) -> None:
            if report.failed:
                os.write(write, f"{report.nodeid}\n".encode())

        def pytest_collectreport(self, report: Any) -> None:
            if report.failed:  # the tests of this file cannot even be loaded
                os.write(write, b"-\n")

    os.setsid()
    os.environ.pop("LATENS_RECORD", None)  # a mutant writes no records
    quiet = os.open(os.devnull, os.O_RDWR)
    for handle in (0, 1, 2):
        os.dup2(quiet, handle)
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 5))
    hypothesis.settings.register_profile("mutants", database=None, derandomize=True)
    hypothesis.settings.load_profile("mutants")
    status = 4
    try:
        if mutant:
            plant(mutant)
            if not LIVE and not _loads(mutant):
                os.write(write, b"-\n")
                os._exit(1)
        options = ["-q", "-p", "no:cacheprovider", "-m", "not long", "--tb=no", *([] if keep_on else ["-x"])]
        options += ["-W", "ignore:Module already imported"]
        status = int(pytest.main([*options, *tests], plugins=[Reporter()]))
    finally:
        os._exit(status)


def _loads(mutant: Mutant) -> bool:
    """Whether the module of a mutant can be loaded: a test that it breaks then would not be found."""
    try:
        importlib.import_module("latens." + mutant.file.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    except Exception:
        return False
    return True


def load() -> None:
    """Load latens as the tests do, without starting a device: forks go on from here."""
    package = importlib.import_module("latens")
    for module in pkgutil.walk_packages(package.__path__, "latens."):
        if not module.name.startswith(("latens.cli.main", "latens.callbacks.loggers")):
            importlib.import_module(module.name)
    for name in ("numpyro.distributions", "scipy.stats", "pandas", "sklearn.utils.estimator_checks", "hypothesis"):
        importlib.import_module(name)  # what many tests load: once for all
    for one in gc.get_objects():
        if isinstance(one, FunctionType) and one.__code__.co_filename.startswith(str(PACKAGE)):
            LIVE.setdefault((one.__code__.co_filename, one.__code__.co_qualname), []).append(one)
    warnings.simplefilter("ignore")
    gc.freeze()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=306, help="how many mutants")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--room", choices=ROOMS, action="append", help="only mutants of this room")
    parser.add_argument("--planted", action="store_true", help="the slips of tests/mutants.toml instead")
    parser.add_argument("--tests", type=int, default=100, help="tests of each suite that judge one mutant, at most")
    parser.add_argument("--map", type=Path, default=TESTS.parent / ".mutants", help="folder of the map of lines")
    parser.add_argument("--again", type=Path, help="a file of results: judge its survivors again")
    parser.add_argument("--out", type=Path, help="write the results to this file, as they come")
    options = parser.parse_args()
    known_at = max((file.stat().st_mtime for file in options.map.glob("*.jsonl")), default=0.0)
    if files := [str(file) for file in TESTS.rglob("test_*.py") if file.stat().st_mtime > known_at]:
        print(
            f"writing which lines are run by the tests of {len(files)} files, which takes as long as these", flush=True
        )
        command = [sys.executable, "-m", "pytest", "-p", "line_map", "-n", "auto", "-q", "-m", "not long", *files]
        subprocess.run(command, cwd=TESTS.parent, env={**os.environ, "LATENS_LINE_MAP": str(options.map)}, check=False)
    known = tomllib.loads((TESTS / "mutants.toml").read_text(encoding="utf-8"))
    equivalent = {(entry["file"], entry["right"], entry["wrong"]) for entry in known["equivalent"]}
    lines = Map(options.map)
    chosen = planted(known["planted"]) if options.planted else drawn(options.count, options.seed)
    if options.room:
        chosen = [one for one in chosen if one.file.startswith(tuple(options.room))]
    if options.again:
        told = [json.loads(line) for line in options.again.read_text().splitlines()]
        alive = {(one["file"], one["line"], one["wrong"]) for one in told if one["by"] == ""}
        chosen = [one for one in chosen if (one.file, one.line, one.wrong) in alive]
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.chdir(TESTS.parent)
    importlib.import_module("conftest")
    print(f"{len(chosen)} mutants", flush=True)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    killers: dict[str, list[Mutant]] = defaultdict(list)
    for number, one in enumerate(sorted(chosen, key=lambda one: bool(function_of(one)))):
        if function_of(one) and not LIVE:
            load()
        room = next((room for room in ROOMS if one.file.startswith(room)), one.file.split("/")[0])
        text = one.source.splitlines()[one.line - 1].strip()
        healthy = (PACKAGE / one.file).read_text(encoding="utf-8").splitlines()[one.line - 1].strip()
        if (one.file, healthy, text) in equivalent:
            by, kind, tests = "", "equivalent", []
        else:
            tests = lines.judges(one, options.tests)
            limit = 30.0 + 3.0 * sum(lines.costs[test][1] for test in tests)
            by = (judge(one, tests, limit) or [""])[0] if tests else ""
            kind = "survived" if not by else lines.costs.get(by, ("quick",))[0] if by != "-" else "quick"
            killers[by].append(one)
        counts[room][kind] += 1
        if kind == "survived":
            print(
                f"{one.file}:{one.line}: {one.right!r} -> {one.wrong!r} survived {len(tests)} tests\n    {text}",
                flush=True,
            )
        elif not number % 20:
            print(f"... {number}", flush=True)
        if options.out:
            with options.out.open("a") as file:
                row = {"file": one.file, "line": one.line, "right": one.right, "wrong": one.wrong}
                file.write(json.dumps({**row, "kind": kind, "by": by, "tests": len(tests)}) + "\n")
    named = sorted(test for test in killers if test not in ("", "-"))
    limit = 60.0 + 3.0 * sum(lines.costs.get(test, ("", 1.0))[1] for test in named)
    for test in set(judge(None, named, limit, keep_on=True)) if named else ():
        print(f"{test} fails without a mutant too: {len(killers[test])} are not judged")
    print("\n| room | mutants | equivalent | caught by `make test` | by `make test-more` too |\n|---|---|---|---|---|")
    total: Counter[str] = Counter()
    for room, own in [*counts.items(), ("all", total)]:
        total += own if own is not total else Counter()
        judged = own.total() - own["equivalent"]
        quick, more = own["quick"], own["quick"] + own["more"]
        shares = f"{quick} ({quick / max(judged, 1):.0%}) | {more} ({more / max(judged, 1):.0%})"
        print(f"| `{room}` | {own.total()} | {own['equivalent']} | {shares} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
