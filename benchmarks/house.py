"""How many lines the package is, by kind and by folder: the figures of docs/design.md.

    python benchmarks/house.py [--json]

A line counts once: as docstring (any string that stands alone), import, comment, blank, or code. The ratios are to
lines of code with imports.
"""

import argparse
import ast
import io
import json
import tokenize
from collections import Counter
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src" / "latens"


def count(text: str) -> Counter[str]:
    """Count the lines of a source text by kind, and its comments."""
    kinds: dict[int, str] = {}
    for node in ast.walk(ast.parse(text)):
        kind = None
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            kind = "docstring"
        elif isinstance(node, ast.Import | ast.ImportFrom):
            kind = "import"
        if kind is not None and isinstance(node, ast.stmt):
            kinds |= dict.fromkeys(range(node.lineno, (node.end_lineno or node.lineno) + 1), kind)
    found = Counter(lines=len(text.splitlines()))
    spaces = (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            found["comment"] += token.line.lstrip().startswith("#")
        elif token.type not in spaces:
            for line in range(token.start[0], token.end[0] + 1):
                kinds.setdefault(line, "code")
    return found + Counter(kinds.values())


def main() -> None:
    """Print the table, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    folders: dict[str, Counter[str]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        folder = path.relative_to(SOURCE).parts[0] if path.parent != SOURCE else "."
        folders.setdefault(folder, Counter()).update(count(path.read_text(encoding="utf-8")))
    total: Counter[str] = sum(folders.values(), Counter())
    code = total["code"] + total["import"]
    ratios = {f"{kind}_per_line_of_code": round(total[kind] / code, 4) for kind in ("docstring", "comment")}
    if arguments.json:
        print(json.dumps({"total": dict(total), **ratios, "folders": {k: dict(v) for k, v in folders.items()}}))
        return
    kinds = ("lines", "code", "import", "docstring", "comment")
    print("".join(f"{word:>12}" for word in ("folder", *kinds)))
    for name, found in [*folders.items(), ("total", total)]:
        print(f"{name:>12}" + "".join(f"{found[kind]:>12,}" for kind in kinds))
    print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in ratios.items()))


if __name__ == "__main__":
    main()
