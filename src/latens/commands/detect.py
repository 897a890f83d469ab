"""`latens detect`: which rows are unlike the training rows."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from latens.commands._lazy import np
from latens.commands.base import Call, DryRun, ModelCommand, Result, Seed, Work, arg, draws, number, table_rows, whole
from latens.errors import ConfigError, DataError, LatensError, visible
from latens.kinds import kind_of
from latens.runtime.terminal import doing

if TYPE_CHECKING:
    from latens.data import Dataset
    from latens.trained.cell_scores import Detection
    from latens.trained.trained_model import TrainedModel

CELLS, MOST_BLAMED = 3, 1000
"""Cells named for each flagged row of typed columns, and flagged rows of which they are named."""
SAID, MOST_SAID = 5, 20
"""Flagged rows of which a line is said, and of those that --top asks for the most."""
SCANNED = 10_000
"""The most surprising rows in which odd cells are looked for."""
SHOWN = 60
"""Characters of a row of text that its name has."""

_ALPHA = "the share of false alarms allowed among flagged rows (default 0.05)"
_HELD_OUT = "rows to compare with, which were not used for training (default: the held-out rows of the run)"
_TOP = (
    "the N rows with the most surprising cells, flagged or not; with --cells 0 the most surprising rows "
    "(default: the flagged rows)"
)
_DRAWS = "draws of each row (default 100; 10 for pictures of more than 4096 numbers)"

LARGE, LARGE_DRAWS = 4096, 10
"""Cells of a row above which it is large, and draws of such a row.

1,491 photographs of 64 x 64, 128 latents: 20 s in place of 370, with nearly the same order.
"""

SHEET, SHEET_COLUMNS = 20, 5
"""Pictures of a contact sheet, where --top does not say how many, and in one line of it."""


class Detect(ModelCommand):
    """Find unusual rows, with p-values."""

    endings: ClassVar = (".csv", ".parquet", ".png")
    takes_out: ClassVar = (
        "FILE",
        "the result: all rows, with --top only these (.csv, .parquet), or the most unusual pictures (.png)",
    )
    needs_latents: ClassVar = False
    needs_density: ClassVar = ("the surprise of a row", "Train a VAE: `latens fit DATA`.")
    data: Annotated[Any, arg("the rows to score", "DATA", reads=True)]
    alpha: Annotated[float, arg(_ALPHA, metavar="A", kind=number(1e-6, 0.5))] = 0.05
    held_out: Annotated[Any, arg(_HELD_OUT, metavar="DATA2", reads=True)] = None
    cells: Annotated[
        int | None,
        arg("cells to list for each flagged row of a mixed table (default 3; 0 for none)", metavar="N",
            kind=whole(0, 100)),
    ] = None  # fmt: skip
    num_samples: Annotated[int | None, arg(_DRAWS, metavar="K", kind=draws)] = None
    seed: Seed = 0
    top: Annotated[int | None, arg(_TOP, metavar="N", kind=table_rows)] = None

    def place(self, at: Call) -> Path | None:
        return self.checked_out(at.asked) if at.asked else None

    def __call__(self, at: Call) -> Work:
        from latens.trained.cell_scores import detect

        trained = at.trained
        types = trained.schema.column_types
        if self.cells:
            at.kind.refuse("types", "--cells")
        cells = min(CELLS if self.cells is None else self.cells, len(types))
        new = at.load(unknown="missing")
        at.check_picture("Use .csv or .parquet.")
        own, trained_on, split, positions = self._held_out(at)
        where = f" into {at.out}" if at.writes else ""
        words = f"compare {len(new)} rows with {len(positions)} held-out ones{where}; nothing was written"
        out = str(at.out) if at.writes else None
        yield DryRun(words, {"out": out, "rows": len(new), "held_out": len(positions)})
        given: dict[str, Any] = {"alpha": self.alpha, "gate": self.top is None and not at.picture}
        given |= {"num_samples": self._draws(at), "seed": self.seed}
        doing("scoring the rows")
        found = detect(trained, own, positions, new, **given)
        arrays, called = _columns(trained, new, found, at.options.get("row_id"))
        top = self._top(at, new, found, arrays, cells)
        known = 0 if trained_on is None else len(_again(trained_on, new))
        if known:
            at.warn(f"{known} of the rows are training rows and look less unusual than they are")
        names = ("surprise", "score", "p_value", "q_value", *(f"p_{k}" for k in range(1, cells + 1)))
        return Result(
            arrays=arrays, infinite=("surprise", "score"), pixels=lambda: self._sheet(new, found, top),
            table=None if self.top is None else {name: values[top] for name, values in arrays.items()},
            dialect=at.dialect(self.data), added=names if types else (),
            value=self._value(new, found, arrays, top, known, cells),
            text="\n".join(self._record(new, found, split, trained_on is None, "row" in arrays, top)),
            plain=tuple(self._plain(at, found, arrays, called, top)),
        )  # fmt: skip

    def _top(self, at: Call, new: "Dataset", found: "Detection", arrays: dict[str, Any], cells: int) -> "np.ndarray":
        """The rows that are named, the oddest first; their odd cells and ranks become columns."""
        from latens.trained.cell_scores import Blame, blame, named_cells

        asked, most = np.flatnonzero(found.flagged), MOST_BLAMED
        if self.top is not None or at.picture:
            asked, most = np.arange(len(new)), max(self.top or SHEET, SCANNED if cells else 0)
        top = asked[np.argsort(-found.odd[asked], kind="stable")][:most]
        if cells and len(top):
            learned = at.trained.facts.get("rows")  # numbers lie beyond these
            others = learned if isinstance(learned, int) else found.calibration
            doing("scoring cells")
            blamed = blame(at.trained, new, top, cells=cells, seed=self.seed, others=others)
            if self.top is not None:  # a cell may be wrong where its row as a whole is not surprising
                oddest = np.argsort(blamed.p_value[:, 0], kind="stable")[: self.top]
                top, blamed = top[oddest], Blame._make(part[oddest] for part in blamed)
            arrays |= named_cells(blamed, new, top)
        if self.top is not None:  # 0 of the others
            arrays["rank"] = np.zeros(len(new), int)
            arrays["rank"][top] = np.arange(1, len(top) + 1)
        return top

    def _needed(self, found: "Detection") -> int:
        """How many rows must have the smallest p-value there is before any of them is flagged."""
        return int(np.ceil(len(found.flagged) / (found.calibration + 1) / self.alpha - 1e-9))

    def _record(
        self, new: "Dataset", found: "Detection", split: str, unread: bool, counted: bool, top: "np.ndarray"
    ) -> list[str]:
        """What rows were compared with, and what that can show."""
        from latens.trained.cell_scores import strange_rows

        n, flagged, needed = len(new), int(found.flagged.sum()), self._needed(found)
        told = "that did not train the model"
        told = "(the training data cannot be read, so these may include training rows)" if unread else told
        lines = [f"{flagged} of {n} rows flagged at a share of {self.alpha:g} false alarms"]
        if self.top is not None:  # the file holds these alone
            lines[0] = f"{len(top)} rows, {found.flagged[top].sum()} of them flagged; in all, {lines[0]}"
        lines += [f"compared with {found.calibration} rows {told} ({split})"]
        if strange := int(strange_rows(new).sum()):
            some = "1 row has" if strange == 1 else f"{strange} rows have"
            lines.append(f"always flagged: {some} a category that no training row has")
        if needed > 1 and (self.top is None or not flagged):
            few = f"at least {needed} of {n} rows need it before any row is flagged"
            why = f": {few}; add held-out rows (--held-out)" if self.top is None else ""
            lines.append(f"the smallest possible p-value is {1.0 / (found.calibration + 1):.2g}{why}")
        if counted and new.schema.columns is not None:
            lines.append("rows count from 0: below a header row N is line N + 2 (--id COLUMN names them)")
        return lines

    def _plain(
        self, at: Call, found: "Detection", arrays: dict[str, Any], called: list[str], top: "np.ndarray"
    ) -> list[str]:
        """What it comes to: how many, which, and what to do next."""
        picture, flagged = at.trained.schema.image is not None, int(found.flagged.sum())
        rows, too_few = "pictures" if picture else "rows", self._needed(found) > 1 and not flagged
        few = f"{found.calibration:,} held-out {rows} are too few to flag single ones"
        few += f", which takes {int(np.ceil(len(called) / self.alpha - 1e-9)) - 1:,}"
        lines = [f"Compared {len(called):,} {rows} with {found.calibration:,} held-out {rows}."]
        alarms = f"; about {self.alpha * flagged:.0f} of these may be false alarms" if flagged else ""
        if self.top is not None:
            where = f"; {at.out.name} lists them, the most unusual first" if at.writes else ""
            lines.append(f"Ranked the {len(top):,} most unusual rows, flagged or not{where}.")
        elif too_few:
            lines.append(f"Flagged none: {few}.")
        else:
            lines.append(f"Flagged {flagged or 'none'}{alarms}.")
        if len(top):
            lines.append("Most unusual (--out odd.png draws them):" if picture and not at.picture else "Most unusual:")
            lines += [_line(found, arrays, called, row) for row in top[: self.top or SAID][:MOST_SAID].tolist()]
        if self.top is None:
            write = "" if at.writes else ", --out odd.csv writes all rows"
            lines += [f"{at.out.name} shows the most unusual {rows}, flagged or not."] if at.picture else []
            lines.append(f"Next: --top 20 ranks the most unusual rows{write}.")
        elif too_few:
            lines.append(f"Check these rows yourself: {few}.")
        return lines

    def _value(
        self, new: "Dataset", found: "Detection", arrays: dict[str, Any], top: "np.ndarray", known: int, cells: int
    ) -> dict[str, Any]:
        """What --json prints."""
        from latens.trained.cell_scores import strange_rows

        told = {"rows": len(new), "flagged": int(found.flagged.sum()), "alpha": self.alpha}
        told |= {"held_out": found.calibration, "training_rows": known, "unseen": int(strange_rows(new).sum())}
        told |= {"score": "surprise + 2 KL"}
        return told if self.top is None else told | {"top": [_named(arrays, row, cells) for row in top.tolist()]}

    def _sheet(self, new: "Dataset", found: "Detection", top: "np.ndarray") -> tuple[Any, int]:
        """The oddest pictures with their names, and how many stand in a line."""
        from latens.model_figures.image_scale import captioned, shown

        names = [f"{k}. {new.names[row]}" for k, row in enumerate(top.tolist(), 1)]
        return captioned(shown(new.schema, np.asarray(new.x)[top]), names), SHEET_COLUMNS

    def _draws(self, at: Call) -> int:
        """Draws a row: few where a row is large."""
        if self.num_samples is not None:
            return self.num_samples
        return LARGE_DRAWS if int(np.prod(at.trained.schema.shape)) > LARGE else 100

    def _held_out(self, at: Call) -> "tuple[Dataset, Dataset | None, str, np.ndarray]":
        """The rows to compare with, the training data where they can be read, and which of the first count."""
        from latens.trained.metric_functions import held_out_rows

        own = at.load_of(self.held_out, unknown=None if self.held_out is None else "missing")
        if at.knows(own):  # also where --held-out names the run's own data: its split says which rows trained
            split, positions = held_out_rows(own)
            if split == "train":
                what = "the run has no held-out rows, and compared with training rows every new row looks unusual."
                raise ConfigError(what, where=at.name, fix="Name rows that are not training rows: --held-out FILE.")
            return own, own, split, positions
        trained_on, positions = _own_data(at), np.arange(len(own))
        if again := _again(trained_on, own) if trained_on is not None else set():
            positions = np.array([row for row in range(len(own)) if row not in again], np.int64)
            words = f"{len(again)} of {len(own)} rows of {self.held_out} are training rows and are left out"
            if not len(positions):
                fix = "Name other rows, or leave --held-out out to use the held-out rows of the run."
                what, where = f"all {len(own)} rows are training rows.", f"--held-out {self.held_out}"
                raise DataError(what, where=where, fix=fix)
            at.warn(words)
        return own, trained_on, str(self.held_out), positions


def _columns(
    trained: "TrainedModel", new: "Dataset", found: "Detection", ids: object
) -> tuple[dict[str, Any], list[str]]:
    """The columns of the file, and what each row is called."""
    own = not np.array_equal(new.names, np.arange(len(new)))
    name = ids if isinstance(ids, str) and ids != "row" else "row_id"  # as the column of the ids is called
    arrays: dict[str, Any] = {name: new.names} if own else {"row": np.arange(len(new))}
    called = [f"row {name}" for name in new.names]
    if own and trained.schema.image is not None:
        called = [str(name) for name in new.names]
    arrays |= kind_of(trained.schema).texts(trained.schema, new.x)
    if "text" in arrays:
        called = [f"{name}, {visible(text[:SHOWN])!r}" for name, text in zip(called, arrays["text"].tolist())]
    arrays |= {"surprise": found.surprise, "score": found.odd, "p_value": found.p_value, "q_value": found.q_value}
    arrays |= {"flagged": found.flagged.astype(int)}
    return arrays, called


def _line(found: "Detection", arrays: dict[str, Any], called: list[str], row: int) -> str:
    """A row, how odd it is, and its oddest cell."""
    line = f"  {called[row]}: score {found.odd[row]:.1f} nats, row p {found.p_value[row]:.2g}"
    if "cell_1" in arrays and arrays["cell_1"][row]:
        cell, value, expected, p = (arrays[name][row] for name in ("cell_1", "value_1", "expected_1", "p_1"))
        line += f"; {cell} is {value}, expected {expected}, cell p {p}"
    return line


def _named(arrays: dict[str, Any], row: int, cells: int) -> dict[str, Any]:
    """A row and its oddest cells, as --json has them."""
    odd = {name: float(arrays[name][row]) for name in ("surprise", "score")}
    own = {"row": next(iter(arrays.values()))[row]}
    own |= {"text": str(arrays["text"][row])} if "text" in arrays else {}
    own |= {name: value if np.isfinite(value) else "inf" for name, value in odd.items()}
    own |= {"p_value": float(arrays["p_value"][row])}
    words = ("cell", "value", "expected", "p")
    each = [{word: arrays[f"{word}_{k}"][row] for word in words} for k in range(1, cells + 1)]
    return own | ({"cells": [{**cell, "p": float(cell["p"])} for cell in each if cell["cell"]]} if cells else {})


def _own_data(at: Call) -> "Dataset | None":
    """The data that the model was trained on; None where they cannot be read."""
    try:
        return at.load_of(None)
    except LatensError:
        return None


def _again(own: "Dataset", rows: "Dataset") -> set[int]:
    """The positions of rows that are training rows, cell by cell; none where rows that are alike explain as many."""
    known = Counter(_bytes(own, own.subset("train")))
    found = {at for at, row in enumerate(_bytes(rows, np.arange(len(rows)))) if row in known}
    twins = sum(n for n in known.values() if n > 1) / max(sum(known.values()), 1)  # as a new row of their kind has
    expected = twins * len(rows)
    return found if len(found) > expected + 4.0 * np.sqrt(expected * (1.0 - twins)) else set()


def _bytes(data: "Dataset", positions: "np.ndarray") -> list[bytes]:
    return [row.tobytes() for row in np.asarray(data.rows(positions).x)]
