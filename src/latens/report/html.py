"""A tiny writer of HTML in which text can only ever be text: whatever is not `Html` is escaped."""

import base64
from collections.abc import Iterable, Sequence
from html import escape

from latens.text import visible

VOID = frozenset(("img", "meta", "source", "link", "br"))


class Html(str):
    """Text that is HTML already, and is not escaped again."""

    __slots__ = ()


def text(value: object) -> Html:
    """Any value as text, `& < > " '` escaped; control and direction marks and lone surrogates are spelled out.

    >>> text("<img src=x onerror=alert(1)>")
    '&lt;img src=x onerror=alert(1)&gt;'
    """
    return value if isinstance(value, Html) else Html(escape(visible(value, keep="\n\t\r"), quote=True))


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """An element. `None` children and attributes are left out, sequences of children are joined; an underscore at the
    end of an attribute's name is dropped, others become hyphens.

    >>> tag("p", "a < b", class_="small")
    '<p class="small">a &lt; b</p>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        return Html(f"<{name}{given}>")
    return Html(f"<{name}{given}>{joined(children)}</{name}>")


def joined(children: Iterable[object]) -> Html:
    """Children one after the other, each escaped unless it is `Html`."""
    parts = []
    for child in children:
        if child is None:
            continue
        parts.append(joined(child) if isinstance(child, list | tuple) else text(child))
    return Html("".join(parts))


def table(
    caption: str, head: Sequence[object], rows: Iterable[Sequence[object]], *, numbers: Sequence[int] = ()
) -> Html:
    """A table with a caption and headers of columns and rows; it scrolls by itself where it is wider than the page.

    **Arguments:** `head` of the columns; `rows`, the first cell of each its header; `numbers` the columns that are
    set right.
    """

    def look(column: int) -> str | None:
        return "number" if column in numbers else None

    top = tag("tr", *(tag("th", cell, scope="col", class_=look(i)) for i, cell in enumerate(head)))
    lines = [
        tag(
            "tr",
            tag("th", row[0], scope="row"),
            *(tag("td", cell, class_=look(i)) for i, cell in enumerate(row[1:], 1)),
        )
        for row in rows
    ]
    inside = tag("table", tag("caption", caption), tag("thead", top), tag("tbody", *lines))
    return tag("div", inside, class_="scroll", tabindex=0, role="region", aria_label=caption)


def data_uri(data: bytes, kind: str) -> str:
    """The bytes of a picture as an address that holds them; `kind` "png", "svg" or "gif"."""
    mime = "image/svg+xml" if kind == "svg" else f"image/{kind}"
    return f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"
