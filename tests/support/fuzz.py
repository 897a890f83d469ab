"""The byte-level fuzzer: damaged files are read in a child process under limits, and a judge looks at what comes out.

    python tests/support/fuzz.py model 0 2000  # mutations 0 to 1999 of model files; findings are written to stdout

A file must either load to valid values or raise a `LatensError` with a remedy, within 5 seconds and 1 GB of further
memory, without executing, spawning or writing anything. Whatever else happens is a finding: mend it, and keep the
file in tests/corpus.
"""

import ast
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import beartype
import numpy as np

SECONDS, MEMORY = 5.0, 1 << 30

_EVENTS = """
    exec compile os.system os.exec os.fork os.forkpty os.posix_spawn os.spawn os.remove os.rename os.rmdir
    os.mkdir os.link os.symlink os.truncate os.chmod subprocess.Popen pickle.find_class marshal.loads
    socket.connect socket.getaddrinfo ctypes.dlopen code.__new__ shutil.rmtree
    """
_FORBIDDEN = frozenset(_EVENTS.split())
_CHECKER = os.path.dirname(beartype.__file__) + os.sep
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Watch:
    """An audit hook that notes what a reader of data has no reason to do. Hooks cannot be taken off, so it is armed."""

    def __init__(self) -> None:
        self.armed, self.seen, self.loaded = False, [], False
        sys.addaudithook(self._hook)

    @contextmanager
    def on(self) -> Iterator[list[str]]:
        self.seen, self.armed, self.loaded = [], True, False
        try:
            yield self.seen
        finally:
            self.armed = False

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.armed:
            return
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES:
            self.seen.append(f"open {arguments!r:.200} for writing")
        if event not in _FORBIDDEN:
            return
        # Python's own import runs module code, and ast.literal_eval "compiles" to a tree of literals it never runs.
        caller = sys._getframe(1).f_code
        # The checks of shapes are code that beartype writes where a function is first called.
        if caller.co_filename.startswith(("<frozen importlib", _CHECKER)) or caller.co_filename == ast.__file__:
            return
        self.seen.append(f"{event} {arguments!r:.200} in {caller.co_filename}:{caller.co_name}")


def read(kind: str, path: Path) -> Any:
    """The file as latens reads it."""
    if kind == "model":
        from latens.trained.trained_model import TrainedModel

        return TrainedModel.load(path)
    from latens.data import load

    return load(path)


def fault(kind: str, path: Path, watch: Watch | None = None) -> str:
    """What is wrong with how latens takes a file; "" where it loads to valid values or is refused as it should be."""
    from latens.errors import DataError, ModelFileError, ResourceError

    watch = watch or Watch()
    result: Any = None
    seen: list[str] = []
    try:
        with watch.on() as seen:
            result = read(kind, path)
            watch.loaded = True
        found = invalid(kind, result)
    except (DataError, ModelFileError, ResourceError) as error:
        found = ""
        if isinstance(error, DataError) and kind == "model":
            found = f"a model file was refused as data: {error}"
        if not error.message or not error.fix:
            found = f"an error without a message or a remedy: {error!r}"
        if len(str(error)) > 4000:
            found = f"an error of {len(str(error))} characters: {str(error)[:200]}"
        if "memory" in error.message:  # so small a file has no right to ask for so much
            found = f"asked for more than {MEMORY} bytes: {error}"
    except BaseException:
        found = traceback.format_exc()
    return "; ".join(seen) or found


def invalid(kind: str, value: Any) -> str:
    """What is wrong with what was loaded."""
    from latens.runtime.safetensors import tree_to_arrays

    if kind == "model":
        bad = [
            name for name, a in tree_to_arrays(value.model).items() if a.dtype.kind == "f" and not np.isfinite(a).all()
        ]
        return f"{bad} are not finite" if bad else ""
    n = len(value.x)
    faults = {
        "no rows": n < 1 or value.x.size < 1,
        "shape": value.x.shape[1:] != value.schema.shape,
        "dtype": value.x.dtype.kind not in "iuf",
        "not finite": not np.isfinite(value.x).all(),
        "ids": value.row_id.shape != (n,) or value.names.shape != (n,) or len(set(value.names.tolist())) != n,
        "split": value.split.shape != (n,) or not set(value.split.tolist()) <= {0, 1, 2},
        "labels": value.label is not None
        and (
            value.label.shape != (n,) or value.label.min() < -1 or value.label.max() >= len(value.schema.classes or ())
        ),
    }
    return ", ".join(name for name, wrong in faults.items() if wrong)


def child(kind: str, begin: int, end: int, folder: Path) -> None:
    """Read mutations begin to end - 1, one JSON line for each finding; killed by the system where a limit is broken."""
    import resource

    from mutations import SUFFIX, mutate, seeds

    path = folder / f"current{SUFFIX[kind]}"
    watch = Watch()
    for seed in seeds(kind):  # what is imported and allocated once is not the file's doing
        path.write_bytes(seed)
        read(kind, path)
        found = fault(kind, path, watch)
        if found:
            print(json.dumps({"number": -1, "fault": f"a seed is not taken: {found}"}), flush=True)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    loaded = 0
    for number in range(begin, end):
        path.write_bytes(mutate(kind, number))
        (folder / "number").write_text(str(number))
        signal.setitimer(signal.ITIMER_REAL, SECONDS)  # unhandled, the alarm ends the process
        found = fault(kind, path, watch)
        signal.setitimer(signal.ITIMER_REAL, 0)
        loaded += found == "" and watch.loaded
        if found:
            print(json.dumps({"number": number, "fault": found}), flush=True)
    print(json.dumps({"done": end - begin, "loaded": loaded}), flush=True)


def hunt(kind: str, begin: int, end: int, program: Sequence[str] = (__file__,)) -> tuple[list[dict[str, Any]], int]:
    """The findings among mutations begin to end - 1, and how many files loaded. A dead child is a finding too.

    `program` is what the child runs, for tests that plant a fault.
    """
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    findings: list[dict[str, Any]] = []
    loaded = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        while begin < end:
            words = [sys.executable, *program, kind, str(begin), str(end), name]
            done = subprocess.run(words, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path})
            lines = [json.loads(line) for line in done.stdout.splitlines()]
            findings += [line for line in lines if "fault" in line]
            loaded += sum(line.get("loaded", 0) for line in lines)
            if done.returncode == 0:
                break
            last = int((folder / "number").read_text()) if (folder / "number").exists() else -1
            what = f"took more than {SECONDS} s" if done.returncode == -signal.SIGALRM else done.stderr[-2000:]
            findings.append({"number": last, "fault": f"the process ended with {done.returncode}: {what}"})
            if last < begin:
                break
            begin = last + 1
    return findings, loaded


if __name__ == "__main__":
    chosen, first, last, *rest = sys.argv[1:]
    if rest:
        child(chosen, int(first), int(last), Path(rest[0]))
    else:
        found_all, count = hunt(chosen, int(first), int(last))
        print("\n".join(f"{f['number']}: {f['fault']}" for f in found_all))
        print(f"{len(found_all)} findings; {count} of {int(last) - int(first)} files loaded")
        sys.exit(bool(found_all))
