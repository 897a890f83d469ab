"""What `latens info machine` looks at: versions, devices, memory, disk, a compiled step, the allocator."""

import importlib.metadata
import os
import platform
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from latens import __version__
from latens.cli.context import Context
from latens.io.compilation import cache_folder, enable_compilation_cache
from latens.io.process import free_memory, total_memory
from latens.io.terminal import table

FIRST = ("latens", "jax", "jaxlib", "equinox", "optax", "numpy")
"""What a report of a bug names first; the other packages that latens requires follow."""

MALLOC = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_")


def machine(context: Context) -> int:
    """Whether this machine can do what latens asks of it."""
    findings = examine()
    rows = [(("ok  " if f["ok"] else "LOOK"), f["name"], f["found"]) for f in findings]
    lines = [table(rows)]
    lines += [f"{f['name']}: {f['fix']}" for f in findings if f["fix"]]
    context.result({"ok": all(f["ok"] for f in findings), "findings": findings}, "\n".join(lines))
    return 0


def examine() -> list[dict[str, Any]]:
    """Look at this machine."""
    # returns: one entry for each thing looked at: `name`, `ok`, `found`, and `fix` where something can be done.
    cache = enable_compilation_cache()
    found = [_versions(), _devices(), _memory(), _disk(), _cache(cache)]
    found += [_compiled_step(), *_allocator()]
    return found


def _finding(name: str, found: str, *, ok: bool = True, fix: str = "") -> dict[str, Any]:
    return {"name": name, "ok": ok, "found": found, "fix": fix}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def required() -> list[str]:
    """The packages that latens requires, those first that a report of a bug names first."""
    lines = [line for line in importlib.metadata.requires("latens") or [] if ";" not in line]
    return list(dict.fromkeys([*FIRST, *(re.split(r"[^\w.-]", line.strip())[0] for line in lines)]))


def version_line() -> str:
    """What `latens --version` prints: what a report of a bug needs, without importing JAX."""
    versions = ", ".join(f"{package} {_version(package) or 'missing'}" for package in FIRST[1:])
    return f"latens {__version__} ({_platform()}; {versions})"


def _platform() -> str:
    return f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"


def _versions() -> dict[str, Any]:
    versions = {package: _version(package) for package in required()}
    missing = [package for package, version in versions.items() if version is None]
    text = ", ".join(f"{package} {version or 'missing'}" for package, version in versions.items())
    fix = f"pip install {' '.join(missing)}" if missing else ""
    return _finding("versions", f"{platform.platform()}, Python {platform.python_version()}; {text}",
                    ok=not missing, fix=fix)  # fmt: skip


def _devices() -> dict[str, Any]:
    import jax

    devices = jax.devices()
    kinds = ", ".join(f"{d} ({d.device_kind})" if d.device_kind != d.platform else str(d) for d in devices)
    return _finding("devices", f"{jax.default_backend()}: {kinds}")


def _memory() -> dict[str, Any]:
    free = free_memory()
    if free is None:
        return _finding("memory", "this system does not say")
    low = free < 1 << 30
    whole = total_memory()
    fix = "Close other programs: training needs about 1 GB in addition to the data." if low else ""
    return _finding("memory", f"{free / 2**30:.1f} of {(whole or free) / 2**30:.1f} GB free", ok=not low, fix=fix)


def _disk() -> dict[str, Any]:
    free = shutil.disk_usage(".").free
    low = free < 1 << 30
    return _finding("disk", f"{free / 2**30:.1f} GB free here", ok=not low, fix="Free some space." if low else "")


def _cache(folder: Path | None) -> dict[str, Any]:
    if folder is None:
        fix = "Set JAX_COMPILATION_CACHE_DIR to a folder that can be written: runs then start faster."
        return _finding("compilation cache", f"{cache_folder()} cannot be written", ok=False, fix=fix)
    size = sum(entry.stat().st_size for entry in os.scandir(folder) if entry.is_file())
    return _finding("compilation cache", f"{folder}, {size / 2**20:.0f} MB (may be deleted at any time)")


def _compiled_step() -> dict[str, Any]:
    """A training step of a small model, compiled and run; its ELBO must be a number."""
    import math

    import numpy as np

    from latens.config import override
    from latens.data import load
    from latens.recipes import get_recipe
    from latens.workflow.experiment import prepare, train

    rows = (np.arange(64 * 16).reshape(64, 16) % 3 == 0).astype(np.uint8)
    config = override(get_recipe("default").config, {"training.steps": 1, "network.hidden": [8]})
    began = time.perf_counter()
    _, result = train(prepare(config, load(rows, name="machine")))
    value = result.history[-1]["train_objective"]
    seconds = time.perf_counter() - began
    return _finding("one step", f"compiled and run in {seconds:.1f} s", ok=math.isfinite(value))


def _allocator() -> list[dict[str, Any]]:
    """glibc gives large buffers back to the system after every step, which convolutions feel (about 25 %)."""
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return []
    if all(os.environ.get(name) for name in MALLOC):
        return [_finding("allocator", "keeps large buffers")]
    fix = "`export MALLOC_TRIM_THRESHOLD_=4294967296 MALLOC_MMAP_MAX_=0` makes large models up to 25 % faster."
    return [_finding("allocator", "glibc as it comes", fix=fix)]
