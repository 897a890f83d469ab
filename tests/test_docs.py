"""Every snippet of the documentation runs: `python` blocks share a page's namespace, `console` blocks are commands."""

import contextlib
import os
import re
import runpy
import shlex
import sys
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from paths import ROOT

from latens.cli.arguments import parse
from latens.cli.main import main

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.md"))
OUTPUTS = SimpleNamespace(**runpy.run_path(str(ROOT / "docs" / "outputs.py")))
RUN = [page for page in PAGES if OUTPUTS.BLOCK.search(page.read_text())]


def name_of(page):
    """What a page is called in the name of its test."""
    return f"results/{page.stem}" if page in RESULTS else page.stem


LENGTHY = ("tutorials", "latent-generative")
"""Pages of many trainings: minutes, by `make long`."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.timeout(3600)) if page.stem in LENGTHY else page for page in RUN],
    ids=name_of,
)
def test_snippets_run(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace: dict = {}
    prints = dict(OUTPUTS.PRINTS.findall(page.read_text()))
    for kind, text in OUTPUTS.blocks(page):
        if kind == "python":
            code = compile(text, f"{page.name}", "exec")
            capsys.readouterr()
            exec(code, namespace)
            if text in prints:  # what the page says that it prints
                assert not OUTPUTS.stale(prints[text].splitlines(), capsys.readouterr().out.splitlines()), text
            continue
        for command, shown in OUTPUTS.commands(text):
            words = shlex.split(command)
            assert words[0] == "latens", command
            code, lines = OUTPUTS.printed(main, words[1:])
            assert code == 0, (command, lines)
            assert not OUTPUTS.stale(shown, lines), (command, "run `make docs-outputs`", lines)
    for name in OUTPUTS.SHOWN.findall(page.read_text()):
        assert (ROOT / "docs" / "shown" / name).exists(), name


def test_outputs_are_compared_by_their_words():
    """Numbers may differ, words and their order may not; `...` stands for any lines."""
    assert OUTPUTS.commands("$ latens a\nx\n\n$ latens b\n") == [("latens a", ["x"]), ("latens b", [])]
    assert OUTPUTS.commands("# first\n$ latens a\n# then\n$ latens b\n") == [("latens a", []), ("latens b", [])]
    lines = ["a 1.5 nats", "b in 3 s", "c"]
    assert OUTPUTS.stale(["a -2 nats", "...", "c"], lines) == []
    assert OUTPUTS.stale(["b in less than 1 s"], lines) == []
    assert OUTPUTS.stale(["b in 4 min", "a 2 nats"], lines) == ["a 2 nats"]
    assert OUTPUTS.stale(["a 2 bits"], lines) == ["a 2 bits"]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_that_are_not_run_can_be_typed(page):
    """Those in blocks without output, and those in the text, where capitals stand for what a person types."""
    text = page.read_text()
    blocks = [body for kind, body in re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
              if kind not in ("console", "python", "text")]  # fmt: skip
    lines = [line for body in blocks for line in body.replace("\\\n", " ").splitlines()]
    typed = [line for line in lines if re.match(r"(srun|mpirun)? ?.*\blatens [a-z]+ ", line)]
    typed += [part for part in re.findall(r"`(latens [a-z]+ [^`]+)`", text) if "..." not in part]
    for line in typed:
        parse(shlex.split(re.sub(r"\bN\b", "9", line[line.index("latens ") :]), comments=True)[1:])


@pytest.mark.parametrize("page", [*PAGES, *RESULTS], ids=name_of)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_page_is_in_the_navigation():
    nav = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    named = set(re.findall(r": ([\w-]+)\.md$", nav, re.MULTILINE))
    assert {page.stem for page in PAGES[1:]} == named - {"changes", "contributing"}  # the site makes these of others


def test_the_heads_example_prints_two_means_and_two_scales(capsys):
    runpy.run_path(str(ROOT / "examples" / "heads.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    numbers = [[float(x) for x in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", line)] for line in lines]
    assert [len(row) for row in numbers] == [4, 2, 2]
    assert numbers[1] == numbers[0][:2]
    assert min(numbers[2]) > 0


@pytest.mark.slow
def test_the_one_file_example_reaches_its_number(capsys):
    names = runpy.run_path(str(ROOT / "examples" / "vae_in_one_file.py"))
    with contextlib.chdir(os.getcwd()):
        names["main"](epochs=100)
    value = float(re.search(r"held-out log p\(x\): (-\d+\.\d+)", capsys.readouterr().out).group(1))
    # An independent-pixel model reaches about -31.7; 100 epochs reach -20.6 within half a nat over seeds.
    assert -21.5 < value < -19.5


def test_the_site_loads_nothing_from_elsewhere():
    """The search from disk needs a script that its plugin else asks of another host, on every page."""
    told = (ROOT / "mkdocs.yml").read_text()
    (script,) = re.findall(r"^  polyfills: \[(\S+iframe-worker\S*)\]", told, re.MULTILINE)
    assert "//" not in re.sub(r"^\s*//.*", "", (ROOT / "docs" / script).read_text(), flags=re.MULTILINE)


def test_classes_in_capitals_are_in_the_reference(monkeypatch):
    """VAE, ELBO and their like; constants are not."""
    for name in ("latex2mathml.converter", "mkdocs.exceptions", "mkdocs.structure.files", "nbconvert"):
        monkeypatch.setitem(sys.modules, name, MagicMock())
    names = runpy.run_path(str(ROOT / "docs" / "site_hooks.py"))["public_names"]
    assert "VAE" in names("latens")
    assert {"ELBO", "IWAE", "MIWAE", "PIWAE", "CIWAE", "DIP"} <= set(names("latens.objectives"))
    assert "SPLITS" not in names("latens.data")


def test_the_first_sight_shows_commands_that_go_together():
    """What is explored is where the model was written, and both commands parse."""
    commands = runpy.run_path(str(ROOT / "examples" / "gallery" / "first_sight.py"))["COMMANDS"]
    fit, explore = (shlex.split(part)[1:] for part in "".join(commands).replace("\\", " ").split("$ ")[1:])
    assert fit[fit.index("--out") + 1] == explore[1]
    for words in (fit, explore):
        parse(words)
