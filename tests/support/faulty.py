"""What goes wrong in a training of two processes: for `latens fit --import`, as the environment says it.

`LATENS_TEST_FAULT` goes wrong in process 1 after step 6. `LATENS_TEST_STOP` kills process 0, or one that is alone,
after that step, and checkpoints are then written after every chunk.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from latens.training.fit import _StageRun
from latens.workflow import experiment

FAULT, STOP = os.environ.get("LATENS_TEST_FAULT", ""), int(os.environ.get("LATENS_TEST_STOP", "0"))
SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "term": signal.SIGTERM}
NUMBER = sys.argv[sys.argv.index("--process") + 1] if "--process" in sys.argv else os.environ.get("LATENS_PROCESS", "0")
rows = _StageRun.rows
faults = [FAULT]


def faulty(self: _StageRun, first: int, count: int) -> Any:
    """The rows of a chunk, or what goes wrong before it."""
    if STOP and first >= STOP and NUMBER == "0":
        os.kill(os.getpid(), signal.SIGKILL)
    if FAULT and first >= 6 and NUMBER == "1" and faults:
        faults.clear()
        Path(os.environ["LATENS_TEST_CLOCK"]).write_text(str(time.time()))
        if FAULT in SIGNALS:
            os.kill(os.getpid(), SIGNALS[FAULT])
        if FAULT == "raise":
            raise RuntimeError("bad rows")
        if FAULT == "exit":
            sys.exit(3)
        if FAULT == "hang":
            time.sleep(1000)
    return rows(self, first, count)


_StageRun.rows = faulty
if STOP:
    experiment.SECONDS_BETWEEN_CHECKPOINTS = -1.0
