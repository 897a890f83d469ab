"""The notebooks run as they stand, with fewer steps."""

import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

FOLDER = Path(__file__).parents[1] / "examples" / "notebooks"
MAGIC = (r"^%.*$", "")
FEWER = (
    MAGIC,
    (r"\bepochs=\d+", "epochs=2"),
    (r"\bsteps=\d+", "steps=40"),
    (r"\bSTEPS = (.*), \d+", r"STEPS = \1, 40"),
)


@pytest.mark.parametrize("name", [path.stem for path in sorted(FOLDER.glob("*.ipynb"))])
def test_a_notebook_runs(name: str) -> None:
    """Every cell of code, one after the other; each has the output of a whole run, and none of them is an error."""
    plt.switch_backend("agg")
    cells = [
        cell for cell in json.loads((FOLDER / f"{name}.ipynb").read_text())["cells"] if cell["cell_type"] == "code"
    ]
    names: dict[str, object] = {"__name__": "__main__"}
    for number, cell in enumerate(cells):
        assert all(output["output_type"] != "error" for output in cell["outputs"])
        assert cell["execution_count"] == number + 1, f"{name}: run `make notebooks`"
        code = "".join(cell["source"])
        for what, fewer in FEWER:
            code = re.sub(what, fewer, code, flags=re.MULTILINE)
        exec(compile(code, f"{name}, cell {number + 1}", "exec"), names)
    plt.close("all")
    pictures = sum("image/png" in output.get("data", {}) for cell in cells for output in cell["outputs"])
    assert pictures >= 1
