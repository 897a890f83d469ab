"""JAX's persistent compilation cache, and those of JAX's settings that decide the bits of a run.

The command switches the cache on: a second run starts in half the time.
"""

import os
import sys
import warnings
from pathlib import Path
from typing import Any

_DEFAULTS: dict[str, bool | str | None] = {
    "jax_enable_x64": False,
    "jax_default_prng_impl": "threefry2x32",
    "jax_threefry_partitionable": True,
    "jax_default_matmul_precision": None,
}
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


def cache_folder() -> Path:
    """Where compiled programs are kept: JAX_COMPILATION_CACHE_DIR, else the user's cache folder."""
    chosen = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if chosen:
        return Path(chosen)
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "latens" / "compiled"


def enable_compilation_cache() -> Path | None:
    """Keep every compiled program on disk, also small and quick ones.

    Returns:
        The folder, or None where it cannot be written.
    """
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # read-only, or no home folder at all
        return None
    if not os.access(folder, os.W_OK):
        return None
    import jax

    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # An entry that another process is still writing, or a full disk, costs a compilation and nothing else.
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache")
    return folder
