"""`latens sweep`: the runs of `latens fit`, bit for bit, also after kill -9 and by workers; the best on validation."""

import csv
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from cli_fixtures import Result
from paths import SOURCE

from latens.cli.main import main
from latens.data import load
from latens.runs.sweep import read_sweep
from latens.workflow.compare import per_row
from latens.workflow.trained import TrainedModel

pytest_plugins = ("cli_fixtures",)

SMALL = ("--set", "network.hidden=8", "--set", "posterior.latent_dim=2", "--set", "training.chunk_steps=2")
SHORT = (*SMALL, "--steps", "6", "--num-samples", "2")
RATES = ("--set", "optimizer.learning_rate=1e-3,1e-2")
SWEEP = ("sweep", "digits", *SHORT, *RATES, "--seeds", "2")
NAMES = ("learning_rate=0.001", "learning_rate=0.01")
RUNS = [f"{name}/seed={seed}" for name in NAMES for seed in (0, 1)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep that was never stopped."""
    folder = tmp_path_factory.mktemp("sweep") / "whole"
    assert main([*SWEEP, "--out", str(folder), "--quiet"]) == 0
    return folder


def numbers(folder: Path) -> dict[str, Any]:
    """All of a sweep that must be equal: its table, numbers by row, models, metrics and configurations."""
    stored = json.loads((folder / "sweep.json").read_bytes())
    found: dict[str, Any] = {"table": stored["result"], "plan": stored["plan"]}
    for run in RUNS:
        found[run] = (folder / "validation" / run / "rows.json").read_bytes()
        for name in ("model.safetensors", "metrics.jsonl", "config.json"):
            found[f"{run}/{name}"] = (folder / run / name).read_bytes()
    return found | {name: (folder / name).read_bytes() for name in ("sweep.csv", "sweep.png", "sweep.svg")}


def same(folder: Path, other: Path) -> None:
    one, two = numbers(folder), numbers(other)
    assert one.keys() == two.keys()
    assert [name for name in one if one[name] != two[name]] == []


def test_a_run_of_a_sweep_is_that_of_fit(whole: Path, tmp_path: Path, latens: Callable[..., Result]) -> None:
    run, alone = whole / RUNS[3], tmp_path / "alone"
    assert (
        latens("fit", "digits", *SHORT, "--set", "optimizer.learning_rate=1e-2", "--seed", 1, "--out", alone).code == 0
    )
    files = sorted(path.relative_to(alone).as_posix() for path in alone.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file())
    timed = ("run.json", "log.txt", "timings.jsonl", "loop.json", "COMMIT")  # the last is a digest of the one before
    equal = [name for name in files if name.rpartition("/")[2] not in timed]
    assert [name.rpartition("/")[2] for name in equal] == [
        "state.safetensors", "config.json", "metrics.jsonl", "model.safetensors",
    ]  # fmt: skip
    assert [name for name in equal if (run / name).read_bytes() != (alone / name).read_bytes()] == []
    one, other = (json.loads((folder / "run.json").read_bytes()) for folder in (run, alone))
    assert {"data", "options", "platform", "seed", "split", "step", "versions"} <= set(one)
    timed = ("id", "created", "ended", "command", "metrics", "training_seconds", "command_seconds")
    assert {n: v for n, v in one.items() if n not in timed} == {n: v for n, v in other.items() if n not in timed}
    assert one["command"][:3] == ["latens", "fit", "digits"]


def test_the_table_is_of_validation_rows_and_its_best_has_the_highest_mean(whole: Path) -> None:
    data = load("digits")
    means: dict[str, list[float]] = {}
    for run in RUNS:
        trained = TrainedModel.load(whole / run / "model.safetensors")
        rows = per_row(trained, data, data.subset("validation"), 2, 0)
        assert json.loads((whole / "validation" / run / "rows.json").read_bytes())["rows"] == rows.rows.tolist()
        means.setdefault(run.partition("/")[0], []).append(rows.rows.mean())
    result = read_sweep(whole).result
    assert result is not None
    assert (result["split"], result["metric"]) == ("validation", "log_marginal")
    ordered = sorted(means, key=lambda name: -np.mean(means[name]))
    assert [each["name"] for each in result["settings"]] == ordered
    assert result["best"] == ordered[0]
    for each in result["settings"]:
        assert each["mean"]["value"] == pytest.approx(np.mean(means[each["name"]]))
        # Two seeds: s / sqrt(2) is half of their distance, and t of one degree of freedom 12.7062.
        half = 12.7062 * abs(np.diff(means[each["name"]])[0]) / 2
        assert each["mean"]["high"] - each["mean"]["value"] == pytest.approx(half, rel=1e-5)
    lines = list(csv.DictReader((whole / "sweep.csv").read_text().splitlines()))
    assert [(line["setting"], line["seed"]) for line in lines] == [(name, s) for name in ordered for s in "01"]
    assert [float(line["log_marginal"]) for line in lines] == pytest.approx([v for n in ordered for v in means[n]])


def test_a_finished_sweep_is_told_and_not_computed_again(whole: Path, latens: Callable[..., Result]) -> None:
    before, times = numbers(whole), {run: (whole / run / "run.json").stat().st_mtime_ns for run in RUNS}
    result = latens("sweep", whole)
    assert result.code == 0
    verdict, measured, _, head, columns, *lines = result.out.splitlines()
    assert measured == "Measured on 195 validation rows: 2 settings, 2 seeds each."
    lines = [
        line for line in lines if not line.startswith("unknown: log p(x) is a lower bound, by an unknown amount; ")
    ]
    assert head == "log p(x) of 195 validation rows of digits, in nats a row: means over 2 seeds"
    assert " ".join(columns.split()) == (
        "learning_rate mean 95 % interval error over rows over draws minus the best 95 % interval"
    )
    assert {line.split()[0] for line in lines} == {"0.001", "0.01"}
    assert "best" in lines[0]
    assert re.match(r"These seeds do not tell|learning_rate=\S+ is ahead of every other setting", verdict)
    assert (
        f"next: latens evaluate {os.path.relpath(whole) if whole.is_relative_to(Path.cwd()) else whole}" in result.err
    )
    shuffled = (
        "--seeds",
        2,
        "--set",
        "optimizer.learning_rate=0.01,0.001",
        *SHORT[6:],
        *reversed_sets(),
        "--out",
        whole,
    )
    again = latens("sweep", "digits", *shuffled)
    assert (again.code, again.out) == (0, result.out)
    assert before == numbers(whole)
    assert times == {run: (whole / run / "run.json").stat().st_mtime_ns for run in RUNS}


def reversed_sets() -> list[str]:
    pairs = list(zip(SMALL[0::2], SMALL[1::2]))
    return [word for pair in reversed(pairs) for word in pair]


def test_another_seed_compiles_nothing(tmp_path: Path) -> None:
    """In one process the first run of a setting compiles, and its other seeds take the programs."""
    compiled: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if found := re.match(r"Compiling jit\((\S+)\)", record.getMessage()):
                done = len(list(tmp_path.glob("out/validation/*/*/rows.json")))
                compiled.append(f"{done} {found[1]}")

    listener, logger = Listener(), logging.getLogger("jax")
    jax.config.update("jax_log_compiles", True)
    logger.addHandler(listener)
    try:
        other = ("--set", "network.hidden=9", *SMALL[2:], *SHORT[6:])  # a shape that no other test has
        assert main(["sweep", "digits", *other, *RATES, "--seeds", "2", "--out", str(tmp_path / "out"), "--quiet"]) == 0
    finally:
        logger.removeHandler(listener)
        jax.config.update("jax_log_compiles", False)
    assert "0 chunk" in compiled
    assert [name for name in compiled if name[0] in "13"] == []


def start(*words: object) -> subprocess.Popen[str]:
    environ = {**os.environ, "PYTHONPATH": str(SOURCE.parent), "JAX_PLATFORMS": "cpu"}
    line = [sys.executable, "-m", "latens.cli.main", *map(str, words)]
    return subprocess.Popen(line, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def until(process: subprocess.Popen[str], there: Callable[[], bool]) -> None:
    limit = time.monotonic() + 200
    while process.poll() is None and not there():
        assert time.monotonic() < limit
        time.sleep(0.005)


def done(folder: Path) -> int:
    return len(list(folder.glob("validation/*/*/rows.json")))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_after_kill_9_the_same_command_goes_on_to_the_same_bits(whole: Path, tmp_path: Path) -> None:
    """Killed in the second run and once more in the third; the first is not touched again."""
    folder = tmp_path / "out"
    for runs, words in ((1, (*SWEEP, "--out", folder)), (2, ("sweep", folder))):
        killed = start(*words)
        begun = folder / RUNS[runs] / "metrics.jsonl"
        until(killed, lambda begun=begun: begun.exists() and begun.stat().st_size > 0)
        killed.kill()
        killed.communicate()
        assert killed.returncode == -signal.SIGKILL
        assert done(folder) == runs
    first = (folder / RUNS[0] / "run.json").read_bytes()
    last = start(*SWEEP, "--out", folder)
    assert last.communicate(timeout=300)[1].count("of 4  learning_rate") == 2
    assert last.returncode == 0
    assert (folder / RUNS[0] / "run.json").read_bytes() == first
    same(folder, whole)


@pytest.mark.skipif(sys.platform != "linux", reason="what is pinned here is Linux's")
def test_workers_share_the_runs_with_the_bits_of_one_and_stop_together(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    stopped = start(*SWEEP, "--out", folder, "--workers", 2)
    until(stopped, lambda: done(folder) > 0)
    stopped.terminate()
    _, err = stopped.communicate(timeout=60)
    assert stopped.returncode == 143, err
    assert err.count("stopped: stopped by SIGTERM") == 1
    assert f"Go on with `latens sweep {folder}`." in err
    assert 0 < done(folder) < 4
    again = start("sweep", folder, "--workers", 2)
    _, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    same(folder, whole)


@pytest.mark.skipif(sys.platform != "linux", reason="what is pinned here is Linux's")
def test_a_worker_that_fails_ends_the_sweep_with_its_code(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    stored = json.loads((whole / "sweep.json").read_bytes()) | {"result": None}
    stored["data"]["fingerprint"] = "other"
    (folder / "sweep.json").write_text(json.dumps(stored))
    failed = start("sweep", folder, "--workers", 2, "--json")
    out, err = failed.communicate(timeout=200)
    assert failed.returncode == 3
    assert "the data have changed since the sweep began" in err
    error = json.loads(out)["error"]
    assert (error["where"], error["fix"]) == ("--workers", f"Go on with `latens sweep {folder}`.")


def test_halving_goes_on_with_the_same_runs(tmp_path: Path, latens: Callable[..., Result]) -> None:
    rates = ("--set", "optimizer.learning_rate=1e-4,1e-3,1e-2")
    words = (
        "sweep",
        "digits",
        *SMALL,
        "--num-samples",
        2,
        *rates,
        "--halving",
        "--steps",
        8,
        "--out",
        tmp_path / "out",
    )
    result = latens(*words, "--json")
    assert result.code == 0
    settings = result.json["settings"]
    assert [each["budget"] for each in settings] == [8, 4, 2]
    for each in settings:
        config = json.loads((tmp_path / "out" / each["name"] / "seed=0" / "config.json").read_bytes())
        assert config["training"]["steps"] == each["budget"]
        found = json.loads((tmp_path / "out" / each["name"] / "seed=0" / "run.json").read_bytes())
        assert found["step"] == each["budget"]
    best = settings[0]
    rate, alone = best["options"]["optimizer.learning_rate"], tmp_path / "alone"
    given = ("--set", f"optimizer.learning_rate={rate}", "--num-samples", 2, "--seed", 0, "--out", alone)
    assert latens("fit", "digits", *SMALL, *given, "--steps", 2).code == 0
    for steps in (4, 8):
        assert latens("resume", alone, "--steps", steps).code == 0
    run = tmp_path / "out" / best["name"] / "seed=0"
    assert (run / "model.safetensors").read_bytes() == (alone / "model.safetensors").read_bytes()
    assert "successive halving" not in latens(*words).err
    assert latens(*words).out.splitlines()[4].split()[:2] == ["learning_rate", "steps"]


def test_a_run_that_diverges_ends_nothing(tmp_path: Path, latens: Callable[..., Result]) -> None:
    rates = ("--set", "optimizer.learning_rate=1e-3,1e30")
    result = latens("sweep", "digits", *SHORT, *rates, "--out", tmp_path / "out")
    assert result.code == 0, result.err
    assert "2 of 2  learning_rate=1e+30/seed=0: diverged" in result.err
    lines = [line for line in result.out.splitlines() if not line.startswith("unknown: log p(x) is a lower bound")]
    assert lines[-1].split()[-4:] == ["1", "of", "1", "diverged"]
    again = latens("sweep", tmp_path / "out")
    assert (again.code, again.out) == (0, result.out)


def test_other_settings_and_other_folders_are_refused(
    whole: Path, tmp_path: Path, latens: Callable[..., Result]
) -> None:
    other = latens("sweep", "digits", *SHORT, *RATES, "--seeds", 3, "--out", whole)
    assert other.code == 2
    assert "holds a sweep with other settings: the seeds are 0 to 2 and were 0 to 1." in other.err
    given = latens("sweep", whole, "--seeds", 3)
    assert (given.code, "error: --seeds: " in given.err) == (2, True)
    (tmp_path / "mine.txt").write_text("mine")
    taken = latens(*SWEEP, "--out", tmp_path)
    assert (taken.code, "is not empty and holds no sweep" in taken.err) == (6, True)
    none = latens("sweep", tmp_path / "absent")
    assert (none.code, f"or --seeds N; {tmp_path / 'absent'} holds no sweep." in none.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--set", "data.validation=test"), "data.validation=test makes those the test rows"),
        (("--set", "data.validation=none"), "never on test rows, and there are none"),
        (("--recipe", "gan"), "a model without a likelihood has no number for each row"),
        (("--set", "likelihood=bernoulli", "--set", "data.binarize=none,threshold"), "of another density of them"),
    ],
    ids=["test", "none", "gan", "density"],
)
def test_what_cannot_be_chosen_on_validation_rows_is_refused_before_a_run(
    words: tuple[str, ...], said: str, tmp_path: Path, latens: Callable[..., Result]
) -> None:
    result = latens("sweep", "digits", "--steps", 5, "--seeds", 2, *words, "--out", tmp_path / "out")
    assert (result.code, said in result.err, (tmp_path / "out").exists()) == (4, True, False), result.err


def test_a_dry_run_lists_the_settings(tmp_path: Path, latens: Callable[..., Result]) -> None:
    result = latens(*SWEEP, "--out", tmp_path / "out", "--dry-run", "--json")
    assert (result.code, (tmp_path / "out").exists()) == (0, False)
    assert (result.json["settings"], result.json["seeds"], result.json["left"]) == (list(NAMES), [0, 1], 4)
    assert "--set optimizer.learning_rate=1e-3 --seed 0" in result.json["commands"][0]
