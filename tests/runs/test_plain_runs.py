"""A run folder holds plain files and folders; whatever else a stranger put there is refused, and nothing is written."""

import contextlib
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_fixtures import Result, dead_process

from latens.errors import LatensError, RunFolderError
from latens.runs.folder import OWN_FILES, OWN_FOLDERS, RunFolder
from latens.runtime.atomic import JsonLines, open_plain, temporary_beside

pytest_plugins = ("cli_fixtures",)
pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes and links")


def stopped_run(folder: Path) -> Path:
    with RunFolder.create(folder, "latens", {"a": 1}, {"spec": "digits"}, 0) as run:
        run.append_metrics({"step": 1})
        run.set_state("stopped")
    return folder


def put(kind: str, place: Path, theirs: Path) -> str:
    """Something that is no plain file, in place of one; what it is called."""
    place.parent.mkdir(exist_ok=True)
    place.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(place)
        return "a named pipe"
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as made, contextlib.chdir(place.parent):
            made.bind(place.name)  # the name of a socket holds 108 characters
        return "a socket"
    if kind == "folder":
        place.mkdir()
        return "a folder"
    place.symlink_to(theirs)
    return "a symbolic link"


@pytest.mark.parametrize("kind", ["link", "pipe", "socket", "folder"])
def test_no_name_of_a_run_may_be_anything_but_a_file(kind, tmp_path):
    theirs = tmp_path / "theirs"
    theirs.write_text("theirs")
    for number, name in enumerate([*sorted(OWN_FILES), "checkpoints/step-0000000001/COMMIT", "figures/a.png"]):
        run = stopped_run(tmp_path / str(number))
        (run / "checkpoints" / "step-0000000001").mkdir(parents=True)
        if kind == "folder" and "/" in name:
            continue  # folders in folders are fine
        words = put(kind, run / name, theirs)
        for lock in (True, False):
            with pytest.raises(RunFolderError, match=f"this is {words}; a run folder holds plain files") as caught:
                RunFolder.open(run, lock=lock)
            assert caught.value.where == str(run / name)
    assert theirs.read_text() == "theirs"


def test_no_folder_of_a_run_may_be_a_link(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in sorted(OWN_FOLDERS):
        run = stopped_run(tmp_path / f"run-{name}")
        (run / name).symlink_to(outside)
        with pytest.raises(RunFolderError, match="a symbolic link"):
            RunFolder.open(run)
    assert not list(outside.iterdir())


def test_a_run_reached_by_a_link_and_strangers_beside_it_are_fine(tmp_path):
    run = stopped_run(tmp_path / "run")
    (run / "data.csv").symlink_to(tmp_path / "elsewhere.csv")  # a name that latens never opens
    (tmp_path / "latest").symlink_to(run)
    with RunFolder.open(tmp_path / "latest") as opened:
        opened.append_metrics({"step": 2})
        assert opened.path == tmp_path / "latest"
    assert len(JsonLines(run / "metrics.jsonl").read()) == 2


def test_what_is_appended_to_has_one_name(tmp_path):
    run = stopped_run(tmp_path / "run")
    before = (run / "metrics.jsonl").read_bytes()
    os.link(run / "metrics.jsonl", tmp_path / "second")
    with RunFolder.open(run) as opened:
        assert opened.read_metrics() == [{"step": 1}]  # reading harms nobody
        for write in (lambda: opened.append_metrics({"step": 2}), lambda: opened.truncate_metrics(0)):
            with pytest.raises(RunFolderError, match="2 names"):
                write()
    assert (tmp_path / "second").read_bytes() == before


def test_a_link_that_appears_later_is_not_followed(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.write_text("theirs")
    with RunFolder.open(stopped_run(tmp_path / "run")) as run:
        put("link", run.path / "metrics.jsonl", theirs)
        put("link", run.path / "timings.jsonl", theirs)
        for write in (run.append_metrics, run.append_timing):
            with pytest.raises(RunFolderError, match="a symbolic link"):
                write({"step": 1})
        with pytest.raises(RunFolderError, match="a symbolic link"):
            run.truncate_metrics(0)
    assert theirs.read_text() == "theirs"


def test_devices_and_pipes_are_opened_by_no_flag(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, flags in ((Path("/dev/zero"), os.O_RDONLY), (Path("/dev/null"), os.O_WRONLY), (tmp_path / "pipe", 1)):
        with pytest.raises(RunFolderError, match=r"a device|a named pipe"):
            open_plain(path, flags)
    with pytest.raises(FileNotFoundError):
        open_plain(tmp_path / "nothing", os.O_RDONLY)


@pytest.mark.parametrize("name", ["metrics.jsonl", "log.txt", "checkpoints", "run.json", "lock", "report.json"])
def test_no_command_follows_a_link_in_a_run(
    name: str, latens: Callable[..., Result], whole_run: Path, tmp_path: Path
) -> None:
    run, theirs = tmp_path / "run", tmp_path / "theirs"
    shutil.copytree(whole_run, run)
    theirs.mkdir() if name == "checkpoints" else theirs.write_text("theirs")
    if (run / name).is_dir():
        shutil.rmtree(run / name)
    put("link", run / name, theirs)
    commands = ["resume", "evaluate", "report", "explore", "refit", "info"]
    calls: list[tuple[object, ...]] = [(command, run) for command in commands]
    calls += [("report", run, "--only", "figures"), ("evaluate", run, whole_run)]
    calls += [("report", run, "--only", "animation", "--name", "walk", "--out", tmp_path / "a.gif")]
    for words in calls:
        result = latens(*words)
        assert (result.code, "a symbolic link" in result.err) == (6, True), (words, result.err)
    assert list(theirs.iterdir()) == [] if name == "checkpoints" else theirs.read_text() == "theirs"


def test_data_and_model_files_that_are_pipes_are_refused_at_once(latens: Callable[..., Result], tmp_path: Path) -> None:
    from latens import VAE, load

    for name in ("d", "d.csv", "d.npz", "d.npy", "d.parquet", "m.safetensors"):
        os.mkfifo(tmp_path / name)
    for name in ("d", "d.csv", "d.npz", "d.npy", "d.parquet"):
        result = latens("check", tmp_path / name)
        assert (result.code, "not a regular file" in result.err) == (3, True), result.err
    for open_ in (load, VAE.load):
        with pytest.raises(LatensError, match="not an ordinary file"):
            open_(tmp_path / "m.safetensors")


# --- killed ---


def test_what_a_killed_command_left_is_removed_by_the_next(tmp_path, monkeypatch):
    run = stopped_run(tmp_path / "run")
    (run / "figures").mkdir()
    kept = run / "figures" / ".report.json.theirs"
    kept.write_text("theirs")
    left = [temporary_beside(run / "report.json"), temporary_beside(run / "figures" / "a.png")]
    dead = [path.with_name(path.name.replace(f"-{os.getpid()}-", f"-{dead_process()}-")) for path in left]
    for path in dead:
        path.write_text("{")
    RunFolder.open(run, lock=False)
    assert all(path.exists() for path in dead)  # who only reads changes nothing
    RunFolder.open(run).release()
    assert not any(path.exists() for path in dead)
    assert kept.exists()


def test_writing_a_file_again_removes_what_a_killed_write_left(tmp_path):
    from latens.figures.style import new_axes, save
    from latens.runtime.atomic import write_atomic

    others = temporary_beside(tmp_path / "b.json")
    left = [temporary_beside(tmp_path / name) for name in ("a.json", "picture.png")]
    dead = [path.with_name(path.name.replace(f"-{os.getpid()}-", f"-{dead_process()}-")) for path in (*left, others)]
    for path in dead:
        path.write_text("{")
    write_atomic(tmp_path / "a.json", b"{}")
    save(new_axes(), tmp_path / "picture")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [dead[2].name, "a.json", "picture.png", "picture.svg"]
    )


def test_a_figure_that_was_killed_is_not_in_the_way_of_force(tmp_path, monkeypatch):
    from latens.figures.style import new_axes, save

    run = stopped_run(tmp_path / "run")
    monkeypatch.setattr(os, "replace", lambda *paths: (_ for _ in ()).throw(KeyboardInterrupt))
    monkeypatch.setattr(Path, "unlink", lambda *args, **options: None)  # as a kill would
    with pytest.raises(KeyboardInterrupt):
        save(new_axes(), run / "figures" / "a")
    monkeypatch.undo()
    assert [path.name.startswith(".a.png.") for path in (run / "figures").iterdir()] == [True]
    RunFolder.create(run, "latens", {}, {}, 0, force=True).release()
    assert sorted(path.name for path in run.iterdir()) == ["config.json", "run.json"]
