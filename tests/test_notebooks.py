"""The notebooks run as they stand, with fewer steps; the answers of the course are right, and in no student's copy."""

import contextlib
import importlib.util
import io
import json
import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
from paths import ROOT

EXAMPLES = ROOT / "examples"
FOLDER, ANSWERS = EXAMPLES / "notebooks", EXAMPLES / "answers"
MAGIC = (r"^%.*$", "")
FEWER = (
    MAGIC,
    (r"\bepochs=\d+", "epochs=2"),
    (r"\bsteps=\d+", "steps=40"),
    (r"\bSTEPS = (.*), \d+", r"STEPS = \1, 40"),
)
COURSE = sorted(path.stem for path in ANSWERS.glob("*.ipynb"))


def generator() -> Any:
    spec = importlib.util.spec_from_file_location("student", EXAMPLES / "student.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cells_of(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


def run(sources: list[str], name: str) -> list[str]:
    """Run cells one after the other, with fewer steps; what each prints."""
    plt.switch_backend("agg")
    names: dict[str, object] = {"__name__": "__main__", "display": lambda shown: None}
    said = []
    for number, code in enumerate(sources):
        for what, fewer in FEWER:
            code = re.sub(what, fewer, code, flags=re.MULTILINE)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(code, f"{name}, cell {number + 1}", "exec"), names)
        said.append(out.getvalue())
    plt.close("all")
    return said


@pytest.mark.parametrize("name", [path.stem for path in sorted(FOLDER.glob("*.ipynb"))])
def test_a_notebook_runs(name: str) -> None:
    """Each cell has the output of a whole run, and none of them is an error; no exercise is right before its answer."""
    cells = cells_of(FOLDER / f"{name}.ipynb")
    for number, cell in enumerate(cells):
        assert all(output["output_type"] != "error" for output in cell["outputs"])
        assert cell["execution_count"] == number + 1, f"{name}: run `make notebooks`"
    said = run(["".join(cell["source"]) for cell in cells], name)
    asked = ["# Your answer" in "".join(cell["source"]) for cell in cells]
    assert sum(asked) == (0 if name not in COURSE else 3 if name == "course-6-tables" else 2)
    for words, exercise in zip(said, asked):
        assert ("Not yet:" in words or "Wrong:" in words) == exercise
        assert "Right." not in words


@pytest.mark.parametrize("name", COURSE)
def test_the_answers_are_right(name: str) -> None:
    student, cells = generator(), cells_of(ANSWERS / f"{name}.ipynb")
    exercise = ["student" in cell["metadata"] for cell in cells]
    sources = [
        student.tried(*student.parts_of(cell)) if asked else "".join(cell["source"])
        for cell, asked in zip(cells, exercise)
    ]
    said = run(sources, f"{name}, answers")
    assert [words.endswith("Right.\n") for words in said] == exercise
    pictures = sum("image/png" in output.get("data", {}) for cell in cells for output in cell["outputs"])
    assert pictures >= 1


@pytest.mark.parametrize("name", COURSE)
def test_the_copy_is_the_generators_and_holds_no_answer(name: str) -> None:
    student = generator()
    text = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
    assert text == student.written(ANSWERS / f"{name}.ipynb"), "run `python examples/student.py`"
    shown = "".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
    for cell in cells_of(ANSWERS / f"{name}.ipynb"):
        if (stub := cell["metadata"].get("student")) is not None:
            answer, check = student.parts_of(cell)
            given = {line.strip() for line in ("".join(stub) + "\n" + check).splitlines()}
            own = [line.strip() for line in answer.splitlines() if line.strip() and line.strip() not in given]
            assert own
            assert [line for line in own if line in shown] == []
            assert "assert" in check


def test_a_wrong_answer_is_called_wrong() -> None:
    student = generator()
    for answer, begins in (
        ("x = 2", "Right."),
        ("x = 3", "Wrong: x is not 2"),
        ("x = ...", "Not yet: write your answer in the place of"),
        ("y = 2", "Not yet:"),
    ):
        (words,) = run([student.tried(answer, 'assert x == 2, "x is not 2"')], "one")
        assert words.startswith(begins)
