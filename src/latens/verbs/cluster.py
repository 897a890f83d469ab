"""`latens cluster`: rows that are alike, in groups."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from latens.errors import UsageError
from latens.verbs._lazy import np
from latens.verbs.kernel import At, Data, Made, Seed, Unknown, Verb, Work, arg, whole

if TYPE_CHECKING:
    from latens.data import Dataset

SHOWN, NAMED, LISTED = 8, 3, 20
"""Pictures of each group on a sheet, rows of it that are named in words, and groups that are listed."""

_GROUPS = whole(2, 1000)
_COUNT = (
    "how many (default: the clusters of the model's own prior; else of 2 to 12 those that lie furthest apart, or 8)"
)
_OUT = "the group of every row (.csv, .parquet; .h5ad of cells), or a sheet of each group's pictures (.png)"


class Cluster(Verb):
    """Rows that are alike, in groups: what tells each group, and its most typical rows."""

    endings: ClassVar = (".csv", ".parquet", ".png", ".h5ad")
    takes_out: ClassVar = ("FILE", _OUT)
    prints: ClassVar = True
    data: Data
    groups: Annotated[int | None, arg(_COUNT, metavar="N", kind=_GROUPS)] = None
    unknown: Unknown = "error"
    seed: Seed = 0

    def place(self, at: At) -> Path | None:
        return self.checked_out(at.asked) if at.asked else None

    def __call__(self, at: At) -> Work:
        from latens.data.rules import placed
        from latens.data.schema import image_shape
        from latens.io.terminal import table
        from latens.verbs._cells import annotated_bytes, refuse_annotated
        from latens.workflow.cluster import APART, cluster, described

        into = at.writes and at.out.suffix.lower() == ".h5ad"
        if into:
            refuse_annotated(at)
        data = at.load(every=False)
        if into:
            refuse_annotated(at, data)
        shape = image_shape(at.trained.schema)
        if at.picture and shape is None:
            what = f"rows of shape {at.trained.schema.shape} are no pictures."
            raise UsageError(what, where=f"--out {at.asked}", fix="Use .csv or .parquet.")
        if self.groups is not None and self.groups >= len(data):
            what = f"{self.groups} groups of {len(data)} rows hold one row each."
            raise UsageError(what, where="--groups", fix="Give fewer groups, or more rows.")
        yield f"group {len(data)} rows of {data.name}"
        found = cluster(at.trained, data, self.groups, seed=self.seed)
        count, types = int(found.group.max()), at.trained.schema.types
        x, mask = np.asarray(data.x), None if data.mask is None else np.asarray(data.mask)
        columns = data.schema.names
        given = {one.target for one in placed(at.trained.facts, at.trained.schema)}
        rows: list[tuple[str, ...]] = [("group", "rows", "what tells it" if types else "most typical")]
        told: list[dict[str, Any]] = []
        for k in range(1, count + 1):
            inside = found.group == k
            typical = np.flatnonzero(inside)[np.argsort(found.rank[inside])][:NAMED]
            names = [str(data.names[row]) for row in typical]
            words = described(x, mask, columns, types, inside, given) if types else []
            label = _label(data, inside)
            rows.append((str(k), f"{inside.sum():,}", "; ".join([*label, *(words or names)])))
            told.append({"group": k, "rows": int(inside.sum()), "typical": names, "told_by": [*label, *words]})
        which = f"{count} groups of {len(data):,} rows"
        plain = [f"{which}, as the model's own prior has them."]
        if not found.own:
            clear = found.silhouette >= APART
            how = "they lie apart" if clear else "no clear groups: they cut one cloud of rows"
            plain = [f"{which}; {how} (silhouette {found.silhouette:.2f})."]
        plain.append(_next(at, shape is not None, found.own))
        more = [f"  and {count - LISTED} smaller ones (--json has all)"] if count > LISTED else []
        text = "\n".join([table(rows[: LISTED + 1], indent="  "), *more])
        ids = {} if np.array_equal(data.names, np.arange(len(data))) else {"row_id": data.names}
        arrays: dict[str, np.ndarray] = ids or {"row": np.arange(len(data))}
        arrays |= {"group": found.group, "rank": found.rank}
        silhouette = None if found.own else found.silhouette
        value = {"rows": len(data), "silhouette": silhouette, "groups": told}
        raw = None
        if into:
            cells = np.array([str(k) for k in found.group])
            raw = annotated_bytes(at, {}, "groups of latents", {"latens_group": cells})

        def pixels() -> tuple[Any, int]:
            from latens.pictures.images import shown
            from latens.pictures.sheet import captioned

            each = [np.flatnonzero((found.group == k) & (found.rank <= SHOWN)) for k in range(1, count + 1)]
            each = [place[np.argsort(found.rank[place])] for place in each]
            images = shown(data.schema, x[np.concatenate(each)])
            blank = np.ones((1, *images.shape[1:]), images.dtype)
            first, parts, names = 0, [], []
            for k, place in enumerate(each, 1):
                parts += [images[first : first + len(place)], *[blank] * (SHOWN - len(place))]
                names += [f"{k}. {data.names[row]}" for row in place] + [""] * (SHOWN - len(place))
                first += len(place)
            return captioned(np.concatenate(parts), names), SHOWN

        made = {"arrays": arrays, "value": value, "text": text, "plain": tuple(plain), "raw": raw}
        return Made(**made, pixels=pixels, dialect=at.dialect(self.data))


def _label(data: "Dataset", inside: "np.ndarray") -> list[str]:
    """The commonest class of a group, where rows have one."""
    if data.label is None or not data.schema.classes or not (known := inside & (data.label >= 0)).any():
        return []
    share = np.bincount(data.label[known], minlength=len(data.schema.classes)) / known.sum()
    return [f"{data.label_name or 'class'} {data.schema.classes[int(share.argmax())]} in {share.max():.0%}"]


def _next(at: At, pictures: bool, own: bool) -> str:
    """What a user would do with the groups."""
    if at.writes:
        return f"{at.out.name} {'shows them, a line each' if at.picture else 'has the group of each row'}."
    sheet = "--out groups.png shows them; " if pictures else ""
    return f"Next: {sheet}--out groups.csv has the group of each row{'' if own else ', --groups N makes N'}."
