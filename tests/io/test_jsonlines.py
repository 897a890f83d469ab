"""Only a torn last line is ever lost."""

import os

import pytest

from latens.errors import ResourceError, RunFolderError
from latens.io import json
from latens.io.json import JsonLines


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
    monkeypatch.setattr(json, "open_plain", lambda path, flags: os.open("/dev/full", os.O_WRONLY))
    lines = JsonLines(tmp_path / "m")
    with pytest.raises(ResourceError, match="the disk is full"):
        lines.append({"a": 1})
    lines.close()
