"""What stands in a model file of how it was made: the version, the day, and a command that makes it again."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

import latens
from latens.cli.main import main
from latens.cli.training import command_of, made
from latens.config import override
from latens.data import load
from latens.fitting import prepare
from latens.recipes import get_recipe


@pytest.mark.parametrize(
    ("recipe", "given"),
    [
        ("default", {"training.steps": 30, "network.hidden": [8, 4], "optimizer.weight_decay": 0.5}),
        ("beta-vae", {"objective.beta": 3.0, "training.seed": 7}),
        ("mlq-gaussian", {}),
    ],
)
def test_the_command_in_a_file_gives_its_configuration(
    recipe: str, given: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    config = prepare(override(get_recipe(recipe).config, given), load("iris")).config
    words = shlex.split(command_of({"spec": "/home/someone/iris", "folder": "/home/someone"}, config))
    assert words[:3] == ["latens", "fit", "iris"]
    assert "someone" not in " ".join(words)
    assert main([*words[1:], "--dry-run", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)["config"]
    assert again == json.loads(json.dumps(latens.config.to_json(config)))


def test_the_day_is_that_of_the_run_or_of_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    config = get_recipe("default").config
    info = {"created": "2024-02-03T04:05:06Z", "data": {"spec": "a b/c d.csv", "label": "kind", "typed": True}}
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    found = made(info, config)
    assert found["date"] == "2024-02-03"
    assert found["latens"] == latens.__version__
    assert found["command"] == "latens fit 'c d.csv' --label kind --typed --recipe default"
    info["data"] = {"spec": "x/cells.h5ad", "label": "kind", "layer": "raw", "condition": ["donor", "age"],
                    "header": False}  # fmt: skip
    flags = "--label kind --layer raw --condition donor --condition age --no-header"
    words = made(info, config)["command"].split()
    assert sorted(words[3:-2]) == sorted(flags.split())
    assert " ".join(words[3:-2]).count("--condition donor --condition age") == 1
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert made(info, config)["date"] == "1970-01-02"


def test_info_prints_it_and_files_without_it_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(tmp_path / "run")
    assert main(["fit", "iris", "--steps", "2", "--set", "network.hidden=4", "--num-samples", "2", "--out", run]) == 0
    facts = latens.load(run).facts
    capsys.readouterr()
    assert main(["info", run]) == 0
    line = f"made on {facts['made']['date']} by latens {latens.__version__}: latens fit iris --recipe default --set"
    out = capsys.readouterr().out
    assert line in out
    assert f"typed: latens fit iris --steps 2 --set network.hidden=4 --num-samples 2 --out {run}" in out
    assert main(["info", "pretrained:digits-2d"]) == 0
    assert "made on" not in capsys.readouterr().out
