"""Encoding and measuring by workers: the same bytes and numbers for any number of them, and after a kill."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
from cli_fixtures import Result
from paths import GOLDEN, ROOT, SOURCE

from latens.data import load
from latens.evaluation import Estimate
from latens.io.atomic import process_alive
from latens.workflow.measurement import measure
from latens.workflow.trained import TrainedModel

pytest_plugins = ("cli_fixtures",)
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is pinned and killed here is Linux's")

MODEL = GOLDEN / "format-1-table.safetensors"
KILLED = ROOT / "tests" / "support" / "killed_worker.py"
FILES, ROWS = 5, 700


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five files, each of which is a part: 1,024 rows make one, and two files have more."""
    folder = tmp_path_factory.mktemp("rows") / "rows"
    folder.mkdir()
    x = np.random.default_rng(0).normal(size=(FILES, ROWS, 3)).astype(np.float32)
    for i in range(FILES):
        np.save(folder / f"rows-{i}.npy", x[i])
        np.save(folder / f"rows-{i}.weight.npy", np.arange(ROWS) % 3 + (i == 0))
    return folder


def command(*words: object, **more: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    environ = {**os.environ, "PYTHONPATH": str(SOURCE.parent), "JAX_PLATFORMS": "cpu", **more}
    line = [sys.executable, "-m", "latens.cli.main", *map(str, words)]
    return subprocess.run(line, env=environ, text=True, capture_output=True, timeout=240)


def encode(rows: Path, out: Path, *words: object, **more: str) -> subprocess.CompletedProcess[str]:
    return command("encode", MODEL, rows, "--stream", "--num-samples", 2, "--out", out, *words, **more)


@pytest.fixture(scope="module")
def alone(rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one worker writes."""
    folder = tmp_path_factory.mktemp("alone") / "codes"
    done = encode(rows, folder, "--workers", 1)
    assert done.returncode == 0, done.stderr
    begun = "rows: 5 of 5 parts are to be made, by 1 workers"
    assert done.stderr == f"{begun}\n{folder}: 5 parts, 5 of them made now, of 3500 rows\n"
    return folder


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("part-*")}


def test_two_workers_write_the_bytes_of_one(
    alone: Path, rows: Path, tmp_path: Path, latens: Callable[..., Result]
) -> None:
    done = encode(rows, tmp_path / "codes", "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert bytes_of(tmp_path / "codes") == bytes_of(alone)
    assert sorted(os.listdir(alone)) == ["_blocks.safetensors", *(f"part-{i:06d}.parquet" for i in range(FILES))]
    # And they are the numbers of one file.
    assert latens("encode", MODEL, rows, "--num-samples", 2, "--out", tmp_path / "codes.parquet").code == 0
    found = parquet.ParquetDataset(sorted(alone.glob("part-*"))).read()
    expected = parquet.read_table(tmp_path / "codes.parquet")
    assert found.column_names == expected.column_names
    assert found["row_id"].to_pylist() == [f"rows-{i}.npy:{j}" for i in range(FILES) for j in range(ROWS)]
    assert expected["row_id"].to_pylist() == found["row_id"].to_pylist()
    for name in expected.column_names[1:]:
        np.testing.assert_allclose(found[name], expected[name], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("who", ["worker", "command"])
def test_after_kill_9_the_same_command_makes_the_rest(who: str, alone: Path, rows: Path, tmp_path: Path) -> None:
    """Of a worker in the middle of a file, or of the command, whose workers then end; what was written stays."""
    out, pids = tmp_path / "codes", tmp_path / "pids"
    pids.mkdir()
    faulty = {"LATENS_TEST_KILL": who, "LATENS_TEST_PIDS": str(pids)}
    done = encode(rows, out, "--workers", 2, "--import", KILLED, **faulty)
    if who == "worker":
        assert done.returncode == 128 + signal.SIGKILL
        assert "worker 1 was ended by SIGKILL" in done.stderr
        assert [path.name[:21] for path in out.glob(".part*")] == [".part-000003.parquet."]  # the half that it left
    else:
        assert done.returncode == -signal.SIGKILL
        last = time.monotonic() + 60.0
        while any(process_alive(int(path.read_text())) for path in pids.iterdir()):
            assert time.monotonic() < last
            time.sleep(0.1)
    there = {path: path.stat().st_mtime_ns for path in out.glob("part-*")}
    assert 1 <= len(there) < FILES
    done = encode(rows, out, "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert bytes_of(out) == bytes_of(alone)
    assert {path: path.stat().st_mtime_ns for path in there} == there
    assert list(out.glob(".part*")) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_command_ends_its_workers(number: signal.Signals, rows: Path, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    pids.mkdir()
    faulty = {"LATENS_TEST_KILL": "nobody", "LATENS_TEST_PIDS": str(pids), "PYTHONPATH": str(SOURCE.parent)}
    words = [sys.executable, "-m", "latens.cli.main", "encode", MODEL, rows, "--stream", "--num-samples", 10**6]
    line = [str(word) for word in (*words, "--workers", 2, "--import", KILLED, "--out", tmp_path / "codes")]
    running = subprocess.Popen(line, env=os.environ | faulty, text=True, stderr=subprocess.PIPE)
    while len([path for path in pids.iterdir() if path.read_text()]) < 2:
        assert running.poll() is None
        time.sleep(0.1)
    time.sleep(1.0)
    running.send_signal(number)
    began = time.monotonic()
    _, err = running.communicate(timeout=60)
    assert (running.returncode, time.monotonic() - began < 15.0) == (128 + number, True), err
    name = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
    assert err.endswith(f"stopped: stopped by {name}; the parts that are written stay.\n"), err
    assert not any(process_alive(int(path.read_text())) for path in pids.iterdir())


def test_a_part_that_is_cut_off_is_made_again(
    alone: Path, rows: Path, tmp_path: Path, latens: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a worker that something else started, which has all parts but one already."""
    out = tmp_path / "codes"
    shutil.copytree(alone, out)
    whole = (out / "part-000003.parquet").read_bytes()
    monkeypatch.setenv("PJRT_NPROC", "1")  # as the other workers have it
    for cut in (len(whole) // 2, len(whole) - 1, 0):
        (out / "part-000003.parquet").write_bytes(whole[:cut])
        words = ("encode", MODEL, rows, "--stream", "--num-samples", 2, "--out", out)
        result = latens(*words, "--worker", "0/2")
        assert result.err == f"worker 0 of 2: {out}: 3 parts, 0 of them made now, of 3500 rows\n"
        result = latens(*words, "--worker", "1/2", "--json")
        assert (result.json["parts"], result.json["made"]) == (2, 1)
        table = parquet.read_table(out / "part-000003.parquet")
        expected = parquet.read_table(alone / "part-000003.parquet")
        assert table.schema.metadata == expected.schema.metadata
        assert table["row_id"].equals(expected["row_id"])
        for name in table.column_names[1:]:
            np.testing.assert_allclose(table[name], expected[name], rtol=2e-5, atol=2e-5)


def test_other_parts_are_refused(
    alone: Path, rows: Path, tmp_path: Path, latens: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("latens.cli.parts.launch_workers", None)
    before = bytes_of(alone)

    def refused(code: int, words: str, model: Path = MODEL, data: Path = rows, **options: object) -> None:
        flags = {"num_samples": 2, "workers": 2, "out": alone} | options
        typed = [word for name, value in flags.items() for word in (f"--{name.replace('_', '-')}", value)]
        result = latens("encode", model, data, "--stream", *typed, "--json")
        assert result.code == code, result.err
        assert words in result.json["error"]["message"], result.json
        assert result.json["error"]["fix"]
        assert bytes_of(alone) == before

    TrainedModel.load(MODEL).with_facts(other=1).save(tmp_path / "other.safetensors")
    refused(6, "was made with another model", model=tmp_path / "other.safetensors")
    refused(6, "was made with seed=0, and this is seed=1", seed=1)
    refused(6, "was made with num_samples=2, and this is num_samples=3", num_samples=3)
    shutil.copytree(rows, tmp_path / "rows")
    np.save(tmp_path / "rows" / "rows-5.npy", np.zeros((5, 3), np.float32))
    np.save(tmp_path / "rows" / "rows-5.weight.npy", np.ones(5))
    refused(3, "the file rows-5.npy was not there at the first pass", data=tmp_path / "rows")
    shutil.copytree(alone, tmp_path / "codes")
    (tmp_path / "codes" / "_blocks.safetensors").unlink()
    refused(6, "was made of other rows", data=tmp_path / "rows", out=tmp_path / "codes")
    (tmp_path / "own").mkdir()
    shutil.copy(SOURCE / "pretrained" / "digits-2d.safetensors", tmp_path / "own" / "part-000000.parquet")
    parquet.write_table(parquet.read_table(alone / "part-000000.parquet").replace_schema_metadata(None),
                        tmp_path / "own" / "part-000001.parquet")  # fmt: skip
    refused(6, "was not written by `latens encode`", out=tmp_path / "own")
    refused(2, "workers write parts into a folder, and this is a file", out=tmp_path / "codes.npz")
    refused(2, "'2' is not I/N", worker="2")
    monkeypatch.setenv("SLURM_STEP_NODELIST", "node1")
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    monkeypatch.setenv("SLURM_PROCID", "1")
    refused(2, "2 are asked for, and this is worker 1 of 4")


def test_what_is_there_is_told_and_stays(
    alone: Path, rows: Path, latens: Callable[..., Result], tmp_path: Path
) -> None:
    words = ("encode", MODEL, rows, "--stream", "--num-samples", 2, "--workers", 2)
    result = latens(*words, "--out", alone)  # nothing is started
    assert result.err == f"{alone}: 5 parts, 0 of them made now, of 3500 rows\n"
    result = latens(*words, "--out", tmp_path / "codes", "--dry-run")
    assert "would encode 3500 rows of rows in 5 parts (0 of them there already) into" in result.err
    assert list(tmp_path.iterdir()) == []


def test_the_words_of_a_worker_are_those_of_the_command(rows: Path, tmp_path: Path) -> None:
    """Once, with its code and exit code: a file that is damaged in the middle."""
    shutil.copytree(rows, tmp_path / "rows")
    out, bad = tmp_path / "codes", tmp_path / "rows" / "rows-2.npy"
    assert encode(tmp_path / "rows", out, "--worker", "0/5").returncode == 0
    with bad.open("r+b") as file:
        file.seek(2000)
        file.write(np.full(40, np.nan, np.float32).tobytes())
    done = encode(tmp_path / "rows", out, "--workers", 2, "--json")
    assert done.returncode == 3
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "data"
    assert error["where"].startswith(f"{bad}, rows 0 to 699")
    assert done.stderr.count("error: ") == 1


# --- evaluate ---


def evaluated(*words: object) -> dict:
    done = command("evaluate", MODEL, *words, "--num-samples", 4, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_sums_of_parts_are_those_of_all_rows(rows: Path) -> None:
    """For one and two workers to the last bit; beside rows in memory to rounding."""
    found, one = (evaluated(rows, "--stream", "--workers", n) for n in (2, 1))
    assert found == one
    assert found["data"] | {"fingerprint": ""} == {
        "name": "rows", "split": "all", "rows": 3500, "fingerprint": "", "held_out": None
    }  # fmt: skip
    trained, data = TrainedModel.load(MODEL), load(rows, schema=TrainedModel.load(MODEL).schema)
    expected = measure(trained, data, np.arange(len(data)), num_samples=4)
    assert set(found["metrics"]) == {"log_marginal", "elbo", "log_likelihood", "kl", "log_likelihood_gain"}
    for name, metric in found["metrics"].items():
        wanted: Estimate = expected[name]
        assert (metric["n"], metric["num_samples"]) == (3500, 4)
        np.testing.assert_allclose(metric["value"], wanted.value, rtol=1e-5)
        np.testing.assert_allclose(metric["standard_error"], wanted.standard_error, rtol=1e-4)
        assert (metric["unit"], metric["protocol"]) == (wanted.unit, wanted.protocol)


def test_what_has_no_sums_is_refused(latens: Callable[..., Result], rows: Path) -> None:
    result = latens("evaluate", MODEL, rows, "--workers", 2, "--all", "--json")
    assert (result.code, "only means over rows" in result.json["error"]["message"]) == (2, True)
    classifier = GOLDEN / "format-1-classifier.safetensors"
    result = latens("evaluate", classifier, rows, "--workers", 2, "--json")
    assert (result.code, "no log p(x) of this model" in result.json["error"]["message"]) == (4, True)
