"""`latens detect`: which rows are unlike the training rows."""

import argparse
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from latens.cli.context import Context, output_path
from latens.cli.sources import Opened, load_for, open_model, read_for
from latens.config import VAEConfig
from latens.data import Dataset
from latens.data.streams.dataset import StreamDataset
from latens.errors import ConfigError, DataError, LatensError
from latens.verbs._files import write_table
from latens.verbs._measured import held_out_rows
from latens.workflow.cells import blame, named_cells, typed_columns
from latens.workflow.detect import detect as find
from latens.workflow.detect import strange_rows

CELLS, MOST_BLAMED = 3, 1000
"""Cells named for each flagged row of typed columns, and flagged rows of which they are named."""


def detect(context: Context) -> int:
    """Write every row's surprise, p-value, q-value and whether it is flagged."""
    args = context.args
    out = output_path(args, (".csv", ".parquet"), args.data, args.run, args.held_out)
    opened = open_model(args.run)
    config = opened.trained.config
    if not isinstance(config, VAEConfig) or opened.trained.is_point:
        what = "only a model with log p(x) can say how surprising a row is."
        raise ConfigError(what, where=args.run, fix="Train a VAE: `latens fit DATA`.")
    types = opened.trained.schema.types if args.cells is None else typed_columns(opened.trained, "--cells")
    cells = 0 if types is None else min(CELLS if args.cells is None else args.cells, len(types))
    new, _, _ = read_for(opened, context, every=True, unknown="missing")
    of_held_out = replace(context, args=argparse.Namespace(**vars(args) | {"data": args.held_out}))
    own = load_for(opened, of_held_out, unknown="missing" if args.held_out else None)
    trained_on = own if opened.knows(own) else _own_data(opened, context)
    told_of_rows = "that did not train the model"
    if opened.knows(own):  # also where --held-out names the run's own data: its split says which rows trained
        split, positions = held_out_rows(own)
    else:
        split, positions = args.held_out, np.arange(len(own))
        if trained_on is None:
            told_of_rows = "(whether they trained the model is not known: its own data cannot be read)"
        elif again := _again(trained_on, own):
            positions = np.array([at for at in range(len(own)) if at not in again], np.int64)
            words = f"{len(again)} of {len(own)} rows of {args.held_out} trained the model, and are left out"
            if not len(positions):
                fix = "Name other rows, or leave --held-out out: the run's own held-out rows are then used."
                raise DataError(f"all {len(own)} rows trained the model.", where=f"--held-out {args.held_out}", fix=fix)
            context.warn(words)
    if split == "train":
        what = "the run held no rows out, and training rows would make every new row look unusual."
        raise DataError(what, where=args.run, fix="Name rows that did not train it: --held-out FILE.")
    if args.dry_run:
        context.say(
            f"would compare {len(new)} rows with {len(positions)} held-out ones into {out}; nothing was written"
        )
        context.result({"dry_run": True, "out": str(out), "rows": len(new), "held_out": len(positions)})
        return 0
    found = find(
        opened.trained, own, positions, new,
        alpha=args.alpha, num_samples=args.num_samples, seed=args.seed,
    )  # fmt: skip
    names = {} if np.array_equal(new.names, np.arange(len(new))) else {"row_id": new.names}
    arrays: dict[str, np.ndarray] = names or {"row": np.arange(len(new))}
    arrays |= {"surprise": found.surprise}
    if found.code_length is not None:
        arrays |= {"code_length": found.code_length, "excess": found.score}
    arrays |= {"p_value": found.p_value, "q_value": found.q_value}
    arrays |= {"flagged": found.flagged.astype(int)}
    flagged = np.flatnonzero(found.flagged)
    top = flagged[np.argsort(-found.score[flagged], kind="stable")][:MOST_BLAMED]
    told: dict[int, str] = {}
    if cells and len(top):
        blamed = blame(opened.trained, new, top, others=found.calibration, cells=cells, seed=args.seed)
        columns = named_cells(blamed, new, top)
        arrays |= columns
        told = {row: _told(columns, row) for row in top[:5].tolist()}
    write_table(out, arrays, infinite=("surprise",))
    if found.drift.words:
        context.warn(f"{found.drift.words}; compare them with usual rows of their own time or place (--held-out FILE)")
    known = 0 if trained_on is None else len(_again(trained_on, new))
    if known:
        context.warn(f"{known} of the rows are training rows of the model, which look less unusual than they are")
    text = [f"{out}: {len(flagged)} of {len(new)} rows flagged at a share of {args.alpha:g} false alarms"]
    text.append(f"compared with {found.calibration} rows {told_of_rows} ({split})")
    if found.code_length is not None:
        text.append(
            "pictures are compared by how much their surprise, -log p(x), exceeds the length of their code under PNG's "
            "filters and DEFLATE: log p(x) alone favours simple pictures"
        )
    strange = int(strange_rows(new).sum())
    if strange:
        text.append(f"{strange} rows hold a name that no training row had: they are flagged whatever their q-value")
    least = 1.0 / (found.calibration + 1)
    if least * len(new) > args.alpha:
        few = int(np.ceil(least * len(new) / args.alpha))
        text.append(
            f"the smallest p-value that these can show is {least:.2g}: of {len(new)} rows at least {few} must have it "
            "before any is flagged; give more held-out rows (--held-out)"
        )
    for row in top[:5].tolist():
        line = f"  row {new.names[row]}: surprise {found.surprise[row]:.1f} nats, "
        if found.code_length is not None:
            line += f"{found.score[row]:.1f} more than its code, "
        line += f"p {found.p_value[row]:.2g}"
        text.append(line + told.get(row, ""))
    if len(flagged) > len(top) and cells:
        text.append(f"cells are named for the {len(top)} most surprising rows")
    value: dict[str, Any] = {"out": str(out), "rows": len(new), "flagged": len(flagged), "alpha": args.alpha}
    value |= {"held_out": found.calibration, "training_rows": known, "unseen": strange}
    value |= {"drift": {"distance": found.drift.distance, "p_value": found.drift.p_value}}
    value |= {"score": "surprise" if found.code_length is None else "excess"}
    context.done(value, "\n".join(text))
    return 0


def _told(columns: dict[str, np.ndarray], row: int) -> str:
    """The cell to blame of a row in words."""
    if not columns["cell_1"][row]:
        return ""
    cell, value, expected, p = (columns[name][row] for name in ("cell_1", "value_1", "expected_1", "p_1"))
    return f"; {cell} is {value}, expected {expected}, p {p}"


def _own_data(opened: Opened, context: Context) -> Dataset | None:
    """The data that the model was trained on; None where they cannot be read."""
    try:
        return load_for(opened, replace(context, args=argparse.Namespace(**vars(context.args) | {"data": None})))
    except LatensError:
        return None


def _again(own: Dataset, rows: Dataset) -> set[int]:
    """The positions of rows that are training rows, cell by cell; none where rows that are alike explain as many."""
    known: Counter[bytes] = Counter()
    for part in own.stream.parts() if isinstance(own, StreamDataset) else [own]:
        known.update(_bytes(part, part.subset("train")))
    found = {at for at, row in enumerate(_bytes(rows, np.arange(len(rows)))) if row in known}
    twins = sum(n for n in known.values() if n > 1) / max(sum(known.values()), 1)  # as a new row of their kind has
    expected = twins * len(rows)
    return found if len(found) > expected + 4.0 * np.sqrt(expected * (1.0 - twins)) else set()


def _bytes(data: Dataset, positions: np.ndarray) -> list[bytes]:
    return [row.tobytes() for row in np.asarray(data.rows(positions).x)]
