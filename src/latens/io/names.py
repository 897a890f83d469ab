"""Names of files: those that a folder or a glob stands for, and those of new files."""

import os
from collections.abc import Iterable
from pathlib import Path

from latens.io.file_limits import refuse_away


def is_glob(spec: str) -> bool:
    """Say whether a path stands for several files."""
    return not set("*?[").isdisjoint(spec)


def fixed_folder(path: Path) -> Path:
    """Find the folder that all files of a glob are in."""
    fixed = next(i for i, part in enumerate(path.parts) if is_glob(part))
    return Path(*path.parts[:fixed])


def shown_files(path: Path, root: Path) -> list[Path]:
    """The files of a folder and its sub-folders, or of a glob, sorted, but those that are hidden (`_SUCCESS`)."""
    found: Iterable[Path] = path.rglob("*") if path.is_dir() else root.glob(str(path.relative_to(root)))
    plain = (one for one in found if one.is_file() and not any(p[0] in "._" for p in one.relative_to(root).parts))
    shown = sorted(plain, key=lambda one: one.relative_to(root).as_posix())
    refuse_away(shown, root)
    return shown


def numbered(path: Path, number: int) -> Path:
    """The name of a table beside another one."""
    return path.with_name(f"{path.stem}-{number + 1:03d}{path.suffix}")


def free_name(stem: str, ending: str) -> str:
    """The name, or with a number where there is such a file: nothing is written over that was not named."""
    path, number = f"{stem}{ending}", 2
    while os.path.exists(path):
        path, number = f"{stem}-{number}{ending}", number + 1
    return path
