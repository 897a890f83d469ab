"""Run folders that tests make."""

import json
import os
import socket
from pathlib import Path

from latens.runs.folder import RunFolder

ARGUMENTS = (["latens", "fit", "digits"], {"batch_size": 100, "model": {"hidden": [5, 5]}}, {"rows": 1797}, 3)


def create(path: Path, **options) -> RunFolder:
    return RunFolder.create(path, *ARGUMENTS, **options)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_lock(folder: Path, **changes) -> None:
    content = {
        "pid": os.getpid(),
        "process_start": "",
        "host": socket.gethostname(),
        "boot_id": "another",
        "created": "2020-01-02T03:04:05Z",
        "token": "0" * 16,
    }
    (folder / "lock").write_text(json.dumps(content | changes))
