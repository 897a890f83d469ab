"""One process holds a run folder, and a dead one does not."""

import os
import re
import socket
import subprocess
import sys
import time

import pytest
from run_folders import create, names, write_lock

from latens.errors import RunFolderError
from latens.runs.folder import Lock, RunFolder, holder_of, read_lock


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
from latens.runs.folder import RunFolder
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
    deadline = time.monotonic() + 10
    while holder_of(tmp_path / "lock") is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    with RunFolder.open(tmp_path) as run:
        assert re.search(rf"held by process {child.pid} of .*, which is no longer alive", run.notice)
        assert run.read_metrics() == [{"step": 1}]
    child.wait()


@pytest.mark.parametrize("host", [socket.gethostname(), "elsewhere"])
def test_what_a_dead_process_left_is_taken_over_and_explained(host, tmp_path):
    # Also a process id that lives again, and what an earlier version wrote: the system's lock alone counts.
    create(tmp_path).release()
    write_lock(tmp_path, host=host)
    assert not RunFolder.open(tmp_path, lock=False).live
    with RunFolder.open(tmp_path) as run:
        assert f"held by process {os.getpid()} of 2020-01-02T03:04:05Z, which is no longer alive" in run.notice
        assert f'"host":"{socket.gethostname()}"' in (tmp_path / "lock").read_text()
        assert RunFolder.open(tmp_path, lock=False).live
    assert names(tmp_path) == ["config.json", "run.json"]


def test_an_empty_lock_is_nobody_s(tmp_path):
    create(tmp_path).release()
    (tmp_path / "lock").write_bytes(b"")
    with RunFolder.open(tmp_path) as run:
        assert run.notice == ""


def test_only_one_of_many_takes_a_left_lock(tmp_path):
    create(tmp_path).release()
    write_lock(tmp_path)
    program = """
import sys, time
from pathlib import Path
from run_folders import create, names, write_lock

from latens.errors import RunFolderError
from latens.runs.folder import Lock
while time.time() < float(sys.argv[2]):
    pass
try:
    lock = Lock(Path(sys.argv[1]))
    print("took")
    time.sleep(1.5)
    lock.release()
except RunFolderError as error:
    print("refused")
"""
    command = [sys.executable, "-c", program, str(tmp_path / "lock"), str(time.time() + 0.7)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    answers = sorted(child.communicate(timeout=60)[0].strip() for child in children)
    assert answers == ["refused"] * 5 + ["took"]
    assert not (tmp_path / "lock").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_that_outlives_the_holder_does_not_hold(tmp_path):
    program = """
import os, sys, time
from pathlib import Path
from latens.runs.folder import Lock
lock = Lock(Path(sys.argv[1]) / "lock")
if os.fork() == 0:
    print(os.getpid(), flush=True)
    time.sleep(60)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        assert holder_of(tmp_path / "lock") == read_lock(tmp_path / "lock")
        parent.kill()
        parent.wait()
        os.kill(child, 0)  # still there
        assert holder_of(tmp_path / "lock") is None
        Lock(tmp_path / "lock").release()
    finally:
        os.kill(child, 9)
        parent.stdout.close()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize(("kind", "words"), [("link", "a symbolic link"), ("pipe", "a named pipe")])
def test_a_lock_that_is_no_plain_file_is_refused(kind, words, tmp_path):
    (tmp_path / "theirs").write_text("theirs")
    target = tmp_path / "run"
    target.mkdir()
    os.mkfifo(target / "lock") if kind == "pipe" else (target / "lock").symlink_to(tmp_path / "theirs")
    for attempt in (Lock, holder_of):
        with pytest.raises(RunFolderError, match=words):
            attempt(target / "lock")
    assert (tmp_path / "theirs").read_text() == "theirs"
