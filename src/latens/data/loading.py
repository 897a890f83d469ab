"""One door for data of every kind: a name, a path, an array or a frame becomes a checked `Dataset`."""

import contextlib
import gzip
import importlib.util
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from inspect import formatannotation
from numbers import Integral, Real
from pathlib import Path
from typing import Any, get_args, get_origin

import numpy as np
from jaxtyping import Bool
from msgspec import structs

from latens.data.conditions import (
    GIVEN,
    array_file,
    averaged,
    conditions_of_rows,
    learned,
    names_beside,
    numbered,
    told,
    vectors,
)
from latens.data.dataset import Dataset, rows_at
from latens.data.files import (
    INSIDE,
    Files,
    TablePath,
    by_parts,
    check_address,
    check_numeric,
    files_of,
    is_address,
    pictures_of,
    read_object,
    read_path,
    read_tables,
    tables_of,
    title_of,
)
from latens.data.infer import with_classes
from latens.data.mapped import LARGEST, change, joined, kept, numbers_on_disk
from latens.data.row_fields import (
    TRAIN,
    ColumnRoles,
    Raw,
    encode_labels,
    file_errors,
    missing_labels,
    missing_words,
    no_roles,
    row_conditions,
    row_keys,
    row_names,
    row_weights,
    split_of,
    unmasked,
    with_brought,
)
from latens.data.schema import Schema
from latens.errors import DataError, UsageError, nearest
from latens.kinds import KINDS, OPTIONS, Guessed, Kind, kind_of, kind_of_rows
from latens.kinds.base import Stored
from latens.kinds.counts.anndata import is_annotated
from latens.kinds.pictures import MOST_SIDE
from latens.kinds.pictures.drawn_shapes import known_shapes
from latens.kinds.pictures.picture_files import idx_folder
from latens.kinds.steps.long_tables import WindowOptions, lines_of, refuse_beside
from latens.kinds.steps.world import EPISODE, TIME, World, recorded
from latens.kinds.tables.derived import Declared, declared_columns, definitions
from latens.kinds.tables.table_files import format_of
from latens.kinds.tables.table_schema import MOST_NAMED
from latens.kinds.text.strings import one_column, read_rows
from latens.runtime.file_limits import MAX_BYTES, is_glob
from latens.typing import checked_later

_IDX_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
# name -> (folder on the web, SHA-256 of the four original files in the order of _IDX_FILES)
_DOWNLOADS = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        (
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
    "fashion-mnist": (
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        (
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
}
_FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


def digits() -> Raw:
    """Read scikit-learn's 1797 handwritten digits: 8x8 whole numbers 0..16, labels 0..9."""
    spec = importlib.util.find_spec("sklearn")
    table = Path(spec.origin or "").parent / "datasets" / "data" / "digits.csv.gz" if spec else None
    if table is not None and table.is_file():
        # To import scikit-learn for this table takes longer than everything else before the first training step.
        with gzip.open(table) as file:
            rows = np.loadtxt(file, np.uint8, delimiter=",")
        return Raw(rows[:, :-1].reshape(-1, 8, 8), rows[:, -1].astype(np.int64))
    import sklearn.datasets

    data: Any = sklearn.datasets.load_digits()
    return Raw(data.images.astype(np.uint8), data.target)


def _table(loader: str) -> Callable[[], Raw]:
    def load() -> Raw:
        import sklearn.datasets

        data: Any = getattr(sklearn.datasets, loader)()
        return Raw(
            data.data,
            data.target,
            columns=tuple(str(name) for name in data.feature_names),
            classes=tuple(str(name) for name in data.target_names),
        )

    return load


def find_local(name: str) -> Path | None:
    """Find the folder of a local copy: LATENS_DATA/NAME, then ./data/NAME (also with _ for -)."""
    homes = [Path(os.environ["LATENS_DATA"])] if os.environ.get("LATENS_DATA") else []
    for home in [*homes, Path("data")]:
        for spelling in (name, name.replace("-", "_")):
            for start in (f"train-images{dot}idx3-ubyte{end}" for dot in "-." for end in ("", ".gz")):
                if (home / spelling / start).is_file():
                    return home / spelling
    return None


def download(name: str) -> Path:
    """Fetch what is missing of a data set's four original files, and check it by SHA-256."""
    import pooch

    url, hashes = _DOWNLOADS[name]
    folder = Path(pooch.os_cache("latens")) / name
    for file, sha in zip(_IDX_FILES, hashes):
        try:
            pooch.retrieve(url + file, known_hash=f"sha256:{sha}", fname=file, path=folder)
        except Exception as error:  # whatever the network, the disk or the check says: the remedy is the same
            what = f"could not be downloaded from {url} ({type(error).__name__}: {str(error)[:120]})."
            fix = f"Put {', '.join(_IDX_FILES)} into ./data/{name} (or into $LATENS_DATA/{name})."
            raise DataError(what, where=name, fix=fix) from None
    return folder


def _pictures(name: str) -> Callable[[], Raw]:
    def load() -> Raw:
        raw = read_path(find_local(name) or download(name), ColumnRoles())
        raw.classes = _FASHION if name == "fashion-mnist" else None
        return raw

    return load


KNOWN: dict[str, Callable[[], Raw]] = {
    "digits": digits,
    "shapes": known_shapes,
    "mnist": _pictures("mnist"),
    "fashion-mnist": _pictures("fashion-mnist"),
    "wine": _table("load_wine"),
    "breast-cancer": _table("load_breast_cancer"),
    "iris": _table("load_iris"),
}
"""name -> what reads it."""

OF_MODELS = ("columns", "derive", "condition", "pieces", "typed", "counts", "size")
"""What is said of a kind for training, and a trained model knows itself."""
_WIDER: dict[Any, Any] = {int: Integral, float: Real, Sequence: Iterable}


@checked_later
def load(
    source: object,
    *,
    name: str | None = None,
    schema: Schema | None = None,
    unknown: str = "error",
    partial: bool = False,
    cond: Mapping[str, Any] | None = None,
    **options: Any,
) -> Dataset:
    """Read a name, a path, an array or a frame as a checked data set.

    Args:
        source: A built-in data set: "digits", "shapes", "mnist", "fashion-mnist", "wine", "breast-cancer" or "iris". A
            path: .npy, .npz, IDX or a folder of MNIST files, .csv and similar, .parquet, .mtx, .h5, .h5ad, or a folder
            or glob of images. A folder or glob of .npy, .parquet, .arrow, .h5 or .h5ad files, or a URL (s3://, gs://,
            abfs://, file://). One array of an HDF5 file ("file.h5:/path"). An array of shape (n, ...), a sparse matrix,
            a pandas or Polars frame, an AnnData object or a list of strings. Or one of these with its kind and options,
            such as `latens.Table(frame, derive=[...])` or `latens.Pictures(folder, size=64)`.
        name: Name of the data set. None: the name of the source.
        schema: The schema of a trained model, which the data must match. None: inferred from the data.
        unknown: How to treat categories that `schema` lacks. "error" raises an error that names the rows, "missing"
            treats the cells as missing, and "skip" omits the rows. In text, "missing" treats everything after an
            unknown token as missing.
        partial: Whether a mixed table may lack columns of the schema, whose cells are then missing.
        cond: Arrays by name, with the rows as first axis, that your own parts read as `cond`, such as positions, times
            and doses.
        **options: Options of reading, which are those of all kinds (`latens.Table`, `latens.Pictures`, `latens.Text`,
            `latens.Steps`, `latens.Counts`, `latens.Numbers`): `label`, `row_id`, `weight`, `condition`, `missing`,
            `stream`, and those of one kind.

    Returns:
        The data set. If the rows stay on disk, its `x` is a mapped array.

    Raises:
        DataError: The data cannot be used. The message states the place and a remedy.
        ResourceError: Memory or a permission is missing.
        UsageError: Options are unknown or contradict each other.
    """
    own, asked = _asked(source, options, schema)
    _check(asked, schema, unknown)
    rows = IncomingRows(asked, schema, unknown, partial, dict(cond or {}), name)
    rows.plan()
    if rows.long is None:
        rows.read()
        rows.identify()
    if own is not None:
        own.read(rows)
    kind: Any = own or kind_of_rows(rows)
    return rows.dataset(kind.store(rows))


def _asked(source: object, options: dict[str, Any], schema: Schema | None) -> tuple[Kind | None, Guessed]:
    """What was said of the rows; and their kind, where it is none of latens's own."""
    if isinstance(source, Kind):
        if options:
            what = f"{next(iter(options))!r} is given in addition to a kind of rows."
            raise UsageError(what, where="read", fix=f"Say it of the kind: latens.{type(source).__name__}(...).")
        own = None if isinstance(source, tuple(KINDS)) else source
        known = {one.name for one in fields(Guessed)} - set(OF_MODELS if schema is not None else ())
        said = {one: value for one, value in {**source.implies, **source.said()}.items() if one in known}
        return own, Guessed(source.source, **said)
    if wrong := next((one for one in options if one not in OPTIONS and one != "longest"), None):
        raise UsageError(f"there is no option {wrong!r}.", where="read", fix=nearest(wrong, OPTIONS))
    return None, Guessed(source, **options)


def _check(asked: Guessed, schema: Schema | None, unknown: str) -> None:
    """Refuse options that are none, or that contradict each other or a model."""
    for one in fields(Guessed):
        plain = tuple(_WIDER.get(own := get_origin(kind) or kind, own) for kind in get_args(one.type) or (one.type,))
        if Any not in plain and not isinstance(value := getattr(asked, one.name), plain):
            words = re.sub(r"[a-z.]+\.(?=[A-Z])", "", formatannotation(one.type))
            raise UsageError(f"{value!r:.100} does not fit.", where=one.name, fix=f"It takes {words}.")
    if asked.separator and (len(asked.separator.encode()) > 1 or asked.separator in '"\r\n'):
        what = f"{asked.separator!r:.100} is not one character."
        raise UsageError(what, where="--separator", fix="Give one, such as ';', or tab.")
    refuse_unknown(unknown)
    if asked.missing not in (None, "nan"):
        fix = "Valid: None (refuse NaN) and 'nan' (NaN is missing)."
        raise UsageError(f"{asked.missing!r} is unknown.", where="missing", fix=fix)
    if schema is not None and not isinstance(schema, Schema):
        what = f"a {type(schema).__name__} is not a schema."
        raise UsageError(what, where="schema", fix="Give that of a model, latens.load(path).schema.")
    of_cells = ".h5ad" in str(asked.source).lower() if _is_path(asked.source) else is_annotated(asked.source)
    if asked.layer is not None and not of_cells:
        what = f"{str(asked.source)[:200] if _is_path(asked.source) else type(asked.source).__name__} has no layers."
        raise UsageError(what, where="layer", fix="Leave it out; only AnnData (.h5ad, an AnnData object) has layers.")
    if schema is None:
        return
    if asked.columns is not None:
        fix = "Leave out columns: a trained model knows the kinds of its own."
        raise UsageError("the kinds of columns are given twice.", where="columns", fix=fix)
    if asked.derive:
        what = "columns are derived twice: a trained model knows its own."
        raise UsageError(what, where="derive", fix="Leave derive out.")
    pieces = kind_of(schema).known(schema).get("pieces", asked.pieces)
    if asked.pieces is not None and pieces != asked.pieces:
        fix = f"The model was trained on {pieces}: leave pieces out."
        raise UsageError(f"{asked.pieces!r} are other pieces than those of the model.", where="--pieces", fix=fix)


def refuse_unknown(unknown: object) -> None:
    """Refuse a way with unknown names that there is not."""
    if not isinstance(unknown, str) or unknown not in ("error", "missing", "skip"):
        raise UsageError(f"{unknown!r:.100} is not known.", where="unknown", fix="Valid: error, missing, skip.")


def _is_path(source: object) -> bool:
    return isinstance(source, str | Path)


@dataclass
class IncomingRows:
    """Rows on their way through the door, of which a kind makes what is stored."""

    asked: Guessed
    schema: Schema | None  # that of a model
    unknown: str
    partial: bool
    cond: dict[str, Any]
    name: str | None
    roles: ColumnRoles = field(default_factory=ColumnRoles)
    given: dict[str, Any] = field(default_factory=dict)  # arrays by role
    declared: Mapping[str, Declared] | None = None  # what is said of columns, or a model knows
    derived: dict[str, str] = field(default_factory=dict)
    typed: bool = False
    counts: bool | None = None
    missing: str | None = None
    long: WindowOptions | None = None  # of rows that are sequences how a long table is cut
    lines: tuple[Raw, np.ndarray] | None = None  # sequences that came as arrays: their lines, and the id of each
    world: World | None = None
    raw: Raw = field(default_factory=lambda: Raw(None))
    where: str = ""
    title: str = ""
    n: int = 0
    names: np.ndarray = field(default_factory=lambda: np.zeros(0))
    keys: np.ndarray = field(default_factory=lambda: np.zeros(0))
    split: np.ndarray = field(default_factory=lambda: np.zeros(0))
    conditions: Any = None
    cells: dict[str, np.ndarray] = field(default_factory=dict)  # of conditions

    @property
    def trains(self) -> Bool[np.ndarray, " n"]:
        """Which rows are of training."""
        return change(lambda split: split == TRAIN, self.split)

    def plan(self) -> None:
        """Settle which columns are no data, and how a file is read."""
        asked, schema, source = self.asked, self.schema, self.asked.source
        choices = {role: getattr(asked, role) for role in ("label", "row_id", "weight", "layer", "missing")}
        words: dict[str, Any] = {
            k: str(v) for k, v in choices.items() if isinstance(v, str | int) and not isinstance(v, bool)
        }
        given = {role: v for role, v in choices.items() if v is not None and role not in words}
        if words.get("label", "").endswith(".npy"):
            given["label"] = array_file(Path(words.pop("label")))
        self.given = {role: unmasked(values) for role, values in given.items()}
        self.derived, self.typed, self.counts = definitions(asked.derive), asked.typed, asked.counts
        self.missing = "nan" if schema is not None and not _is_path(source) else asked.missing  # as `fit` takes arrays
        if asked.columns is not None:
            self.declared = declared_columns(asked.columns)
        self.typed = self.typed or self.declared is not None or bool(self.derived)
        as_said = {one: getattr(asked, one) for one in ("pieces", "decimal_comma", "separator", "encoding", "header")}
        known = {} if schema is None else kind_of(schema).known(schema)
        self.declared = known.pop("declared", self.declared)
        known |= {} if asked.size is None else {"pictures": (asked.size, asked.size)}
        self.roles = ColumnRoles(
            **words,
            **(as_said | known),
            beside=names_beside(asked.condition, schema),
            refuses=schema is None,
            declared=(self.declared or {}) if self.typed or self.declared is not None else None,
            null=(asked.null,) if isinstance(asked.null, str) else tuple(map(str, asked.null or ())),
            sheet=None if asked.sheet is None else str(asked.sheet),
        )
        if isinstance(source, np.ma.MaskedArray) and np.ma.is_masked(source):
            # A mask says what is missing; NaN beside it is refused as ever.
            seen = source.compressed()
            self.missing = self.missing if seen.dtype.kind == "f" and np.isnan(seen).any() else "nan"
        self._as_sequences()

    def _as_sequences(self) -> None:
        """Find out whether rows are sequences, and how a long table is cut into them."""
        asked, schema = self.asked, self.schema
        inputs = tuple(asked.inputs or ())
        cut = WindowOptions(asked.sequence, asked.time, asked.window, asked.stride, asked.step, inputs, asked.longest)
        self.world = recorded(asked.source) if schema is None else schema.world
        if self.world is not None and asked.sequence is None and asked.time is None:
            cut = cut._replace(sequence=EPISODE, time=TIME, inputs=inputs or tuple(self.world.inputs))
        self.lines = None if _is_path(asked.source) else lines_of(asked.source, self.name or "data")
        if cut.some or self.lines is not None or (schema is not None and schema.sequences is not None):
            self.long = cut
            typed = (asked.typed or bool(asked.derive)) and asked.columns is None
            taken = {"row_id": asked.row_id, "typed": typed, "counts": asked.counts}
            refuse_beside(taken | {"stream": asked.stream, "pieces": asked.pieces}, str(asked.source)[:1000])
            if self.lines is None:
                self.raw, self.where, self.title = _read(asked.source, self.roles, self.name)
            else:
                self.raw, self.where, self.title = self.lines[0], self.name or "data", "data"

    def read(self) -> None:
        """Read the rows: at once, or by parts into memory or into one file."""
        asked, spec = self.asked, str(self.asked.source)
        source = _files(asked, self.roles)
        if asked.size is not None and not (1 <= asked.size <= MOST_SIDE and _of_pictures(asked.source)):
            what = f"{asked.size} is not a size of rows of {spec[:1000]!r}."
            fix = f"Give 1 to {MOST_SIDE} pixels, of a folder of pictures; leave it out for other data."
            raise UsageError(what, where="size", fix=fix)
        source, stays = self._staying(source)
        found = None if source is None else kept(source) if stays else source.read(joined)
        if found is None:
            self.raw, self.where, self.title = _read(asked.source, self.roles, self.name)
        else:
            self.raw, self.where, self.title = found, spec, title_of(spec)
        if self.roles.pieces is not None:
            one_column(self.raw, asked.pieces, self.where)
        if self.raw.strings is None:
            check_numeric(self.raw.x, self.where)

    def _staying(self, source: Files | None) -> tuple[Files | None, bool]:
        """The files that are read by parts, and whether their rows stay on disk."""
        asked, schema = self.asked, self.schema
        large = asked.stream is None and self.roles.pieces is None and source is not None and source.size > LARGEST
        if source is None or not (asked.stream or large):
            return source, False
        said = {"derive": self.derived, "condition": asked.condition, "pieces": asked.pieces}
        said |= {} if source.tables else {"columns": asked.columns, "typed": self.typed}
        said |= {} if schema is None else {"derive": schema.derived, "condition": schema.conditions}
        refused = [role for role, value in said.items() if value]
        if refused and asked.stream is None:
            return None if format_of(str(asked.source)) else source, False
        if refused:
            what = f"rows that stay on disk take no {refused[0]}."
            raise DataError(what, where=f"{asked.source}, {refused[0]}", fix="Leave --stream out.")
        return source, True

    def identify(self) -> None:
        """Name the rows, split them, and take their conditions out."""
        raw, where, schema = self.raw, self.where, self.schema
        self.n = len(raw.strings) if raw.strings is not None else len(raw.x) if raw.x.ndim else 0
        self.cells = conditions_of_rows(raw, self.asked.condition, schema, self.n, where)
        ids = self.given.get("row_id", raw.names)
        counted = numbers_on_disk if isinstance(raw.x, np.memmap) else np.arange
        self.names = counted(self.n) if ids is None else row_names(ids, self.n, where)
        self.keys = change(row_keys, self.names)
        self.split = with_brought(change(split_of, self.keys), raw.brought)
        fresh = learned(self.cells, self.trains, where) if self.cells and schema is None else ()
        self.conditions = fresh if schema is None else schema.conditions
        if self.conditions:
            lacking = self.unknown if raw.cells else ""
            self.cond[GIVEN] = vectors(self.conditions, self.cells, where, lacking)
            raw.notes += averaged(self.conditions, self.cells) if raw.cells and schema is not None else ()

    def told(self, found: Schema) -> Schema:
        """A schema with the conditions of the rows, and a note on them."""
        if not self.conditions or self.schema is not None:
            return found
        self.raw.notes += (told(self.conditions, self.cells),)
        return structs.replace(found, conditions=self.conditions)

    def dataset(self, stored: Stored) -> Dataset:
        """Make the data set of what a kind stores."""
        raw, found, codes = self.raw, stored.schema, None
        labels = self.given.get("label", raw.label)
        if labels is not None:
            # Where a source names its classes, its labels number them, also where the schema has the names.
            named = raw.classes if "label" not in self.given and found.classes in (None, raw.classes) else None
            if named is None:
                codes, classes = encode_labels(labels, self.n, self.where, found.classes)
                raw.notes += missing_labels(missing_words(labels))
            else:
                codes, classes = numbered(labels, named, self.n, self.where), named
            found = found if found.classes is not None else with_classes(found, classes)
        made = Dataset(
            x=stored.x,
            schema=found,
            row_id=self.keys,
            names=self.names,
            split=self.split,
            name=self.name or self.title,
            label=codes,
            mask=stored.observed,
            outside=stored.outside,
            cond=row_conditions(self.cond, self.n, self.where),
            weight=row_weights(self.given.get("weight", raw.weight), self.n, self.where),
            notes=raw.notes,
            unseen=stored.unseen,
            cells=raw.cells,
            places=stored.places,
            label_name=(None if "label" in self.given else raw.label_name) or "label",
        )
        return without_unknown(made) if self.unknown == "skip" else made


def without_unknown(data: Dataset) -> Dataset:
    """Leave out the rows with names that the schema lacks, but where rare names share a probability."""
    types = data.schema.column_types
    bad = sorted({row for row, column, _ in data.unseen if not types or not types[column].starts})
    kept = np.setdiff1d(np.arange(len(data)), np.array(bad, np.int64))
    if not bad:
        return data
    named = ", ".join(str(name) for name in data.names[bad[:MOST_NAMED]].tolist())
    more = "" if len(bad) <= MOST_NAMED else f" and {len(bad) - MOST_NAMED:,} more"
    name = kind_of(data.schema).unknown[0]
    what = f"{len(bad):,} of {len(data):,} rows hold {name}s that no training row had, and are left out: {named}{more}."
    if not len(kept):
        fix = "Take the cells as missing: --unknown missing."
        raise DataError(f"every row holds a {name} that no training row had.", where=data.name, fix=fix)
    place = {row: at for at, row in enumerate(kept.tolist())}
    unseen = tuple((place[row], column, name) for row, column, name in data.unseen if row in place)
    return replace(rows_at(data, kept), unseen=unseen, notes=(*data.notes, what), kept=kept)


def _files(asked: Guessed, roles: ColumnRoles) -> Files | None:
    """The files that are read by parts, for a folder or glob of them, and for one file too large or asked for."""
    spec, stream, blocks = asked.source, asked.stream, False
    if not _is_path(spec) or (isinstance(spec, str) and spec in KNOWN):
        if stream:
            what = "is not a file that could stay on disk."
            raise UsageError(what, where="--stream", fix="Leave --stream out (stream=None), or give a folder of files.")
        return None
    if isinstance(spec, TablePath) or (not stream and roles.pieces is None and tables_of(spec, MAX_BYTES)):
        return None
    path = Path(spec)
    with contextlib.suppress(OSError, ValueError):  # said in words where the path is read
        folder = path.is_dir() and idx_folder(path) is None and (stream or not pictures_of(path).pictures)
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


def _of_pictures(spec: Any) -> bool:
    if not _is_path(spec) or spec in KNOWN or (Path(spec).is_dir() and idx_folder(Path(spec)) is not None):
        return False
    return (Path(spec).exists() or is_glob(str(spec))) and bool(pictures_of(Path(spec)).pictures)


def _read(spec: object, roles: ColumnRoles, name: str | None) -> tuple[Raw, str, str]:
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
        return read_rows(str(spec), roles), str(spec), title_of(str(spec))
    if isinstance(spec, TablePath):
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
