"""`latens drift`: which columns of new rows have moved since training."""

import shlex
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from latens.errors import LatensError
from latens.io.terminal import table
from latens.verbs._lazy import np
from latens.verbs.kernel import At, Made, Seed, Verb, Work, arg, draws, number

if TYPE_CHECKING:
    from latens.data import Dataset
    from latens.evaluation.samples.moved import Move

MOVED = 10
"""The exit code where something has moved by more than --fail-above."""
SAID = 3
"""Columns that the plain lines name."""

_ALPHA = "how often rows like the usual ones may have a column that is named (default 0.01)"
_REFERENCE = "usual rows that did not train the model (default: the rows of the run)"
_FAIL = f"exit with {MOVED} where something has moved by more than D and beyond chance (default: always 0)"


class Drift(Verb):
    """Columns of new rows that moved since training, and by how much."""

    takes_out: ClassVar = None
    prints: ClassVar = True
    needs_latents: ClassVar = False
    data: Annotated[Any, arg("the new rows", "DATA", reads=True)]
    reference: Annotated[Any, arg(_REFERENCE, metavar="DATA2", reads=True)] = None
    alpha: Annotated[float, arg(_ALPHA, metavar="A", kind=number(0.001, 0.5, "within 0.001 and 0.5"))] = 0.01
    fail_above: Annotated[float | None, arg(_FAIL, metavar="D", kind=number(0, 1))] = None
    num_samples: Annotated[int, arg("draws a row for -log p(x) (default 100)", metavar="K", kind=draws)] = 100
    seed: Seed = 0

    def __call__(self, at: At) -> Work:
        from latens.workflow.drift import drifted

        new = at.load(unknown="missing")
        usual, held_out = self._usual(at)
        yield f"compare {len(new)} rows of {new.name} with {len(usual)} of {usual.name}"
        found = drifted(at.trained, usual, new, held_out, num_samples=self.num_samples, seed=self.seed)
        sure = [one for one in found.columns if one.p_value <= self.alpha]
        whole = found.altogether
        odd = whole is not None and whole.p_value <= self.alpha
        far = [*sure, *([whole] if whole is not None and odd else [])]
        failed = self.fail_above is not None and any(one.distance > self.fail_above for one in far)
        value: dict[str, Any] = {
            "rows": {"usual": found.rows[0], "new": found.rows[1]},
            "alpha": self.alpha,
            "seed": self.seed,
            "moved": [one.name for one in sure],
            "columns": [_json(one, found.words[one.name]) for one in found.columns],
            "altogether": None,
            "left_out": list(found.left_out),
            "failed": failed,
        }
        lines = [_count(sure, len(found.columns), found.rows)]
        lines += [f"{one.name}: {found.words[one.name]}." for one in sure[: SAID - 1]]
        if whole is not None:
            value["altogether"] = {**_json(whole, ""), "surprise": dict(zip(("usual", "new"), found.medians))}
            lines.append(_altogether(odd, *found.medians))
        here = f"{shlex.quote(at.name)} {shlex.quote(str(self.data))}"
        if len(lines) < 4 and (sure or odd):
            lines.append(f"Next: latens detect {here} --out unusual.csv  (which rows)")
        head = ("", "moved", "by chance", "p", "where it shows most")
        rows = [(one.name, *_numbers(one), found.words[one.name]) for one in found.columns]
        rows += [] if whole is None else [("-log p(x)", *_numbers(whole), "")]
        text = [table([head, *rows], indent="  "), *(f"not compared: {words}" for words in found.left_out)]
        note = "moved: largest difference of shares, from 0 to 1; p: how often chance moves any column as far"
        status = MOVED if failed else 0
        return Made(value=value, text="\n".join(text), plain=tuple(lines), note=note, status=status)

    def _usual(self, at: At) -> "tuple[Dataset, np.ndarray]":
        """The rows to compare with, and those of them that did not train the model."""
        from latens.workflow.groups import held_out_rows

        if self.reference is None:
            try:
                usual = at.load_of(None)
            except LatensError as error:
                error.fix = f"{error.fix} Or name usual rows: --reference FILE.".strip()
                raise
        else:
            usual = at.load_of(self.reference, unknown="missing")
            if not at.knows(usual):
                return usual, np.arange(len(usual))
        split, held_out = held_out_rows(usual)
        return usual, held_out if split != "train" else held_out[:0]


def _count(sure: "list[Move]", columns: int, rows: tuple[int, int]) -> str:
    compared = f"{rows[1]:,} new rows, beside {rows[0]:,} usual ones"
    if not columns:
        return f"Compared {compared}, without columns."
    if not sure:
        return f"Moved: none of {columns} columns ({compared})."
    named = ", ".join(f"{one.name} by {one.distance:.2f}" for one in sure[:SAID])
    more = f" and {len(sure) - SAID} more" if len(sure) > SAID else ""
    return f"Moved: {named}{more} ({compared})."


def _altogether(odd: bool, usual: float, new: float) -> str:
    middle = f"-log p(x) has the median {new:.1f} nats, usually {usual:.1f}"
    return f"Rows altogether: {'unlike usual ones' if odd else 'as likely as usual ones'}; {middle}."


def _numbers(one: "Move") -> tuple[str, str, str]:
    return f"{one.distance:.3f}", f"{one.by_chance:.3f}", f"{one.p_value:.3f}"


def _json(one: "Move", words: str) -> dict[str, Any]:
    whole = {"name": one.name, "moved": one.distance, "by_chance": one.by_chance, "p_value": one.p_value}
    return whole | ({"where": words} if words else {})
