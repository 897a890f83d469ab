"""One process holds a run folder, and a dead one does not."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from latens.errors import RunFolderError
from latens.lock import Lock, boot_id, holder_of
from latens.runs import RunFolder

ARGUMENTS = (["latens", "fit", "digits"], {"batch_size": 100, "model": {"hidden": [5, 5]}}, {"rows": 1797}, 3)


def create(path: Path, **options) -> RunFolder:
    return RunFolder.create(path, *ARGUMENTS, **options)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def dead_process() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def write_lock(folder: Path, **changes) -> None:
    content = {
        "pid": os.getpid(),
        "process_start": "",
        "host": socket.gethostname(),
        "boot_id": boot_id(),
        "created": "2020-01-02T03:04:05Z",
        "token": "0" * 16,
    }
    (folder / "lock").write_text(json.dumps(content | changes))


def test_a_folder_in_use_is_refused_with_the_name_of_its_holder(tmp_path):
    with create(tmp_path):
        for attempt in (
            lambda: create(tmp_path),
            lambda: create(tmp_path, force=True),
            lambda: RunFolder.open(tmp_path),
        ):
            with pytest.raises(RunFolderError, match=f"in use by process {os.getpid()} on") as caught:
                attempt()
            assert caught.value.exit_code == 6
        assert RunFolder.open(tmp_path, lock=False).info["state"] == "running"
        assert (tmp_path / "lock").exists()
    RunFolder.open(tmp_path).release()


def test_a_holder_in_another_process_is_respected_until_it_is_killed(tmp_path):
    program = """
import sys, time
from latens.runs import RunFolder
run = RunFolder.create(sys.argv[1], ["latens"], {}, {}, 0)
run.append_metrics({"step": 1})
print("held", flush=True)
time.sleep(60)
"""
    child = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(RunFolderError, match=f"in use by process {child.pid} on"):
            RunFolder.open(tmp_path)
    finally:
        child.kill()
        child.stdout.close()
    # Not yet collected by us, its parent, it is dead all the same where the system tells.
    if sys.platform != "linux":
        child.wait()
    deadline = time.monotonic() + 10
    while holder_of(tmp_path / "lock") is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    with RunFolder.open(tmp_path) as run:
        assert re.search(rf"held by process {child.pid} of .*, which is no longer alive", run.notice)
        assert run.read_metrics() == [{"step": 1}]
    child.wait()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"pid": 2**31 - 2}, "no longer alive"),
        ({"pid": -1}, "no longer alive"),
        ({"boot_id": "another"}, "restarted since"),
        ({"process_start": "1"}, "now belongs to another process"),
        (None, "never finished"),
    ],
)
def test_a_stale_lock_is_taken_over_and_explained(changes, reason, tmp_path):
    if reason in ("restarted since", "now belongs to another process") and not boot_id():
        pytest.skip("the system tells neither boot id nor start times")
    create(tmp_path).release()
    if changes is None:
        (tmp_path / "lock").write_bytes(b"")
    else:
        write_lock(tmp_path, **changes)
    with RunFolder.open(tmp_path) as run:
        assert reason in run.notice
        assert holder_of(tmp_path / "lock")["pid"] == os.getpid()
    assert names(tmp_path) == ["config.json", "run.json"]


def test_a_lock_of_another_host_holds_and_says_how_to_lift_it(tmp_path):
    write_lock(tmp_path, host="elsewhere", pid=1)
    with pytest.raises(RunFolderError, match=r"in use by process 1 on elsewhere .* delete .*lock\."):
        create(tmp_path)


def test_only_one_of_many_takes_a_stale_lock(tmp_path):
    create(tmp_path).release()
    write_lock(tmp_path, pid=dead_process())
    program = """
import sys, time
from pathlib import Path
from latens.errors import RunFolderError
from latens.lock import Lock
while time.time() < float(sys.argv[2]):
    pass
try:
    lock = Lock(Path(sys.argv[1]))
    print("took")
    time.sleep(1)
    lock.release()
except RunFolderError as error:
    print("refused")
"""
    command = [sys.executable, "-c", program, str(tmp_path / "lock"), str(time.time() + 0.7)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    answers = sorted(child.communicate(timeout=60)[0].strip() for child in children)
    assert answers == ["refused"] * 5 + ["took"]
    assert not (tmp_path / "lock").exists()


def test_a_lock_that_is_no_longer_ours_is_left_alone(tmp_path):
    lock = Lock(tmp_path / "lock")
    write_lock(tmp_path)
    lock.release()
    assert holder_of(tmp_path / "lock")["token"] == "0" * 16
