"""The files of the page, and the page as a folder for any static web server: whole or absent."""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from importlib.resources import files as package_files
from importlib.resources.abc import Traversable
from pathlib import Path

from latens.errors import RunFolderError
from latens.io.atomic import clean_orphans, is_temporary, resource_errors, sync_folder, temporary_beside, write_synced

_DATA = re.compile(r"data/[a-z][a-z0-9-]*\.(bin|json|safetensors)")

PLAIN = (".html", ".css", ".js", ".svg")
"""The endings of the files that belong to the page; a licence has none."""


def static_files() -> dict[str, bytes]:
    """Read every file of the page that does not depend on a model.

    Returns:
        Contents by name relative to the page's root (`index.html`, `app/main.js`, ...).
    """
    found: dict[str, bytes] = {}
    _collect(package_files("latens.explorer") / "static", "", found)
    return dict(sorted(found.items()))


def _collect(folder: Traversable, prefix: str, found: dict[str, bytes]) -> None:
    for entry in folder.iterdir():
        if entry.is_dir():
            _collect(entry, f"{prefix}{entry.name}/", found)
        elif entry.name.endswith(PLAIN) or entry.name == "LICENSE":
            found[prefix + entry.name] = entry.read_bytes()


def write_folder(path: str | os.PathLike[str], files: Mapping[str, bytes], *, force: bool = False) -> Path:
    """Write files so that the folder is the old one or the new one, never a half.

    Args:
        path: The folder.
        files: Contents by name relative to the folder.
        force: Whether to replace a former export in the folder; files that latens did not write are never replaced.

    Returns:
        The folder.

    Raises:
        RunFolderError: The folder is not empty.
        ResourceError: The disk refuses.
    """
    path = Path(path)
    with resource_errors(path):
        _refuse_others(path, force)
        path.parent.mkdir(parents=True, exist_ok=True)
        clean_orphans(path.parent)
        made = temporary_beside(path)
        try:
            for name, content in files.items():
                target = made / name
                target.parent.mkdir(parents=True, exist_ok=True)
                write_synced(target, content)
            _put(made, path)
        finally:
            shutil.rmtree(made, ignore_errors=True)
        sync_folder(path.parent)
    return path


def _put(made: Path, path: Path) -> None:
    """Rename the new folder over the old one, which waits beside it meanwhile."""
    if not path.exists():
        os.replace(made, path)
        return
    old = temporary_beside(path)
    os.replace(path, old)
    try:
        os.replace(made, path)
    except BaseException:
        os.replace(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _refuse_others(path: Path, force: bool) -> None:
    if not path.exists():
        return
    if not path.is_dir():
        raise RunFolderError("this is a file, not a folder.", where=str(path), fix="Choose another --export.")
    names = sorted(_names(path))
    if not names:
        return
    own = set(static_files())
    former = "index.html" in names and "data/manifest.json" in names
    foreign = [name for name in names if not (former and (name in own or _DATA.fullmatch(name)))]
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        what = f"the folder is not empty and {foreign[0]!r}{more} was not written by latens."
        fix = "Move it away, or choose another --export."
        fix += " --force removes nothing that is not latens' own." if force else ""
        raise RunFolderError(what, where=str(path), fix=fix)
    if not force:
        what = "the folder holds an explorer already."
        raise RunFolderError(what, where=str(path), fix="Replace it (--force), or choose another --export.")


def _names(folder: Path) -> Iterator[str]:
    """Every file below, and every link, by its name relative to the folder."""
    for parent, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        for name in files + links:
            if not is_temporary(name):
                yield Path(os.path.relpath(os.path.join(parent, name), folder)).as_posix()
