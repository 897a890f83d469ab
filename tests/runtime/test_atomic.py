"""A file is the old one or the new one, only a torn last line is ever lost, and what goes wrong is said."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from latens.errors import ResourceError, RunFolderError
from latens.runtime import atomic
from latens.runtime.atomic import JsonLines, as_resource_error, process_alive, temporary_beside, write_together
from latens.runtime.safetensors import clean_orphans, write_atomic


def test_write_atomic_replaces_follows_the_umask_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / ("ä b" + "x" * 240)
    before = os.umask(0o027)
    try:
        write_atomic(path, b"old")
        write_atomic(path, (part for part in (b"ne", memoryview(b"w"))))
    finally:
        os.umask(before)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640 or sys.platform == "win32"
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize(
    ("error", "where"),
    [
        (OSError(errno.ENOSPC, "", "a.csv"), "a.csv"),
        (OSError(errno.ENOSPC, "", b"a.csv"), "a.csv"),
        (OSError(errno.ENOSPC, ""), None),
        (OSError(errno.EXDEV, "", "a.csv"), None),
        (RuntimeError("RESOURCE_EXHAUSTED: 3 GB"), "memory"),
        (MemoryError(), "memory"),
        (ValueError("a.csv"), None),
    ],
)
def test_what_the_machine_lacks_is_told_from_what_is_wrong(error: Exception, where: str | None) -> None:
    assert getattr(as_resource_error(error), "where", None) == where


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EACCES, "permission denied"),
        (errno.EROFS, "read-only"),
        (errno.EDQUOT, "quota"),
    ],
)
def test_a_failed_write_keeps_the_old_file_and_says_why(number, message, tmp_path, monkeypatch):
    path = tmp_path / "f"
    path.write_bytes(b"old")

    def fail(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(atomic.os, "fsync", fail)
    with pytest.raises(ResourceError, match=message) as caught:
        write_atomic(path, b"new")
    assert (caught.value.exit_code, caught.value.where) == (7, str(path))
    assert caught.value.fix
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["f"]


def test_names_and_folders_that_cannot_be_are_explained(tmp_path):
    with pytest.raises(ResourceError, match="name is too long"):
        write_atomic(tmp_path / ("x" * 300), b"")
    with pytest.raises(ResourceError, match="does not exist"):
        write_atomic(tmp_path / "a" / "b", b"")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ResourceError, match="is a file"):
        write_atomic(tmp_path / "file" / "b", b"")
    assert os.listdir(tmp_path) == ["file"]


def test_orphans_of_the_dead_go_and_those_of_the_living_stay(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert not process_alive(child.pid)
    assert process_alive(os.getpid())
    mine = temporary_beside(tmp_path / "m")
    dead = Path(str(mine).replace(f"tmp-{os.getpid()}-", f"tmp-{child.pid}-"))
    elsewhere = dead.with_name(dead.name[:-16] + "00000000" + dead.name[-8:])
    old = elsewhere.with_name(".o" + elsewhere.name)
    for path in (mine, elsewhere, old, tmp_path / "user.latens-tmp-1", tmp_path / ".user"):
        path.write_bytes(b"")
    dead.mkdir()
    (dead / "state").write_bytes(b"")
    os.utime(old, (0, 0))
    assert sorted(clean_orphans(tmp_path)) == sorted((dead, old))
    assert {path.name for path in tmp_path.iterdir()} == {mine.name, elsewhere.name, "user.latens-tmp-1", ".user"}
    assert clean_orphans(tmp_path / "absent") == []


@pytest.mark.parametrize("full_at", [1, 2, 3])
def test_files_that_belong_together_are_all_written_or_none(full_at, tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"old")
    real, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == full_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    files = [(tmp_path / name, name.encode()) for name in "abc"]
    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(ResourceError, match="the disk is full") as caught:
        write_together(files)
    assert caught.value.where == str(files[full_at - 1][0])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"old"}
    monkeypatch.setattr(atomic.os, "fsync", real)
    write_together(iter(files))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"a", "b": b"b", "c": b"c"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_written_to_and_stays_one(tmp_path):
    path = tmp_path / "pipe.csv"
    os.mkfifo(path)
    reader = subprocess.Popen(["cat", path], stdout=subprocess.PIPE)
    write_together([(path, b"a,b\n"), (tmp_path / "new.csv", b"c\n")])
    assert reader.communicate(timeout=60)[0] == b"a,b\n"
    assert stat.S_ISFIFO(path.lstat().st_mode)
    assert (tmp_path / "new.csv").read_bytes() == b"c\n"


@pytest.mark.skipif(sys.platform == "win32", reason="needs devices")
def test_a_device_is_never_replaced(tmp_path):
    places = [Path("/dev/null"), Path("/dev/full")]
    if os.geteuid() == 0:
        try:
            os.mknod(tmp_path / "dev.csv", stat.S_IFCHR | 0o666, os.makedev(1, 3))
            places.append(tmp_path / "dev.csv")
        except OSError:  # a container may forbid it
            pass
    before = [path.lstat() for path in places]
    for path in places:
        with pytest.raises(ResourceError, match="this is a device, not a file"):
            write_together([(tmp_path / "new.csv", b""), (path, b"x")])
    assert [path.lstat().st_ino for path in places] == [status.st_ino for status in before]
    assert all(stat.S_ISCHR(path.lstat().st_mode) for path in places)
    assert not (tmp_path / "new.csv").exists()


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="needs /dev/stdout")
@pytest.mark.parametrize("to_file", [False, True])
def test_dev_stdout_is_written_to(to_file, tmp_path):
    program = "from latens.runtime.atomic import write_atomic; write_atomic('/dev/stdout', b'a,b')"
    if to_file:
        with open(tmp_path / "out", "wb") as file:
            subprocess.run([sys.executable, "-c", program], stdout=file, check=True)
        assert (tmp_path / "out").read_bytes() == b"a,b"
    else:
        assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == b"a,b"
    assert os.path.islink("/dev/stdout")


def test_a_torn_last_line_is_ignored_and_never_continued(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for torn in (b'{"a":', b'{"a":3}', b"x" * 200_000, b"\0\0"):
        path.write_bytes(b'{"a":1}\n{"a":2}\n' + torn)
        lines = JsonLines(path)
        assert lines.read() == [{"a": 1}, {"a": 2}]
        lines.append({"a": 4})
        lines.close()
        assert path.read_bytes() == b'{"a":1}\n{"a":2}\n{"a":4}\n'
    path.write_bytes(b"torn from the first")
    lines.append({"a": 1})
    lines.truncate(8)
    assert lines.read() == [{"a": 1}]
    lines.truncate(0)
    assert (lines.read(), lines.length()) == ([], 0)


def test_metrics_that_do_not_fit_the_checkpoint_are_not_papered_over(tmp_path):
    lines = JsonLines(tmp_path / "m")
    lines.truncate(0)
    lines.append({"a": 1})
    with pytest.raises(RunFolderError, match=r"has 8 bytes, the checkpoint counts on 9\. The file was changed"):
        lines.truncate(9)
    with pytest.raises(RunFolderError, match="no line ends at byte 3"):
        lines.truncate(3)
    (tmp_path / "m").write_bytes(b'{"a":1}\n{"a":NaN}\n[]\n')
    with pytest.raises(RunFolderError, match="line 2: not valid JSON"):
        lines.read()
    (tmp_path / "m").write_bytes(b'{"a":1}\n[]\n')
    with pytest.raises(RunFolderError, match="line 2: not a JSON object"):
        lines.read()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_said_to_be_full(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "open_plain", lambda path, flags: os.open("/dev/full", os.O_WRONLY))
    lines = JsonLines(tmp_path / "m")
    with pytest.raises(ResourceError, match="the disk is full"):
        lines.append({"a": 1})
    lines.close()
