"""What goes wrong in a training of two processes: for `latens fit --import`, as the environment says it.

`LATENS_TEST_FAULT` goes wrong in process 1 after step 6, or before the first one where it is "version" or "first"; a
full disk and a lost run folder go wrong in process 0, which writes. "within" kills while the first chunk is computed.
`LATENS_TEST_STOP` kills process 0, or one that is alone, after that step, and checkpoints are then written after every
chunk.
"""

import os
import resource
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from latens.training import checkpoint
from latens.training.fit import _StageRun
from latens.workflow import experiment
from latens.workflow.experiment import versions

FAULT, STOP = os.environ.get("LATENS_TEST_FAULT", ""), int(os.environ.get("LATENS_TEST_STOP", "0"))
EARLY = ("first", "within")
SIGNALS = {"kill": signal.SIGKILL, "first": signal.SIGKILL, "stop": signal.SIGSTOP, "term": signal.SIGTERM}
NUMBER = sys.argv[sys.argv.index("--process") + 1] if "--process" in sys.argv else os.environ.get("LATENS_PROCESS", "0")
rows = _StageRun.rows
faults = [FAULT]
WHO = "0" if FAULT in ("full", "gone") else "1"


def faulty(self: _StageRun, first: int, count: int) -> Any:
    """The rows of a chunk, or what goes wrong before it."""
    if STOP and first >= STOP and NUMBER == "0":
        os.kill(os.getpid(), signal.SIGKILL)
    if FAULT and first >= (0 if FAULT in EARLY else 6) and WHO == NUMBER and faults:
        faults.clear()
        Path(os.environ["LATENS_TEST_CLOCK"]).write_text(str(time.time()))
        if FAULT in SIGNALS:
            os.kill(os.getpid(), SIGNALS[FAULT])
        if FAULT == "within":
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGKILL)).start()
        if FAULT == "raise":
            raise RuntimeError("bad rows")
        if FAULT == "exit":
            sys.exit(3)
        if FAULT == "hang":
            time.sleep(1000)
        if FAULT == "full":  # no file may grow beyond what a line of metrics takes
            resource.setrlimit(resource.RLIMIT_FSIZE, (2**12, resource.RLIM_INFINITY))
        if FAULT == "gone":
            shutil.rmtree(sys.argv[sys.argv.index("--out") + 1])
    return rows(self, first, count)


_StageRun.rows = faulty
if FAULT == "version" and NUMBER == "1":
    experiment.versions = lambda: {**versions(), "latens": "0.0.1"}
if STOP or WHO == "0":
    checkpoint.SECONDS_BETWEEN_CHECKPOINTS = -1.0
