"""`latens judge`: a synthetic table, whoever made it, beside the real one."""

from pathlib import Path
from typing import Any

from latens.cli.context import Context, output_path
from latens.io.atomic import write_atomic
from latens.io.terminal import table


def judge(context: Context) -> int:
    """Print how like a synthetic table is to a real one, and what it gives away."""
    args = context.args
    out = output_path(args, (".html",), args.real, args.fake, args.test) if args.out else None
    if args.dry_run:
        context.say(f"would judge {args.fake} by {args.real}; nothing was written")
        context.result({"dry_run": True, "out": None if out is None else str(out)})
        return 0
    from latens.workflow.judge import judge as judge_tables

    found = judge_tables(args.real, args.fake, test=args.test, target=args.target, seed=args.seed)
    if out is not None:
        from latens.report.judged import judgement_page

        write_atomic(out, judgement_page(found, Path(args.real).name, Path(args.fake).name).encode("utf-8"))
        found = {**found, "out": str(out)}
    context.result(found, "\n".join(lines(found, args.real, args.fake)))
    if out is not None:
        context.say(f"{out}: the same as a page")
    return 0


def lines(found: dict[str, Any], real: str, fake: str) -> list[str]:
    """Write a judgement for a terminal."""
    from latens.report.judged import NEAR, rows

    shown = [("", fake, "what real rows reach", ""), *rows(found)]
    counts = found["rows"]
    head = f"{fake}: {counts['fake']:,} rows beside the {counts['real']:,} of {real}, {len(found['columns'])} columns"
    told = [head, table(shown, indent="  ")]
    worst = ", ".join(f"{one['column']} {one['shape']:.3f}" for one in found["worst_columns"][:3])
    told.append(f"least alike: {worst}")
    if found.get("worst_pairs"):
        told.append(
            "  " + ", ".join(f"{' with '.join(o['columns'])} {o['trend']:.3f}" for o in found["worst_pairs"][:3])
        )
    for one in found["validity"]["names_of_20_rows_that_are_lacking"]:
        told.append(f"lacking: {one['names']} names of {one['column']} that 20 or more real rows have")
    if found["left_out"]:
        told.append(f"left out, since every row has another text: {', '.join(found['left_out'])}")
    if "near" in found:
        told.append(NEAR)
    return told
