"""The page itself: plain files that ship with the package."""

from importlib.resources import files
from importlib.resources.abc import Traversable

PLAIN = (".html", ".css", ".js", ".svg")
"""The endings of the files that belong to the page; a licence has none."""


def static_files() -> dict[str, bytes]:
    """Read every file of the page that does not depend on a model.

    Returns:
        Contents by name relative to the page's root (`index.html`, `app/main.js`, ...).
    """
    found: dict[str, bytes] = {}
    _collect(files("latens.explorer") / "static", "", found)
    return dict(sorted(found.items()))


def _collect(folder: Traversable, prefix: str, found: dict[str, bytes]) -> None:
    for entry in folder.iterdir():
        if entry.is_dir():
            _collect(entry, f"{prefix}{entry.name}/", found)
        elif entry.name.endswith(PLAIN) or entry.name == "LICENSE":
            found[prefix + entry.name] = entry.read_bytes()
