"""The run folder: there at once, complete, and never mixed with other people's files."""

import json
import logging
import re
import subprocess
import sys

import numpy as np
import pytest
from cli_fixtures import dead_process
from run_folders import ARGUMENTS, create, names, write_lock

from latens.errors import ConfigError, RunFolderError
from latens.runs.folder import RunFolder, default_path


def test_a_new_run_is_described_at_once(tmp_path):
    path = tmp_path / "deep" / "ein Lauf ü"
    with create(path) as run:
        assert names(path) == ["config.json", "lock", "run.json"]
        assert run.live
        info = json.loads((path / "run.json").read_text())
    assert json.loads((path / "config.json").read_text()) == ARGUMENTS[1]
    assert names(path) == ["config.json", "run.json"]
    assert not run.live
    assert (info["command"], info["data"], info["seed"]) == (ARGUMENTS[0], ARGUMENTS[2], 3)
    assert (info["format"], info["format_version"], info["state"], info["ended"]) == ("latens-run", 1, "running", None)
    assert info["versions"]["numpy"] == np.__version__
    assert info["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert sorted(info["versions"]) == ["equinox", "jax", "jaxlib", "latens", "numpy", "optax", "python"]
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", info["id"])


def test_settings_of_jax_that_decide_bits_are_told_apart(tmp_path):
    import jax

    with create(tmp_path / "r") as run:
        assert (run.info["jax"]["jax_enable_x64"], run.differences()) == (False, [])
        assert run.info["jax"]["jax_default_prng_impl"] == "threefry2x32"
        with jax.enable_x64(True), jax.threefry_partitionable(False):
            assert run.differences() == ["jax_enable_x64 False -> True", "jax_threefry_partitionable True -> False"]
        with jax.default_prng_impl("rbg"), jax.default_matmul_precision("bfloat16"):
            changed = ["jax_default_prng_impl threefry2x32 -> rbg", "jax_default_matmul_precision None -> bfloat16"]
            assert run.differences() == changed
        del run.info["jax"]  # a run of before
        with jax.enable_x64(True):
            assert run.differences() == []


def test_creating_a_run_is_quick_and_imports_nothing_heavy(tmp_path):
    program = """
import sys, time
began = time.perf_counter()
from latens.runs.folder import RunFolder
with RunFolder.create(sys.argv[1], ["latens"], {}, {}, 0) as run:
    run.append_metrics({"step": 1})
spent = time.perf_counter() - began
print(spent, [name for name in ("jax", "numpy", "equinox", "optax", "sklearn", "matplotlib") if name in sys.modules])
"""
    spent = []
    for attempt in range(3):
        command = [sys.executable, "-c", program, str(tmp_path / str(attempt))]
        seconds, modules = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split(" ", 1)
        spent.append(float(seconds))
        assert modules.strip() == "[]"
    assert min(spent) < 0.3  # the best of three: another test may have the processor


def test_states_and_times_are_kept(tmp_path):
    with create(tmp_path / "r") as run:
        run.set_state("done", best=-87.5, error_bar=float("nan"), epochs=np.int64(3))
    again = RunFolder.open(tmp_path / "r", lock=False)
    assert again.info == run.info
    assert (again.info["state"], again.info["best"], again.info["error_bar"]) == ("done", -87.5, "nan")
    assert again.info["epochs"] == 3
    assert again.info["ended"] >= again.info["created"]
    assert again.config == ARGUMENTS[1]
    with RunFolder.open(tmp_path / "r") as run:
        run.set_state("running")
        run.set_config({"epochs": (3, 4)})
        assert run.info["ended"] is None
        with pytest.raises(ValueError, match="'asleep' is not one of"):
            run.set_state("asleep")
    assert run.config == RunFolder.open(tmp_path / "r", lock=False).config == {"epochs": [3, 4]}
    for change in (again.set_state, run.set_state):
        with pytest.raises(RunFolderError, match="opened for reading, or given back"):
            change("done")


@pytest.mark.parametrize(
    ("error", "state", "text"),
    [(KeyboardInterrupt(), "stopped", "KeyboardInterrupt: "), (ValueError("x"), "failed", "ValueError: x")],
)
def test_an_exception_is_written_down(error, state, text, tmp_path):
    with pytest.raises(type(error)), create(tmp_path):
        raise error
    info = RunFolder.open(tmp_path, lock=False).info
    assert (info["state"], info["error"]) == (state, text)
    assert not (tmp_path / "lock").exists()


def test_metrics_come_back_exactly(tmp_path):
    records = [
        {"step": 1, "elbo": -0.1, "units": [1, 2]},
        {"step": 2, "elbo": np.float32(0.1), "kl": {"a": 5e-324, "b": float("-inf")}},
    ]
    with create(tmp_path) as run:
        for record in records:
            run.append_metrics(record)
        run.append_timing({"seconds": 0.25})
        length = run.metrics_length()
        run.append_metrics({"step": 3, "elbo": float("nan")})
        assert np.isnan(run.read_metrics()[2]["elbo"])
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert lines[0] == '{"elbo":-0.1,"step":1,"units":[1,2]}'
    assert lines[2] == '{"elbo":"nan","step":3}'
    assert length == len(lines[0]) + len(lines[1]) + 2
    assert (tmp_path / "timings.jsonl").read_text() == '{"seconds":0.25}\n'
    with RunFolder.open(tmp_path) as run:
        run.truncate_metrics(length)
        run.append_metrics({"step": 30})
        read = run.read_metrics()
    assert read == [records[0], records[1] | {"elbo": float(np.float32(0.1))}, {"step": 30}]
    assert read[1]["elbo"] == 0.10000000149011612


def test_a_folder_that_is_not_empty_is_refused_with_the_ways_out(tmp_path):
    (tmp_path / "run").mkdir()
    create(tmp_path / "run").release()
    with pytest.raises(RunFolderError, match=r"holds a run already.*latens resume .*--force.*another --out") as caught:
        create(tmp_path / "run")
    assert caught.value.exit_code == 6
    with pytest.raises(RunFolderError, match=r"not empty and .run. was not written by latens\..*another --out"):
        create(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="a file, not a folder"):
        create(tmp_path / "file")
    assert names(tmp_path) == ["file", "run"]
    assert names(tmp_path / "run") == ["config.json", "run.json"]


def test_force_replaces_a_run_and_nothing_else(tmp_path):
    with create(tmp_path) as run:
        run.append_metrics({"step": 1})
        first = run.info["id"]
    (tmp_path / "checkpoints" / "step-0000000001").mkdir(parents=True)
    (tmp_path / "checkpoints" / "step-0000000001" / "COMMIT").write_text("{}")
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "loss.png").write_bytes(b"")
    foreign = [tmp_path / "thesis.tex", tmp_path / "figures" / "thesis.tex", tmp_path / "checkpoints" / "x" / "a.py"]
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
        with pytest.raises(RunFolderError, match=f"{path.name}.* --force removes nothing"):
            create(tmp_path, force=True)
        assert path.read_text() == "mine"
        assert RunFolder.open(tmp_path, lock=False).info["id"] == first
        path.unlink()
    (tmp_path / "figures" / "link").symlink_to(tmp_path)
    with pytest.raises(RunFolderError, match="link"):
        create(tmp_path, force=True)
    (tmp_path / "figures" / "link").unlink()
    with create(tmp_path, force=True) as run:
        assert names(tmp_path) == ["config.json", "lock", "run.json"]
        assert run.info["id"] != first
        assert run.read_metrics() == []


@pytest.mark.parametrize("name", ["config.json", "log.txt", "lock", "model.safetensors"])
def test_files_of_others_with_our_names_are_theirs(name, tmp_path):
    (tmp_path / name).write_text("theirs")
    for force in (False, True):
        with pytest.raises(RunFolderError, match=f"'{name}' was not written by latens"):
            create(tmp_path, force=force)
    assert (tmp_path / name).read_text() == "theirs"
    assert names(tmp_path) == [name]


def test_a_run_killed_before_its_first_file_leaves_a_usable_folder(tmp_path):
    write_lock(tmp_path, pid=dead_process(), boot_id="")
    with create(tmp_path) as run:
        assert "no longer alive" in run.notice
    (tmp_path / "config.json").unlink()
    with pytest.raises(RunFolderError, match=r"it has no config\.json\. .* --force"):
        RunFolder.open(tmp_path)
    create(tmp_path, force=True).release()
    assert RunFolder.open(tmp_path, lock=False).config == ARGUMENTS[1]


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (None, RunFolderError, "it has no run.json"),
        ("", RunFolderError, "not valid JSON"),
        ("[]", RunFolderError, "not a JSON object"),
        ("{}", RunFolderError, "not written by latens"),
        ('{"format": "latens-run", "format_version": 2}', ConfigError, r"newer latens: run format 2"),
    ],
)
def test_what_is_no_run_is_said_to_be_none(text, kind, message, tmp_path):
    create(tmp_path).release()
    if text is None:
        (tmp_path / "run.json").unlink()
    else:
        (tmp_path / "run.json").write_text(text)
    with pytest.raises(kind, match=message):
        RunFolder.open(tmp_path)
    assert not (tmp_path / "lock").exists()
    with pytest.raises(RunFolderError, match="no such folder"):
        RunFolder.open(tmp_path / "absent")


def test_a_configuration_that_is_not_json_is_refused_before_anything_is_made(tmp_path):
    for config in ({"a": float("nan")}, {"a": object()}, {"a": {1: 2}}, {"a": 2**64}):
        with pytest.raises(ConfigError, match="cannot be stored"):
            RunFolder.create(tmp_path / "r", [], config, {}, 0)
    assert names(tmp_path) == []


def test_bytes_of_a_path_that_are_no_text_do_not_spoil_run_json(tmp_path):
    RunFolder.create(tmp_path, ["latens", "fit", "a\udcff"], {}, {"path": "é\udcff"}, 0).release()
    info = RunFolder.open(tmp_path, lock=False).info
    assert (info["command"][2], info["data"]["path"]) == ("a\\udcff", "é\\udcff")


def test_the_log_holds_what_is_logged_while_the_run_is_open(tmp_path):
    logger = logging.getLogger("latens.training")
    level, handlers = logging.getLogger("latens").level, list(logging.getLogger("latens").handlers)
    with create(tmp_path):
        logger.info("step %d, größer", 3)
    logger.warning("afterwards")
    text = (tmp_path / "log.txt").read_text(encoding="utf-8")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ INFO latens\.training: step 3, größer\n", text)
    assert (logging.getLogger("latens").level, logging.getLogger("latens").handlers) == (level, handlers)


def test_default_paths_are_safe_and_new(tmp_path):
    for data, recipe, tail in [
        ("digits", "default", "digits-default"),
        ("../shared/data/mnist/", "fast-forward", "mnist-fast-forward"),
        ("C:\\Daten\\größe 1.tar.gz", "x/y", "gr-e-1-x-y"),
        ("..", "", "data-data"),
        ("a" * 300, "b", "a" * 40 + "-b"),
    ]:
        path = default_path(data, recipe, root=tmp_path)
        assert path.parent == tmp_path
        assert re.fullmatch(r"\d{8}-\d{6}-" + tail, path.name)
    first = default_path("d", "r", root=tmp_path)
    first.mkdir()
    assert default_path("d", "r", root=tmp_path) != first
