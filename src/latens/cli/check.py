"""`latens check`: what is in a data set."""

from typing import Any

from latens.cli.context import Context
from latens.commands._sources import reading_options
from latens.io.terminal import table


def check(context: Context) -> int:
    """Report on data: shape, types, range, what would go wrong, which likelihood suits them."""
    from latens.data import check as report_on
    from latens.data import load

    options = reading_options(vars(context.args))
    data = load(context.args.data, **options)
    report = report_on(data)
    shape = " x ".join(map(str, report["shape"]))
    kind = report["kind"] + (f" 0 to {report['levels'] - 1}" if report["levels"] else "")
    low, high = report["range"]
    columns = report.get("columns")
    constant = report["constant_columns"]
    # In a file of single cells a cell is a row.
    entries, fixed = ("entries", "genes") if data.cells else ("cells", "cells or columns")
    rows = [
        ("rows", f"{report['rows']} of shape {shape}, {report['dtype']}"),
        (entries, f"{kind}; from {low:g} to {high:g}; {report['zero_fraction']:.0%} are 0")
        if columns is None
        else ("cells", "of several kinds, by column"),
        ("missing", f"{report['nan_cells']} {entries}"),
        ("constant", f"{constant['count']} {fixed} never change"),
        ("duplicates", f"{report['duplicate_rows']} rows"),
        ("split", ", ".join(f"{n} {name}" for name, n in report["splits"].items())),
        ("labels", _labels(report["labels"])),
        ("likelihood", f"{report['likelihood']}. {report['reason']}"),
    ]
    if "tokens" in report:
        rows = [
            ("cells", _text(report["tokens"])) if row[0] == "cells" else row for row in rows if row[0] != "constant"
        ]
    lines = [report["name"], table(rows, indent="  ")]
    if columns is not None:
        entries = [(c["name"], c["kind"], c["dtype"], c["values"], str(c["missing"] or "")) for c in columns]
        lines += [table([("column", "kind", "dtype", "values of training rows", "missing"), *entries], indent="  ")]
    # Notes first, so that what is to be looked at is not lost among them.
    lines += [f"note: {text}" for text in report["warnings"] if text in report["notes"]]
    lines += [f"warning: {text}" for text in report["warnings"] if text not in report["notes"]]
    context.result(report, "\n".join(lines))
    return 0


def _text(found: dict[str, Any]) -> str:
    buckets = f"buckets of {', '.join(map(str, found['edges']))} steps; {found['counted']:.0%} of them hold data"
    lengths = f"{found['longest']} at the longest, {found['mean']:.1f} on average"
    return f"text in {found['vocabulary']} different {found['pieces']}; {lengths}; trained in {buckets}"


def _labels(counts: dict[str, int] | None) -> str:
    if not counts:
        return "none (--label NAME names them)"
    shown = [f"{name}: {n}" for name, n in list(counts.items())[:12]]
    return ", ".join(shown) + (f" and {len(counts) - 12} more" if len(counts) > 12 else "")
