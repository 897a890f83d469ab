"""Run all that the README shows in this environment, which has latens and nothing of the checkout: `make package`.

The first argument is the README; the work is done in the present folder.
"""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LATENS = str(Path(sys.executable).with_name("latens"))


def run(words: list[str]) -> None:
    """Run one command; its words are shown where it fails."""
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(words)} ended with code {done.returncode}:\n{done.stdout}{done.stderr}")


def main() -> None:
    """Run the README's commands and code, and what a report of a bug needs."""
    where = importlib.util.find_spec("latens")
    if where is None or not Path(where.origin or "").is_relative_to(sys.prefix):
        sys.exit(f"latens is imported from {where}, not from this environment.")
    count = 0
    for kind, block in BLOCK.findall(Path(sys.argv[1]).read_text(encoding="utf-8")):
        if kind == "python":
            Path("readme.py").write_text(block, encoding="utf-8")
            run([sys.executable, "readme.py"])
            count += 1
            continue
        for line in block.splitlines():
            if line.startswith("$ latens "):
                run([LATENS, *line.split()[2:]])
                count += 1
    for words in (["--version"], ["info", "machine"], ["info", "recipes"]):
        run([LATENS, *words])
    if count < 2:
        sys.exit("the README shows no commands.")
    print(f"{count} commands of the README and 3 others ran under Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
