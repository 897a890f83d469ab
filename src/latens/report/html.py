"""A tiny writer of HTML in which text can only ever be text: whatever is not `Html` is escaped."""

import base64
from collections.abc import Iterable, Sequence
from html import escape

from latens.errors import visible

VOID = frozenset(("img", "meta", "source", "link", "br"))


class Html(str):
    """Text that is HTML already, and is not escaped again."""

    __slots__ = ()


def text(value: object) -> Html:
    """Turn any value but `Html` into text of HTML; control and direction marks and lone surrogates are spelled out."""
    return value if isinstance(value, Html) else Html(escape(visible(value, keep="\n\t\r"), quote=True))


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """Make an element of HTML of children, of which `None` is left out, and attributes, such as `class_`."""
    shown = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items() if value is not None}
    given = "".join(f' {key}="{text(value)}"' for key, value in shown.items())
    if name in VOID:
        return Html(f"<{name}{given}>")
    return Html(f"<{name}{given}>{joined(children)}</{name}>")


def joined(children: Iterable[object]) -> Html:
    """Join children one after the other, each escaped unless it is `Html`."""
    kept = [child for child in children if child is not None]
    return Html("".join(joined(child) if isinstance(child, list | tuple) else text(child) for child in kept))


def table(
    caption: str, head: Sequence[object], rows: Iterable[Sequence[object]], *, numbers: Sequence[int] = ()
) -> Html:
    """Make a table with a caption and headers of columns and rows."""
    # It scrolls by itself where it is wider than the page.

    def look(column: int) -> str | None:
        return "number" if column in numbers else None

    top = tag("tr", *(tag("th", cell, scope="col", class_=look(i)) for i, cell in enumerate(head)))
    lines = []
    for row in rows:
        cells = (tag("td", cell, class_=look(i)) for i, cell in enumerate(row[1:], 1))
        lines.append(tag("tr", tag("th", row[0], scope="row"), *cells))
    inside = tag("table", tag("caption", caption), tag("thead", top), tag("tbody", *lines))
    return tag("div", inside, class_="scroll", tabindex=0, role="region", aria_label=caption)


def data_uri(data: bytes, kind: str) -> str:
    """Make an address that holds the bytes of a picture."""
    mime = "image/svg+xml" if kind == "svg" else f"image/{kind}"
    return f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"
