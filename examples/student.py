"""Write the students' copies of the course: `python examples/student.py`, which `make notebooks` runs too.

A cell of `answers/` whose metadata hold `student` is an exercise: its source has a line `# Your answer`, the answer, a
line `# Check` and assertions. The copy in `notebooks/` has what stands in `student` in the place of the answer, and a
check that says right or wrong. All other cells are as they are, with their outputs.
"""

import ast
import copy
import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ANSWERS, NOTEBOOKS = HERE / "answers", HERE / "notebooks"
ANSWER, CHECK = "# Your answer\n", "\n# Check\n"
HOW = (
    "\n\nWhere a cell has `...`, write your answer in its place and run the cell: "
    "it prints *Right*, or what is wrong.\n"
    "The [answers](../answers/{name}) are in a separate notebook."
)
TRIED = """try:
{check}
except AssertionError as reason:
    print("Wrong:", reason)
except Exception as reason:
    lacks = "ellipsis" in str(reason)
    why = "write your answer in the place of ..." if lacks else f"it fails with {{type(reason).__name__}}: {{reason}}"
    print("Not yet:", why)
else:
    print("Right.")"""


def parts_of(cell: dict[str, Any]) -> tuple[str, str]:
    """The answer and the check of an exercise."""
    answer, _, check = "".join(cell["source"]).removeprefix(ANSWER).partition(CHECK)
    return answer.rstrip(), check


def displayed(check: str) -> str:
    """The check with its last expression displayed, as Jupyter does only where no `try` is around it."""
    last = ast.parse(check).body[-1] if check.strip() else None
    if not isinstance(last, ast.Expr) or ast.unparse(last).startswith("print("):
        return check
    lines = check.splitlines()
    return "\n".join([*lines[: last.lineno - 1], "display(", *(f"    {one}" for one in lines[last.lineno - 1 :]), ")"])


def tried(answer: str, check: str) -> str:
    """The source of a cell that says whether its answer is right."""
    open_ = re.findall(r"^(\w+) = \.\.\.", answer, re.MULTILINE)
    first = f"if any(one is ... for one in ({', '.join(open_)},)):\n    raise TypeError('ellipsis')\n" if open_ else ""
    inside = "\n".join(f"    {line}" if line else "" for line in (first + displayed(check)).splitlines())
    return f"{ANSWER}{answer}\n{CHECK}{TRIED.format(check=inside)}"


def student(notebook: dict[str, Any], name: str) -> dict[str, Any]:
    """The copy of a notebook without its answers, and without what these print."""
    made = copy.deepcopy(notebook)
    first = "".join(made["cells"][0]["source"]) + HOW.format(name=name)
    made["cells"][0]["source"] = first.splitlines(keepends=True)
    for cell in made["cells"]:
        if (stub := cell["metadata"].pop("student", None)) is not None:
            cell["source"] = tried("".join(stub), parts_of(cell)[1]).splitlines(keepends=True)
            cell["outputs"] = []
    return made


def written(path: Path) -> str:
    """The text of the copy of a file."""
    made = student(json.loads(path.read_text(encoding="utf-8")), path.name)
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for path in sorted(ANSWERS.glob("*.ipynb")):
        (NOTEBOOKS / path.name).write_text(written(path), encoding="utf-8")
