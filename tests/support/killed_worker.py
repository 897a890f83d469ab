"""What is killed while workers encode, for `latens encode --import`, as `LATENS_TEST_KILL` says.

"worker": worker 1, by kill -9 while it writes its second part. "command": what started the workers, as soon as worker 0
has written a part. The workers leave their process ids in `LATENS_TEST_PIDS`.
"""

import os
import signal
from collections.abc import Iterable
from pathlib import Path

from latens.cli import parts
from latens.io.atomic import temporary_beside

WHO = os.environ["LATENS_TEST_KILL"]
write = parts.write_atomic
written: list[Path] = []


def killed(path: Path, data: bytes | Iterable[bytes | memoryview]) -> None:
    """Write a part, or half of it."""
    if (WHO, NUMBER, len(written)) == ("worker", "1", 1):
        assert isinstance(data, bytes)
        temporary_beside(path).write_bytes(data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    write(path, data)
    written.append(path)
    if (WHO, NUMBER) == ("command", "0"):
        os.kill(int(os.environ["LATENS_PARENT"]), signal.SIGKILL)
        while str(os.getppid()) == os.environ["LATENS_PARENT"]:
            pass


NUMBER = os.environ.get("LATENS_WORKER", "").partition("/")[0]
if NUMBER:
    (Path(os.environ["LATENS_TEST_PIDS"]) / NUMBER).write_text(str(os.getpid()))
    parts.write_atomic = killed
