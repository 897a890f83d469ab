"""The files of the page, and the page as a folder for any web server or as one file: whole or absent."""

import base64
import gzip
import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from latens.errors import RunFolderError
from latens.runtime.atomic import as_path, resource_errors, write_atomic

_HERE = Path(__file__).parent
_IMPORT = re.compile(r"""(\bfrom\s*|\bimport\s*\(?\s*)"(\.{1,2}/[^"]+\.js)\"""")
_LEFT_OUT = ("app/worker.js",)
"""What a page in one file does not read."""

PLAIN = (".html", ".css", ".js", ".svg")
"""The endings of the files that belong to the page."""


def static_files() -> dict[str, bytes]:
    """Read every file of the page that does not depend on a model, by name relative to the page's root."""
    root = _HERE / "static"
    kept = (p for p in root.rglob("*") if p.suffix in PLAIN)
    return dict(sorted((path.relative_to(root).as_posix(), path.read_bytes()) for path in kept))


def bundled(files: dict[str, bytes]) -> dict[str, bytes]:
    """Write the imports of modules by name from the root ("latens/app/dom.js")."""
    # Without a server modules have no addresses that a relative import could start from.
    return {name: _named(name, body) if name.endswith(".js") else body for name, body in files.items()}


def _named(name: str, body: bytes) -> bytes:
    def absolute(match: re.Match[str]) -> str:
        parts = name.split("/")[:-1]
        for part in match[2].split("/"):
            if part == "..":
                parts.pop()
            elif part != ".":
                parts.append(part)
        return f'{match[1]}"latens/{"/".join(parts)}"'

    return _IMPORT.sub(absolute, body.decode()).encode()


def package_text(name: str) -> str:
    """Read a text file that stands beside this module."""
    return (_HERE / name).read_text(encoding="utf-8")


def single_file(files: Mapping[str, bytes]) -> bytes:
    """Make one HTML file of the page, which opens from a disk without a server."""
    # Every file of the page is in it, compressed by gzip and written as text; it is unpacked when the page reads it.
    needed = {name: body for name, body in files.items() if name.startswith("data/") or name.endswith((".js", ".css"))}
    needed = bundled({name: body for name, body in needed.items() if name not in _LEFT_OUT})
    blocks = "\n".join(_block(name, body) for name, body in needed.items())
    script = package_text("page.js") + package_text("single.js")
    nonce = hashlib.sha256(blocks.encode()).hexdigest()[:32]
    start = files["index.html"].decode().partition("<body>")[2].partition("<main")[0]
    text = package_text("single.html").replace("NONCE", nonce)
    return text.replace("START", start).replace("SCRIPT", script).replace("BLOCKS", blocks).encode()


def _block(name: str, body: bytes) -> str:
    """One file as an element that no browser runs."""
    packed = gzip.compress(body, 7, mtime=0)  # level 9 takes ten times as long for a hundredth
    return f'<script type="text/plain" data-name="{name}">{base64.b64encode(packed).decode()}</script>'


def write_file(path: str | os.PathLike[str], body: bytes, *, force: bool = False) -> Path:
    """Write the page as one file, whole or not at all."""
    path = as_path(path)
    if os.path.lexists(path) and not force:
        fix = "Replace it (--force), or choose another --export."
        raise RunFolderError("there is a file already.", where=str(path), fix=fix)
    with resource_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, body)
    return path
