"""One door for data of every kind: a name, a path, an array or a frame becomes a checked `Dataset`."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from msgspec import structs

from latens.data.beside import array_file, conditions_of_rows, names_beside, numbered
from latens.data.checks import overlapping
from latens.data.dataset import Dataset, rows_at
from latens.data.files import (
    INSIDE,
    Files,
    Part,
    by_parts,
    check_address,
    check_numeric,
    file_errors,
    files_of,
    is_address,
    is_glob,
    read_object,
    read_path,
    read_tables,
    tables_of,
    title_of,
)
from latens.data.given import (
    GIVEN,
    INPUTS,
    averaged,
    input_vectors,
    learned,
    learned_inputs,
    taken_out,
    told,
    vectors,
)
from latens.data.infer import conform, fill, find_missing, infer_schema, sequence_schema, store, with_classes
from latens.data.known import KNOWN
from latens.data.mapped import LARGEST, change, joined, kept, numbers_on_disk
from latens.data.raw import MAX_BYTES, ColumnRoles, NotNumbers, Raw, no_roles, without_columns
from latens.data.rows import (
    TRAIN,
    encode_labels,
    missing_labels,
    missing_words,
    row_conditions,
    row_keys,
    row_names,
    row_weights,
    split_by_hash,
    split_by_keys,
    unmasked,
)
from latens.data.schema import Schema
from latens.errors import DataError, UsageError, nearest
from latens.kinds.counts.anndata import is_annotated, with_genes
from latens.kinds.counts.sparse import SparseRows
from latens.kinds.pictures import idx
from latens.kinds.pictures.files import find_pictures
from latens.kinds.pictures.pairs import side_by_side
from latens.kinds.steps.long import Asked, fold, left_out, lines_of, refuse_beside, refuse_other_rows, stacked_lines
from latens.kinds.steps.world import EPISODE, TIME, World, recorded
from latens.kinds.tables.cells import coded, rows_of
from latens.kinds.tables.declared import LEFT_OUT, Declared, check_declared, declared_columns
from latens.kinds.tables.derived import apart, definitions, with_derived
from latens.kinds.tables.files import is_table_file, lines_of_rows, read_address
from latens.kinds.tables.grown import grown
from latens.kinds.tables.typed import (
    MOST_NAMED,
    beyond_words,
    known_columns,
    notes_of,
    refuse_text,
    stored_columns,
    with_absent,
)
from latens.kinds.text.rows import code_strings, one_column, text_schema
from latens.typing import checked_later


@checked_later
def load(
    spec: Any,
    *,
    label: Any = None,
    row_id: Any = None,
    weight: Any = None,
    cond: Mapping[str, Any] | None = None,
    missing: str | None = None,
    name: str | None = None,
    schema: Schema | None = None,
    counts: bool | None = None,
    typed: bool = False,
    columns: Any = None,
    pieces: str | None = None,
    unknown: str = "error",
    pair: Any = None,
    stream: bool | None = None,
    partial: bool = False,
    null: str | Sequence[str] | None = None,
    decimal_comma: bool = False,
    separator: str | None = None,
    encoding: str | None = None,
    sheet: str | int | None = None,
    header: bool | None = None,
    size: int | None = None,
    condition: Any = None,
    layer: str | None = None,
    sequence: str | None = None,
    time: str | None = None,
    window: int | str | None = None,
    stride: int | str | None = None,
    step: float | str | None = None,
    inputs: Sequence[str] | None = None,
    longest: int | None = None,
    derive: Any = None,
) -> Dataset:
    """Load data of any kind and check them: a name, a path, an array or a frame becomes a data set.

    Args:
        spec: "digits", "shapes", "mnist", "fashion-mnist", "wine", "breast-cancer", "iris"; a path (.npy, .npz, IDX, a
            folder with MNIST-named IDX files, .csv and the like, .parquet, .mtx, .h5, .h5ad, a folder of images); a
            folder or glob of .npy, .parquet, .arrow, .h5, .h5ad or .tar files, also at an address (s3://, gs://, abfs://,
            file://); one array of an HDF5 file ("file.h5:/path"); an array of
            shape (n, ...), a sparse matrix, a pandas or polars frame, an AnnData object, a list of
            strings. Sparse matrices of more than
            2^24 cells stay sparse: `x` are then `latens.kinds.counts.sparse.SparseRows`.
        label: Name of a column, of a .npz or HDF5 key or of a column of `obs`, or an array with one value for each row;
            also a .npy file, or "none" to leave labels out.
        row_id: Name or array of the row ids, as for `label`.
        weight: Name or array of the rows' weights, as for `label`.
        cond: Arrays by name, each led by the rows, that parts of your own read as `cond`: positions, times, doses.
        missing: None refuses NaN; "nan" makes NaN values missing, as those are that a masked array masks: they form the
            mask, and `x` holds the mean of the column's observed training values there (rounded for whole numbers; of
            counts the mean of log(1 + x), undone).
        name: Name of the data set, else taken from the source.
        schema: The schema of a trained model, which the data must fit; None infers it.
        counts: Whether a table of whole numbers holds counts, which are modelled as log(1 + x); None looks at them.
        typed: Whether columns of numbers get a type each and exact probabilities too, as those of tables with text do.
        columns: What columns of a table are, by name: a kind ("category", "ordinal", "number", "date", "duration",
            "leave out"),
            or a kind with what may be chosen ({"kind": "number", "step": 0.1}; see docs/tables.md), or the path of a
            JSON file with the same, or texts such as "age=ordinal"; columns then get types. None: they follow from the
            dtypes.
        pieces: What rows of text are cut into: "characters", "words", "atoms" (of SMILES), "subwords" or "selfies";
            None: characters.
        unknown: What becomes of names in columns of a table that `schema` lacks: "error" refuses them by row; "missing"
            takes the cells as missing, and the data set lists them; "skip" leaves the rows out, and a note counts them;
            "grow" gives the schema these names, to train a model further. Of text "missing" takes what follows an
            unknown piece as missing.
        pair: Pictures that are paired with those of `spec`, of any kind that `spec` may be: a row is then a picture
            of `spec` with its pair to the right. None: rows are as they are.
        stream: Whether the rows stay on disk: they are read once into a file in the cache, and gathered from it. None
            does so above 1 GiB of numbers. For files, folders and globs.
        partial: Whether a mixed table may lack columns of the schema, every cell of which is then missing.
        null: A word, or several, that stand for an empty cell of a table in a file; None: empty cells alone are.
        decimal_comma: Whether commas stand before decimals in a table of text.
        separator: What separates the cells of a table of text; None looks at the first lines, and says what it found.
        encoding: The encoding of a text file; None takes UTF-8, UTF-16 by its first bytes, else cp1252, and says so.
        sheet: The name of a sheet of a spreadsheet, or its number from 1; None takes the first.
        header: Whether the first line of a text table names its columns; None: unless all its cells are numbers.
        size: Of a folder of pictures the side of every row in pixels: the shorter side is scaled to it, the centre
            kept. None keeps the size of pictures that have one, and chooses 64 or less where they have not.
        sequence: Of a long table, with a line for each step, the column that says which sequence a line is of: a row
            is then a sequence, an array of shape (steps, columns); "-", or nothing beside `time`, for a single series.
            Arrays of unlike length, {id: array} or a list of them, and an array of shape (n, steps, columns) with "-"
            need no column. What is not observed is missing, as are the steps after the last one.
        time: Of a long table the column with the times, numbers or dates; None takes the lines as they follow.
        window: Of a long table, cut sequences into rows of so many steps, or of a span of time ("7d").
        stride: Steps between the starts of two windows; None: a quarter of the window.
        step: The time between two steps, such as "1h" or 0.5, where times do not lie on steps of like length: each is
            then taken as its nearest step. None finds it.
        inputs: Columns of a long table that a model is told at every step and does not model: `cond["inputs"]`.
        derive: Columns of a table that are computed of others and not modelled: an expression by the name of each, or
            texts such as "total = count * price". They are held against the rows. The columns then have types.
        longest: Steps that rows of whole sequences are stored at; None: as many as the longest has, or the model's.
        condition: What a model is told of a row and does not model: names of columns ("batch:names" takes numbers for
            names), or arrays by name with a name or number for each row. Of a schema that has conditions, columns of
            these names are taken; a value by name is that of all rows where there is no such column. Of AnnData
            columns are those of `obs`.
        layer: Of AnnData the name of a layer that is read in the place of X.

    Returns:
        The data set; its `x` is a mapped array where rows stay on disk.

    Raises:
        DataError: Saying where the data do not fit and how to mend it.
        ResourceError: Beyond memory or permissions.
        UsageError: For an unknown `missing`.
    """
    if unknown not in ("error", "missing", "skip", "grow"):
        raise UsageError(f"{unknown!r} is not known.", where="unknown", fix="Valid: error, missing, skip, grow.")
    if missing not in (None, "nan"):
        fix = "Valid: None (refuse NaN) and 'nan' (NaN is missing)."
        raise UsageError(f"{missing!r} is unknown.", where="missing", fix=fix)
    if schema is not None and not isinstance(schema, Schema):
        what = f"a {type(schema).__name__} is not a schema."
        raise UsageError(what, where="schema", fix="Give that of a model, latens.load(path).schema.")
    words, given = _roles(label=label, row_id=row_id, weight=weight, layer=layer)
    words = replace(words, beside=names_beside(condition, schema), refuses=schema is None)
    if layer is not None and not _of_cells(spec):
        what = f"{str(spec)[:200] if isinstance(spec, str | Path) else type(spec).__name__} has no layers."
        raise UsageError(what, where="layer", fix="Leave it out; only AnnData (.h5ad, an AnnData object) has layers.")
    declared = None
    if columns is not None:
        if schema is not None:
            fix = "Leave out columns: a trained model knows the kinds of its own."
            raise UsageError("the kinds of columns are given twice.", where="columns", fix=fix)
        declared, typed = declared_columns(columns), True
    if schema is not None and (schema.types is not None or schema.ignored):
        declared = known_columns(schema)
    derived_as, typed = definitions(derive), typed or bool(derive)
    if derived_as and schema is not None:
        what = "columns are derived twice: a trained model knows its own."
        raise UsageError(what, where="derive", fix="Leave derive out.")
    reading: dict[str, Any] = {"decimal_comma": decimal_comma, "separator": separator, "encoding": encoding}
    reading |= {"header": header, "sheet": None if sheet is None else str(sheet)}
    reading["null"] = (null,) if isinstance(null, str) else tuple(null or ())
    wanted = None if size is None else (size, size)
    if size is None and schema is not None and pair is None and len(schema.shape) in (2, 3) and not schema.standardised:
        wanted = (*schema.shape, 1)[:3]
    words = replace(words, declared=(declared or {}) if typed or declared is not None else None, **reading)
    if pieces is not None and schema is not None and schema.tokens is not None and schema.tokens.pieces != pieces:
        fix = f"The model was trained on {schema.tokens.pieces}: leave pieces out."
        raise UsageError(f"{pieces!r} are other pieces than those of the model.", where="--pieces", fix=fix)
    words = replace(
        words, pictures=wanted, pieces=schema.tokens.pieces if schema is not None and schema.tokens else pieces
    )
    given = {role: unmasked(values) for role, values in given.items()}
    asked = Asked(sequence, time, window, stride, step, tuple(inputs or ()), longest)
    world = recorded(spec) if schema is None else schema.world
    if world is not None and sequence is None and time is None:
        asked = Asked(EPISODE, TIME, window, stride, step, tuple(inputs or world.inputs), longest)
    lines = None if isinstance(spec, str | Path) else lines_of(spec, name or "data")
    long = asked.some or lines is not None or (schema is not None and schema.sequences is not None)
    if long:
        taken = {"row_id": row_id, "pair": pair, "typed": typed and columns is None, "counts": counts}
        refuse_beside(taken | {"stream": stream, "pieces": pieces}, str(spec)[:1000])
    source = None if long or (pair is not None and not stream) else _files(spec, words, stream)
    if size is not None and (not 1 <= size <= MOST_SIDE or not (_of_pictures(spec))):
        what = f"{size} is not a size of rows of {str(spec)[:1000]!r}."
        fix = f"Give 1 to {MOST_SIDE} pixels, of a folder of pictures; leave it out for other data."
        raise UsageError(what, where="size", fix=fix)
    stays = source is not None and (stream or (stream is None and words.pieces is None and source.size > LARGEST))
    if stays:
        refused = {"columns": columns, "typed": typed, "pair": pair, "derive": derived_as, "condition": condition}
        refused |= {} if schema is None else {"derive": derive or schema.derived, "condition": schema.conditions}
        refused = [role for role, value in refused.items() if value]
        if refused and stream is None:
            stays, source = False, None if is_table_file(str(spec)) else source
        elif refused:
            what = f"rows that stay on disk take no {refused[0]}."
            raise DataError(what, where=f"{spec}, {refused[0]}", fix="Leave --stream out.")
    if isinstance(spec, np.ma.MaskedArray) and np.ma.is_masked(spec):
        # A mask says what is missing; NaN beside it is refused as ever.
        seen = spec.compressed()
        missing = missing if seen.dtype.kind == "f" and np.isnan(seen).any() else "nan"
    read = None
    if source is not None:
        try:
            read = kept(source) if stays else joined(source.parts()), str(spec), title_of(str(spec))
        except NotNumbers:
            if stream or not Path(str(spec)).is_file():
                raise
            source = None
    if read is None:
        read = _read(spec, words, name) if lines is None else (lines[0], name or "data", "data")
    raw, where, title = read
    if long:
        raw = replace(raw, **left_out(raw, words.declared))
        options = {"condition": condition, "schema": schema, "where": where, "title": name or title}
        found = _of_long(raw, lines, asked, given, cond, world=world, **options)
        gone = tuple(name for name, one in (words.declared or {}).items() if one.kind == LEFT_OUT)
        return replace(found, schema=structs.replace(found.schema, ignored=gone)) if gone and schema is None else found
    if pair is not None:
        other, beside, _ = _read(pair, ColumnRoles(pictures=wanted), None)
        check_numeric(raw.x, where)
        check_numeric(other.x, beside)
        raw = side_by_side(raw, other, where, "the pair" if beside == where else beside)
    if words.pieces is not None and source is None:
        one_column(raw, pieces, where)
    n = len(raw.strings) if raw.strings is not None else len(raw.x) if raw.x.ndim else 0
    if raw.strings is None:
        check_numeric(raw.x, where)
    fresh = schema is None
    if raw.cells and counts is None and fresh and not typed:
        counts = _are_counts(raw) or None
    cells = conditions_of_rows(raw, condition, schema, n, where)
    rows = numbers_on_disk if isinstance(raw.x, np.memmap) else np.arange
    names = rows(n) if (ids := given.get("row_id", raw.names)) is None else row_names(ids, n, where)
    keys = change(row_keys, names)
    split = split_by_keys(keys, raw.brought)
    conditions = learned(cells, split == TRAIN, where) if schema is None else schema.conditions
    if conditions:
        cond = {**(cond or {}), GIVEN: vectors(conditions, cells, where, unknown if raw.cells else "")}
        raw.notes += averaged(conditions, cells) if raw.cells and schema is not None else ()
    strange: list[tuple[int, int, str]] | None = None if unknown == "error" else []
    text_seen = None
    if raw.strings is not None:
        if typed or counts:
            fix = f"Leave out --{'counts' if counts else 'typed' if columns is None else 'columns'}."
            raise DataError("holds rows of text, which have no columns of numbers.", where=where, fix=fix)
        schema = schema or text_schema(raw, split, pieces, where)
        text_seen, strange = code_strings(raw, schema, unknown, where)
    if typed and raw.x.ndim != 2:
        what = f"has rows of shape {raw.x.shape[1:]}, which are no columns."
        raise DataError(what, where=where, fix="Leave out --typed." if columns is None else "Leave out --columns.")
    of_kinds = typed or words.declared is not None or (schema is not None and schema.kind == "mixed")
    if of_kinds and isinstance(raw.x, SparseRows):
        what = f"is a sparse matrix of {raw.x.shape[0]} rows and {raw.x.shape[1]} columns, which get no types."
        raise DataError(what, where=where, fix="Leave out --typed, or give fewer columns as a dense table.")
    if words.declared is not None and raw.kinds is None and raw.x.ndim == 2:  # of a source that knows numbers alone
        titles = raw.columns or tuple(f"x{i}" for i in range(raw.x.shape[1]))
        frame = pl.DataFrame({name: raw.x[:, i] for i, name in enumerate(titles)}, nan_to_null=True)
        raw.x, raw.kinds = coded(frame, words.declared, where)
        raw.columns = titles
    if columns is not None:
        check_declared(raw.columns or tuple(f"x{i}" for i in range(raw.x.shape[1])), words.declared or {}, where)
    typed = typed or raw.kinds is not None or (schema is not None and schema.kind == "mixed")
    if partial and schema is not None and schema.kind == "mixed":
        with_absent(raw, schema)
    if typed:
        missing = "nan"  # a gap in a table of several kinds is a gap
    every, derived, about = raw.columns or tuple(f"x{i}" for i in range(raw.x.shape[1] if typed else 0)), [], ()
    if derived_as:
        lines = lines_of_rows(Path(spec), every, n) if ids is None and isinstance(spec, str | Path) else None
        called = [f"row {name}" for name in names] if lines is None else [f"line {line}" for line in lines]
        derived, about = apart(derived_as, every, raw.x, raw.kinds or {}, called, where)
    raw = without_columns(raw, [one.name for one in ((schema.derived if schema is not None else derived) or ())])
    raw.notes += about
    counted = None
    if raw.cells and schema is not None and schema.kind == "counts" and schema.columns is not None:
        counted = with_genes(raw, schema, unknown, where, layer)
    observed = find_missing(raw, names, missing, where)
    if counted is not None:
        observed = counted if observed is None else observed & counted
    if schema is None:
        with np.errstate(over="ignore", invalid="ignore"):  # numbers that overflow are refused there in words
            found = infer_schema(
                raw.x,
                split == TRAIN,
                raw.columns,
                observed=observed,
                where=where,
                counts=counts,
                kinds=raw.kinds if typed else None,
                declared=declared,
            )
        x = raw.x
    else:
        found, x = schema, raw.x
        if schema.kind != "mixed":
            refuse_text(raw, where)
            x, observed = conform(raw.x, raw.columns, schema, observed, where)
            observed = text_seen if text_seen is not None else observed
    found = with_derived(found, derived, every, where)
    if conditions and fresh:
        found = structs.replace(found, conditions=conditions)
        raw.notes += (told(conditions, cells),)
    said = declared if schema is None else None
    if found.kind == "mixed":
        cells = (raw.x, raw.columns or (), raw.kinds or {}, found, where)
        x, observed, outside = stored_columns(*cells, strange, names)
        if unknown == "grow" and strange:
            seen = np.ones(x.shape, bool) if observed is None else observed
            found, more = grown(found, strange, seen, split == TRAIN, where)
            x, observed, outside = stored_columns(*cells[:3], found, where, None, names)
            raw.notes, strange = raw.notes + more, None
        raw.notes += notes_of(raw, found, beyond_words(x, found, outside), np.flatnonzero(split == TRAIN), said)
    else:
        outside = None
    if schema is None and raw.brought is None and found.kind != "mixed":
        raw.notes += overlapping(x)
    raw.x = x = fill(x, observed, split == TRAIN, found)  # what was read is let go before the rows are stored
    x = store(x, found, where)
    codes = None
    labels = given.get("label", raw.label)
    if labels is not None:
        # Where a source names its classes, its labels number them, also where the schema has the names.
        named = raw.classes if "label" not in given and found.classes in (None, raw.classes) else None
        if named is None:
            codes, classes = encode_labels(labels, n, where, found.classes)
            raw.notes += missing_labels(missing_words(labels))
        else:
            codes, classes = numbered(labels, named, n, where), named
        if found.classes is None:
            found = with_classes(found, classes)
    made = Dataset(
        x=x,
        schema=found,
        row_id=keys,
        names=names,
        split=split,
        name=name or title,
        label=codes,
        mask=observed,
        outside=outside,
        cond=row_conditions(cond, n, where),
        weight=row_weights(given.get("weight", raw.weight), n, where),
        notes=raw.notes,
        unseen=tuple(strange or ()),
        cells=raw.cells,
        label_name=(None if "label" in given else raw.label_name) or "label",
    )
    return without_unknown(made) if unknown == "skip" else made


def _of_long(
    raw: Raw,
    lines: tuple[Raw, np.ndarray] | None,
    asked: Asked,
    given: dict[str, Any],
    cond: Mapping[str, Any] | None,
    *,
    condition: Any,
    schema: Schema | None,
    where: str,
    title: str,
    world: World | None = None,
) -> Dataset:
    """The rows of a long table, which are sequences of steps, or windows of them."""
    if lines is None and getattr(raw.x, "ndim", 0) == 3:
        lines = stacked_lines(raw.x, where)
        raw = replace(raw, x=lines[0].x)
    known = None if schema is None else schema.sequences
    by_line = lines is None
    refuse_other_rows(raw, where)
    said = conditions_of_rows(raw, condition, schema, len(raw.x), where) if by_line else {}
    inner = taken_out(raw, asked.inputs or [one.name for one in (known.inputs if known else ())], where)
    folded = fold(raw, None if lines is None else lines[1], asked, schema, where)
    n = len(folded.raw.x)
    row = {name: folded.by_row(cells, f"the condition {name!r}", where, _BY_STEP) for name, cells in said.items()}
    cells = row if by_line else conditions_of_rows(folded.raw, condition, schema, n, where)
    raw = folded.raw
    assert raw.names is not None
    names = row_names(raw.names, n, where)
    split = split_by_hash(names) if raw.split is None else raw.split
    found, observed = folded.sequences, np.isfinite(raw.x)
    observed = None if observed.all() else observed
    conditions = learned(cells, split == TRAIN, where) if schema is None else schema.conditions
    if conditions:
        cond = {**(cond or {}), GIVEN: vectors(conditions, cells, where)}
        raw.notes += (told(conditions, cells),)
    if inner:
        trains = np.zeros(folded.places.line.max() + 1, bool)
        trains[folded.places.line[split == TRAIN]] = True
        inputs = found.inputs if known else learned_inputs(inner, trains, where)
        found = structs.replace(found, inputs=inputs)
        cond = {**(cond or {}), INPUTS: folded.by_step(input_vectors(inputs, inner, where)).astype(np.float32)}
    if schema is None:
        schema = sequence_schema(raw.x, split == TRAIN, found, observed, where)
        schema = structs.replace(schema, conditions=conditions or None, world=world)
    else:
        shape = (raw.x.shape[1], schema.shape[1])
        schema = structs.replace(schema, sequences=found, shape=shape)
        conform(raw.x, None, schema, observed, where)

    def of_rows(role: str, column: np.ndarray | None) -> Any:
        values = given.get(role, column)
        if values is None or (role in given and len(values) == n):
            return values
        if len(values) != folded.lines:
            what = f"has {len(values)} values of {role} for {n} rows of {folded.lines} lines."
            raise DataError(what, where=where, fix="Give one for each row, or one for each line.")
        return folded.by_row(np.asarray(values), f"the {role}", where, f"Leave --{role} out, or mend the column.")

    codes, labels = None, of_rows("label", raw.label)
    if labels is not None:
        codes, classes = encode_labels(labels, n, where, schema.classes)
        schema = schema if schema.classes else with_classes(schema, classes)
    return Dataset(
        x=store(fill(raw.x, observed, split == TRAIN, schema), schema, where),
        schema=schema,
        row_id=row_keys(names),
        names=names,
        split=split,
        name=title,
        label=codes,
        mask=observed,
        cond=row_conditions(cond, n, where),
        weight=row_weights(of_rows("weight", raw.weight), n, where),
        notes=raw.notes,
        label_name=(None if "label" in given else raw.label_name) or "label",
        places=folded.places,
    )


_BY_STEP = "Tell it to the model at every step: --input COLUMN."


def without_unknown(data: Dataset) -> Dataset:
    """Leave out the rows with names that the schema lacks, but where rare names share a probability."""
    types = data.schema.types
    bad = sorted({row for row, column, _ in data.unseen if types is None or not types[column].starts})
    kept = np.setdiff1d(np.arange(len(data)), np.array(bad, np.int64))
    if not bad:
        return data
    named = ", ".join(str(name) for name in data.names[bad[:MOST_NAMED]].tolist())
    more = "" if len(bad) <= MOST_NAMED else f" and {len(bad) - MOST_NAMED:,} more"
    names, name = ("names", "name") if types is not None else ("pieces", "piece")
    what = f"{len(bad):,} of {len(data):,} rows hold {names} that no training row had, and are left out: {named}{more}."
    if not len(kept):
        raise DataError(f"every row holds a {name} that no training row had.", where=data.name, fix=_AS_MISSING)
    place = {row: at for at, row in enumerate(kept.tolist())}
    unseen = tuple((place[row], column, name) for row, column, name in data.unseen if row in place)
    return replace(rows_at(data, kept), unseen=unseen, notes=(*data.notes, what), kept=kept)


_AS_MISSING = "Take the cells as missing: --unknown missing."


def read_columns(spec: Any, declared: Mapping[str, Declared] | None = None) -> Raw:
    """Read a table as it is: no column is a label or an id, and nothing is inferred of the cells."""
    raw, where, _ = _read(spec, ColumnRoles(declared=declared), None)
    check_numeric(raw.x, where)
    return raw


def _files(spec: Any, roles: ColumnRoles, stream: bool | None) -> Files | None:
    """The files that are read by parts, for a folder or glob of them, and for one file too large or asked for."""
    if not isinstance(spec, str | Path) or (isinstance(spec, str) and spec in KNOWN):
        if stream:
            what = "is not a file that could stay on disk."
            raise UsageError(what, where="--stream", fix="Leave --stream out (stream=None), or give a folder of files.")
        return None
    if isinstance(spec, Part) or (not stream and roles.pieces is None and tables_of(spec, MAX_BYTES)):
        return None
    path, blocks = Path(spec), False
    with contextlib.suppress(OSError, ValueError):  # said in words where the path is read
        folder = path.is_dir() and idx.idx_folder(path) is None and (stream or not find_pictures(path).pictures)
        row = by_parts().get(path.suffix.lower())
        own = stream or (row is not None and row.whole is None)
        large = path.is_file() and (own or path.stat().st_size > LARGEST)
        inside = INSIDE.match(str(spec)) is not None and not path.exists()
        blocks = folder or large or inside or (is_glob(str(spec)) and not path.exists())
        blocks = bool(stream) if is_address(str(spec)) else blocks
    with file_errors(str(spec)):
        found = files_of(str(spec), roles) if blocks else None
    if found is None and stream:
        fix = "Write it as .npy or .parquet files, or leave --stream out."
        raise DataError("is of a format that is read into memory as a whole.", where=str(spec), fix=fix)
    return found


MOST_SIDE = 8192


def _of_pictures(spec: Any) -> bool:
    folder = isinstance(spec, str | Path) and Path(spec).is_dir() and spec not in KNOWN
    return folder and idx.idx_folder(Path(spec)) is None and bool(find_pictures(Path(spec)).pictures)


def _of_cells(spec: Any) -> bool:
    return ".h5ad" in str(spec).lower() if isinstance(spec, str | Path) else is_annotated(spec)


def _are_counts(raw: Raw) -> bool:
    """Whether cells hold whole numbers of 0 or more, with some above 1."""
    values = raw.x.matrix.data if isinstance(raw.x, SparseRows) else raw.x
    if not values.size or values.dtype.kind not in "iuf" or values.min() < 0 or values.max() < 2:
        return False
    return values.dtype.kind in "iu" or bool(np.all(values == np.floor(values)))


def _roles(**choices: Any) -> tuple[ColumnRoles, dict[str, Any]]:
    """Names of columns, and arrays given outright."""
    words: dict[str, Any] = {
        role: str(v) for role, v in choices.items() if isinstance(v, str | int) and not isinstance(v, bool)
    }
    given = {role: v for role, v in choices.items() if v is not None and role not in words}
    if words.get("label", "").endswith(".npy"):
        given["label"] = array_file(Path(words.pop("label")))
    return ColumnRoles(**words), given


def _read(spec: Any, roles: ColumnRoles, name: str | None) -> tuple[Raw, str, str]:
    """The rows, what errors call their source, and the name of the data set."""
    if not isinstance(spec, str | Path):
        return read_object(spec, roles, name or "data"), name or "data", "data"
    if isinstance(spec, str) and spec in KNOWN:
        no_roles(roles, spec, "Its labels are known.")
        raw = KNOWN[spec]()
        if roles.label == "none":
            raw.label = raw.classes = None
        return raw, spec, spec
    if is_address(str(spec)):
        check_address(str(spec))
        return rows_of(read_address(str(spec)), roles, str(spec)), str(spec), title_of(str(spec))
    if isinstance(spec, Part):
        return read_tables([spec], roles), str(spec), Path(spec).relative_to(spec.root).as_posix()
    if roles.pieces is None and (parts := tables_of(spec, MAX_BYTES)):
        return read_tables(parts, roles), str(spec), title_of(str(spec))
    path = Path(spec)
    try:
        exists = path.exists()
    except (OSError, ValueError):
        exists = False
    if not exists:
        plain = "/" not in str(spec) and "\\" not in str(spec) and "." not in str(spec)
        hint = nearest(str(spec)[:1000], KNOWN) if plain else "Check the path."
        what = "no such file, folder or built-in data set." if plain else "no such file or folder."
        raise DataError(what, where=str(spec)[:1000], fix=hint)
    raw = read_path(path, roles)
    title = path.resolve().name if path.is_dir() else path.name.split(".")[0]
    return raw, str(path), title or str(path)
