"""The persistent compilation cache of JAX, and those of its settings that decide the bits of a run.

The command and the estimators switch the cache on: a second run starts in half the time. The environment variable
JAX_ENABLE_COMPILATION_CACHE=0 keeps it off.
"""

import contextlib
import importlib.util
import os
import sys
import warnings
from functools import cache
from pathlib import Path
from typing import Any

from latens.errors import ConfigError, ResourceError

LEAST_SPACE = 2 * 10**9
"""Bytes of address space with which XLA can start on a machine of few cores."""

_DEFAULTS: dict[str, bool | str | None] = {
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
        return {name: getattr(config, name) for name in _DEFAULTS}
    return {name: _from_environment(name, default) for name, default in _DEFAULTS.items()}


def _from_environment(name: str, default: bool | str | None) -> bool | str | None:
    text = os.environ.get(name.upper())
    if text is None:
        return default
    return text.lower() in _YES if isinstance(default, bool) else text or default


def check_generator(key: Any) -> None:
    """Refuse a key whose noise would not be that of its row, or not the noise of every other machine."""
    # The other generators of JAX draw the numbers of many keys at once from the first of them: the noise of a row would
    # depend on its place in the batch.
    import jax

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


def less_work(level: int) -> dict[str, Any]:
    """Options of a program for which LLVM does less on a CPU: 0 where it runs once, 1 a few times, 2 on."""
    import jax

    plain = jax.default_backend() != "cpu" or jax.config.read("jax_disable_most_optimizations")
    if plain:
        return {}
    # XLA's older code generator compiles a third faster. Evaluation runs as fast and gives the same numbers; a step of
    # training takes longer: 40 % of pictures, 7 % of a table of 21 columns, -3 % of one of 80.
    quick = {"xla_cpu_use_fusion_emitters": False}
    return {"xla_backend_optimization_level": level} | (quick if level < 2 and _takes(**quick) else {})


@cache
def _takes(**options: object) -> bool:
    """Whether this version of XLA knows an option."""
    import jax

    try:
        jax.jit(lambda: 0.0, compiler_options=options).lower().compile()
    except Exception:  # XLA names no class of its own for it
        return False
    return True


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
