"""The process that computes: no fork, its memory, JAX's settings that decide bits, and its cache of programs on disk.

The command and the estimators switch the cache on: a second run starts in half the time. The environment variable
JAX_ENABLE_COMPILATION_CACHE=0 keeps it off.
"""

import contextlib
import functools
import importlib.util
import inspect
import numbers
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from latens.errors import ConfigError, ResourceError, UsageError

Function = TypeVar("Function", bound=Callable[..., Any])

_computing: int | None = None


def check_process() -> None:
    """Note that this process computes, or refuse where it is a fork of one that did."""
    # A fork has none of the threads of its parent, and would wait for them for ever.
    global _computing
    if _computing is None:
        _computing = os.getpid()
    elif is_fork():
        raise UsageError(
            "this process was forked from one that had computed with JAX, whose threads a fork does not copy.",
            where=f"process {os.getpid()}",
            fix='Start workers afresh: multiprocessing.get_context("spawn"), or joblib; or '
            "fork before the first fit, load or call of a model.",
        )


def is_fork() -> bool:
    """Whether this process was forked from one that computed."""
    return _computing not in (None, os.getpid())


def threads() -> int:
    """The threads that XLA has in this process, by which it cuts its work: one a core, unless PJRT_NPROC says so."""
    text = os.environ.get("PJRT_NPROC", "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(text) if text.isdecimal() and int(text) else cores


def free_memory() -> int | None:
    """The memory that a process can have without swapping."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def check_count(n: object, where: str, *, cells: int = 1, least: int = 1) -> int:
    """Check a number that is asked for: a whole number from `least` on, of which `cells` times it fit into memory."""
    n = min(check_whole(n, least, where), 10**15)
    free = free_memory()
    needed = 4 * n * (cells + 2)  # float32, and a random key for each row
    if needed > (2**50 if free is None else free):
        what = f"{n:,} rows take {needed / 2**30:,.0f} GB"
        what += "." if free is None else f", and {free / 2**30:.1f} GB are free."
        raise ResourceError(what, where=where, fix="Ask for fewer rows, several times with seeds of their own.")
    return n


def check_whole(n: object, least: int, where: str) -> int:
    """Check a whole number from `least` on."""
    if not isinstance(n, numbers.Integral) or isinstance(n, bool) or n < least:
        what, fix = f"must be a whole number of {least} or more, not {n!r:.100}.", f"Give {least} or more."
        raise UsageError(what, where=where, fix=fix)
    return int(n)


def counted(**least: int) -> Callable[[Function], Function]:
    """Check the arguments of these names before a function sees them: whole numbers, none below its least."""

    def checks(function: Function) -> Function:
        taken = inspect.signature(function).parameters
        optional = [name for name in least if taken[name].default is None]

        @functools.wraps(function)
        def call(*values: object, **options: object) -> Any:
            given = dict(zip(taken, values)) | options
            for name, low in least.items():
                n = given.get(name, low)
                if n is None and name in optional:
                    continue
                check_whole(n, low, name)
            return function(*values, **options)

        return cast(Function, call)

    return checks


LEAST_SPACE = 2 * 10**9
"""Bytes of address space with which XLA can start on a machine of few cores."""

SETTINGS: dict[str, bool | str | None] = {
    "jax_enable_x64": False,
    "jax_default_prng_impl": "threefry2x32",
    "jax_threefry_partitionable": True,
    "jax_default_matmul_precision": None,
}
_traces: Path | None = None
_YES = ("y", "yes", "t", "true", "on", "1")


def jax_settings() -> dict[str, Any]:
    """JAX's settings of precision and random numbers, by name."""
    # Where JAX is not imported yet, they are as its environment variables will set them.
    if "jax" in sys.modules:
        config = sys.modules["jax"].config
        return {name: getattr(config, name) for name in SETTINGS}
    return {name: _from_environment(name, default) for name, default in SETTINGS.items()}


def _from_environment(name: str, default: bool | str | None) -> bool | str | None:
    text = os.environ.get(name.upper())
    if text is None:
        return default
    return text.lower() in _YES if isinstance(default, bool) else text or default


def check_generator(key: Any) -> None:
    """Refuse a forked process, and a key whose noise would not be that of its row, or not that of every machine."""
    # The other generators of JAX draw the numbers of many keys at once from the first of them: the noise of a row would
    # depend on its place in the batch.
    import jax

    check_process()
    kind = str(jax.random.key_impl(key))
    if kind != "threefry2x32":
        what = f"a key of the random generator {kind!r}, whose noise depends on the place of a row in its batch."
        fix = "Use threefry2x32, which is JAX's default: unset JAX_DEFAULT_PRNG_IMPL."
        raise ConfigError(what, where="JAX_DEFAULT_PRNG_IMPL", fix=fix)
    if not jax_settings()["jax_threefry_partitionable"]:
        what = "False gives other random numbers than everywhere else."
        fix = "Use True, which is JAX's default: unset JAX_THREEFRY_PARTITIONABLE."
        raise ConfigError(what, where="JAX_THREEFRY_PARTITIONABLE", fix=fix)


def gpus() -> list[str]:
    """The names of NVIDIA's GPUs that JAX would use here."""
    if os.environ.get("JAX_PLATFORMS", "").startswith("cpu"):
        return []
    if not any(importlib.util.find_spec(f"jax_cuda{version}_plugin") for version in (12, 13)):
        return []
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if seen is not None:
        return [name for name in seen.split(",") if name]
    return sorted(path.name[6:] for path in Path("/dev").glob("nvidia[0-9]*"))


def compute_in_full_precision() -> None:
    """Let products of matrices keep all bits of single precision on a GPU, unless JAX's setting says otherwise."""
    # By default they keep 10 bits there: sums of probabilities were off by a thousandth. A step of training takes
    # a fifth longer with all. Where JAX computes on a processor the setting changes nothing, and is left as it is.
    if "jax" not in sys.modules and "JAX_DEFAULT_MATMUL_PRECISION" not in os.environ and gpus():
        os.environ["JAX_DEFAULT_MATMUL_PRECISION"] = "highest"


def refuse_little_space() -> None:
    """Refuse an address space that is too small for XLA, which would end the process."""
    if "jax" in sys.modules:
        return
    with contextlib.suppress(ImportError):  # Windows has no such limit
        import resource

        space = resource.getrlimit(resource.RLIMIT_AS)[0]
        if space not in (resource.RLIM_INFINITY, -1) and space < LEAST_SPACE:
            least = f"XLA needs {LEAST_SPACE / 1e9:g} GB to start"
            what = f"the address space is limited to {space / 1e9:.1f} GB, and {least}."
            raise ResourceError(what, where="ulimit -v", fix="Raise it to 4 GB or more: `ulimit -v 4000000`.")


def cache_folder() -> Path:
    """Where compiled programs are kept: JAX_COMPILATION_CACHE_DIR, else the user's cache folder."""
    chosen = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    return Path(chosen) if chosen else user_cache() / "compiled"


def traces_folder() -> Path | None:
    """Where traces of programs are kept in this process; None where they are not."""
    return _traces


def user_cache() -> Path:
    """The folder of what may be deleted at any time."""
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "latens"


def keep_programs() -> None:
    """Keep compiled programs on disk, unless the program itself told JAX of a folder."""
    import jax

    settings: Any = jax.config
    folders = (None, os.environ.get("JAX_COMPILATION_CACHE_DIR"))
    if settings.jax_compilation_cache_dir in folders and settings.jax_enable_compilation_cache:
        enable_compilation_cache()


def enable_compilation_cache() -> Path | None:
    """Keep every compiled program on disk, also small and quick ones.

    Returns:
        The folder, or None where it cannot be written.
    """
    try:
        folder = cache_folder()
        (folder / "traces").mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # read-only, or no home folder at all
        return None
    if not os.access(folder, os.W_OK):
        return None
    import jax

    global _traces
    _traces = folder / "traces"
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # An entry that another process is still writing, or a full disk, costs a compilation and nothing else.
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache")
    return folder
