"""`latens judge`: a synthetic table, whoever made it, beside the real one."""

from pathlib import Path
from typing import Annotated, Any, ClassVar

from latens.io.terminal import table
from latens.verbs.kernel import At, Made, Request, Work, Would, arg, whole

_TEST = "real rows that did not make it: for attacks, utility, and what real rows reach"
_TARGET = "what a classifier learns to predict from either table (needs --test)"
_SEED = "of the classifiers and the rows that are chosen (default 0)"


ALARMS = 0.01
"""The share of false alarms at which attacks are counted: what chance finds."""


class Judge(Request):
    """A synthetic table beside the real one: how like it is, and what it gives away."""

    endings: ClassVar = (".html",)
    takes_out: ClassVar = ("FILE.html", "also write the numbers as a page")
    prints: ClassVar = True
    real: Annotated[str, arg("the table that the other one was made from", "REAL", reads=True)]
    fake: Annotated[str, arg("the synthetic table, whoever made it", "FAKE", reads=True)]
    test: Annotated[str | None, arg(_TEST, metavar="REAL2", reads=True)] = None
    target: Annotated[str | None, arg(_TARGET, metavar="COLUMN")] = None
    seed: Annotated[int, arg(_SEED, metavar="S", kind=whole(0, 2**32 - 1))] = 0

    def place(self, at: At) -> Path | None:
        return self.checked_out(at.asked) if at.asked else None

    def __call__(self, at: At) -> Work:
        out = str(at.out) if at.writes else None
        yield Would(f"judge {self.fake} by {self.real}; nothing was written", {"out": out})
        from latens.report.judged import judgement_page
        from latens.workflow.judge import judge

        found = judge(self.real, self.fake, test=self.test, target=self.target, seed=self.seed)
        page = judgement_page(found, Path(self.real).name, Path(self.fake).name).encode("utf-8") if out else None
        note = f"{out}: the same as a page" if out else ""
        return Made(
            value=found, text="\n".join(_lines(found, self.real, self.fake)), plain=_plain(found), raw=page, note=note
        )


def _plain(found: dict[str, Any]) -> tuple[str, ...]:
    """What a judgement comes to: how alike the tables are, who can tell them apart, and what is given away."""
    counts, shape, trend = found["rows"], found["shape"], found["trend"]
    lines = [f"Compared {counts['fake']:,} synthetic rows with {counts['real']:,} real ones."]
    alike = f"Columns are {100 * shape['value']:.1f} % alike, pairs of columns {100 * trend['value']:.1f} %"
    if "new_rows" in shape:
        alike += f" (new real rows: {100 * shape['new_rows']['value']:.1f} %, {100 * trend['new_rows']['value']:.1f} %)"
    lines.append(f"{alike}.")
    auc = max(one["auc"] for one in (found["detection"]["trees"], found["detection"]["logistic"]))
    lines.append(f"Shown a real and a synthetic row, a test finds the real one in {100 * auc:.0f} % (guessing: 50 %).")
    attacks = found.get("attacks")
    if attacks:
        worst = max(attacks.values(), key=lambda one: one["caught"])
        more = "more" if worst["low"] > ALARMS else "no more"
        found_in = f"an attack finds {100 * worst['caught']:.1f} % of real rows (chance 1 %)"
        lines.append(f"Gives away {more} than chance: {found_in}.")
    else:
        lines.append("Next: add --test REAL2, rows that did not make it, to see what it gives away.")
    return tuple(lines)


def _lines(found: dict[str, Any], real: str, fake: str) -> list[str]:
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
