"""`latens help`: the pages of the documentation, also where only the package is installed."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_fixtures import Result
from paths import ROOT

from latens.cli import help as pages

pytest_plugins = ("cli_fixtures",)


def test_every_topic_is_its_page(latens: Callable[..., Result]) -> None:
    listed = latens("help")
    for topic, about in pages.TOPICS.items():
        assert f"{topic}  " in listed.out
        assert about in listed.out
        text = (ROOT / "docs" / f"{topic}.md").read_text()
        assert latens("help", topic, "--json").json == {"topic": topic, "text": text}
    assert "## model-file (exit 5)" in latens("help", "errors").out.splitlines()
    assert latens("help", "fit").out.startswith("usage: latens fit")


def test_a_wrong_topic_names_the_nearest(latens: Callable[..., Result]) -> None:
    result = latens("help", "error")
    assert result.code == 2
    assert "errors" in result.err.splitlines()[1]
    assert result.err.splitlines()[-1] == "More: latens help errors"


def test_a_wheel_holds_every_page() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {f"docs/{topic}.md": f"latens/help/{topic}.md" for topic in pages.TOPICS}


def test_an_installed_package_reads_its_own_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "site-packages" / "latens"
    (folder / "help").mkdir(parents=True)
    (folder / "help" / "errors.md").write_text("# Errors\n")
    monkeypatch.setattr(pages.latens, "__file__", str(folder / "__init__.py"))
    assert pages.page("errors") == "# Errors\n"
