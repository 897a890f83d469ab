"""What the command refuses and how: exit codes, JSON errors, nothing half done; what goes to which stream."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_fixtures import FIT, SMALL, Result, process

pytest_plugins = ("cli_fixtures",)

# --- starting ---


def test_help_is_light() -> None:
    code = (
        "import sys, time; from latens.cli.main import main; code = main(['--help'])\n"
        "heavy = {'jax', 'numpy', 'sklearn', 'matplotlib', 'rich', 'equinox'} & set(sys.modules)\n"
        "sys.exit(f'{heavy} {time.process_time()}' if heavy or code or time.process_time() > 0.5 else 0)"
    )
    done = process(code)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(name in done.stdout for name in ("fit", "resume", "evaluate", "pretrained:"))


def test_run_folder_is_there_before_heavy_imports(tmp_path: Path) -> None:
    code = (
        "import sys, time; from latens.runs import folder as runs; from latens.cli.main import main\n"
        "create = runs.RunFolder.create\n"
        "def watched(path, *args, **options):\n"
        "    run = create(path, *args, **options)\n"
        "    files = sorted(p.name for p in run.path.iterdir())\n"
        "    assert {'config.json', 'run.json'} <= set(files), files\n"
        "    assert not {'jax', 'numpy', 'sklearn'} & set(sys.modules) and time.process_time() < 0.5\n"
        "    raise SystemExit(77)\n"
        "runs.RunFolder.create = watched\n"
        "main(sys.argv[1:])"
    )
    done = process(code, "fit", "digits", "--out", tmp_path / "run")
    assert done.returncode == 77, done.stderr


def test_several_files_of_parts_are_modules_of_their_own(latens: Callable[..., Result], tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.py" for name in "ab"]
    for path in paths:
        path.write_text(f"class Part:\n    name = {path.stem!r}\n")
    assert latens("info", "parts", *(word for path in paths for word in ("--import", path))).code == 0
    assert [sys.modules[f"latens_parts_{k}"].Part.name for k in range(2)] == ["a", "b"]


def test_version_and_no_command(latens: Callable[..., Result]) -> None:
    from latens import __version__

    code, out, err = latens("--version")
    assert (code, out.startswith(f"latens {__version__} (Python "), "; jax " in out, err) == (0, True, True, "")
    assert latens().out.startswith("usage: latens")


# --- what would end the process without a word ---


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hold to the limit")
def test_too_little_address_space_for_xla_is_refused() -> None:
    """XLA would abort: exit 134 or 139, and nothing that says why."""
    code = (
        "import resource, sys; from latens.cli.main import main\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1_500_000_000,) * 2); sys.exit(main(sys.argv[1:]))"
    )
    done = process(code, "check", "digits")
    assert done.returncode == 7
    said = "error: ulimit -v: the address space is limited to 1.5 GB, and XLA needs 2 GB to start.\n"
    assert done.stderr == f"{said}Raise it to 4 GB or more: `ulimit -v 4000000`.\n"
    assert process(code, "--version").returncode == 0


# --- refusals ---

REFUSALS = {
    "no command": (["fitt", "digits"], 2, "usage", "'fit'"),
    "no flag": (["fit", "digits", "--epoch", "3"], 2, "usage", "'--epochs'"),
    "so many": (["sample", "some.safetensors", "--n", "5"], 2, "usage", "Did you mean '-n'"),
    "so many rows": (["sample", "some.safetensors", "--rows", "5"], 2, "usage", "Did you mean '-n'"),
    "no data": (["fit"], 2, "usage", "--help"),
    "too much": (["fit", "digits", "wine"], 2, "usage", "--help"),
    "no number": (["fit", "digits", "--epochs", "many"], 2, "usage", "--help"),
    "no value": (["fit", "digits", "--set", "network"], 2, "usage", "--set"),
    "built-in name": (["fit", "digts"], 3, "data", "'digits'"),
    "no file": (["check", "no/such.csv"], 3, "data", "path"),
    "recipe": (["fit", "digits", "--recipe", "defalt"], 4, "config", "'default'"),
    "part": (["fit", "digits", "--set", "networks.hidden=3"], 4, "config", "'network'"),
    "option": (["fit", "digits", "--set", "network.hiden=3"], 4, "config", "'hidden'"),
    "likelihood": (["fit", "wine", "--set", "likelihood.family=bernoulli"], 4, "config", "normal"),
    "model file": (["info", "bad.safetensors"], 5, "model-file", ""),
    "no model": (["evaluate", "nothing.safetensors", "digits"], 5, "model-file", "path"),
    "no run to show": (["explore", "runs/nothing"], 6, "run-folder", "latens fit"),
    "no run": (["resume", "nowhere"], 6, "run-folder", "latens fit"),
    "no pretrained": (["sample", "pretrained:nothing", "--out", "x.png"], 2, "usage", ""),
    "no out": (["reconstruct", "RUN", "digits"], 2, "usage", "--out"),
    "ending": (["sample", "RUN", "--out", "x.jpg"], 2, "usage", ".png"),
    "over the input": (["decode", "RUN", "z.npz", "--out", "z.npz"], 2, "usage", "name"),
    "latents": (["decode", "RUN", "z.npz", "--out", "x.npz"], 3, "data", "(n, 3)"),
    "other columns": (["evaluate", "RUN", "wine"], 3, "data", ""),
    "another model's data": (["encode", "RUN", "x.npy", "--out", "z.csv"], 3, "data", ""),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(
    latens: Callable[..., Result], run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    np.savez("z.npz", z=np.zeros((4, 7), np.float32))
    np.save("x.npy", np.zeros((4, 5), np.float32))
    before = sorted(os.listdir())
    argv, code, name, fix = REFUSALS[case]
    argv = [str(run_folder) if word == "RUN" else word for word in argv]
    result = latens(*argv, "--json")
    error = result.json["error"]
    assert (result.code, error["code"]) == (code, name)
    assert set(error) == {"code", "message", "where", "fix"}
    assert error["message"]
    assert fix in error["fix"] + error["message"] + error["where"]
    assert "Traceback" not in result.err
    assert result.err.startswith("error: ")
    plain = latens(*argv)
    assert (plain.code, plain.out) == (code, "")
    assert 2 <= len(plain.err.splitlines()) <= 3
    assert sorted(os.listdir()) == before  # no half run is left behind


def test_folder_that_is_not_empty(latens: Callable[..., Result], run_folder: Path, tmp_path: Path) -> None:
    result = latens(*FIT, "--out", run_folder)
    assert result.code == 6
    assert all(way in result.err for way in ("latens resume", "--force", "--out"))
    folder = tmp_path / "run"
    latens("fit", "digits", "--steps", 5, *SMALL, "--out", folder)
    before = (folder / "run.json").read_bytes()
    assert latens("fit", "no/such.npy", "--out", folder, "--force").code == 3
    assert (folder / "run.json").read_bytes() == before  # a mistyped name costs nobody a run
    assert latens("fit", "digits", "--steps", 6, *SMALL, "--out", folder, "--force", "--json").json["step"] == 6


def test_dry_run_writes_nothing(
    latens: Callable[..., Result], run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    value = latens("fit", "digits", "--steps", 7, "--set", "posterior.latent_dim=3", "--dry-run", "--json").json
    assert value["config"]["training"]["steps"] == 7
    assert value["config"]["training"]["epochs"] is None  # a budget that is given replaces the recipe's
    assert value["config"]["posterior"]["latent_dim"] == 3
    assert value["config"]["likelihood"]["family"] == "categorical"
    assert any("17 levels" in reason for reason in value["reasons"])
    latens("encode", run_folder, "digits", "--out", "z.npz", "--dry-run")
    latens("sample", run_folder, "--out", "x.npz", "--dry-run")
    latens("report", run_folder, "--only", "figures", "--out", "pictures", "--dry-run")
    assert latens("evaluate", run_folder, "--dry-run", "--json").json["data"]["rows"] == 198
    assert os.listdir() == []


def test_bug_is_logged(latens: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **options: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("latens.fitting.train", broken)
    result = latens(*FIT, "--out", tmp_path / "run", "--json")
    assert (result.code, result.json["error"]["code"]) == (1, "bug")
    assert "Traceback" not in result.err
    assert str(tmp_path / "run" / "log.txt") in result.err
    assert "ZeroDivisionError: planted" in (tmp_path / "run" / "log.txt").read_text()
    assert json.loads((tmp_path / "run" / "run.json").read_text())["state"] == "failed"
    assert "Traceback" in latens(*FIT, "--out", tmp_path / "other", "--debug").err
    monkeypatch.setattr("latens.data.check", broken)
    outside = latens("check", "digits", "--json").json["error"]
    [log] = re.findall(r"in (\S+\.log)\.$", outside["fix"])
    assert "ZeroDivisionError: planted" in Path(log).read_text()
    Path(log).unlink()


# --- streams ---


def test_reader_that_left(tmp_path: Path) -> None:
    words = [sys.executable, "-c", "from latens.cli.main import entry; entry()", "info", "recipes", "--json"]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.close()
    assert (child.stderr.read(), child.wait(60)) == (b"", 0)
    child.stderr.close()
