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
    """Turn any value into text of HTML.

    `& < > " '` are escaped; control and direction marks and lone surrogates are spelled out.

    Args:
        value: The value; `Html` stays as it is.

    Returns:
        The text.

    Examples:
        >>> text("<img src=x onerror=alert(1)>")
        '&lt;img src=x onerror=alert(1)&gt;'
    """
    return value if isinstance(value, Html) else Html(escape(visible(value, keep="\n\t\r"), quote=True))


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """Make an element of HTML.

    `None` children and attributes are left out, sequences of children are joined.

    Args:
        name: Name of the element.
        *children: What stands in it, escaped unless it is `Html`.
        **attributes: Its attributes; an underscore at the end of a name is dropped, others become hyphens.

    Returns:
        The element.

    Examples:
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
    """Join children one after the other, each escaped unless it is `Html`."""
    # children: values, or sequences of them; None is left out.
    parts = []
    for child in children:
        if child is None:
            continue
        parts.append(joined(child) if isinstance(child, list | tuple) else text(child))
    return Html("".join(parts))


def table(
    caption: str, head: Sequence[object], rows: Iterable[Sequence[object]], *, numbers: Sequence[int] = ()
) -> Html:
    """Make a table with a caption and headers of columns and rows."""
    # It scrolls by itself where it is wider than the page.

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
    """Make an address that holds the bytes of a picture."""
    mime = "image/svg+xml" if kind == "svg" else f"image/{kind}"
    return f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"
