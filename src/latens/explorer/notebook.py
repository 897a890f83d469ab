"""`latens.explore(model, X)`: the explorer's page in a notebook, by anywidget, from the same files."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from latens.data import Dataset, encode_labels, load
from latens.data.infer import with_classes
from latens.errors import ConfigError, DataError, UsageError
from latens.explorer import payload, static_files
from latens.explorer.guard import Refused
from latens.explorer.page_files import bundled, package_text
from latens.explorer.server import decoder_of, latents_of
from latens.explorer.whatif import answers
from latens.io.process import counted
from latens.trained.inputs import RowsLike, seed_key
from latens.trained.trained_model import TrainedModel
from latens.typing import checked_later


@counted(most_rows=1, height=1)
@checked_later
def explore(
    model: object,
    X: RowsLike,
    y: ArrayLike | None = None,
    *,
    coordinates: ArrayLike | None = None,
    most_rows: int = 20_000,
    seed: int = 0,
    height: int = 860,
    title: str = "",
) -> Any:
    """Show the page of `latens explore` as a widget in a notebook.

    The widget contains the page and its data, so it needs no network and no server. The browser computes dense
    decoders. The kernel computes others.

    Args:
        model: A fitted estimator or a `TrainedModel`.
        X: Rows in the form that the model accepts, or a `Dataset`.
        y: Labels, shape (n,), which determine the colours; or None.
        coordinates: Your own map of the rows, shape (n, k), as further axes; or None.
        most_rows: Maximum number of rows to show. They are evenly spaced.
        seed: Seed of the samples.
        height: Height of the widget in pixels.
        title: Title of the page.

    Returns:
        The widget.

    Raises:
        ConfigError: anywidget is not installed, or the model has no latents.
        DataError: The rows do not match the model.
    """
    widget = widget_class()
    seed_key(seed)
    trained, data = rows_of(model, X, y)
    options: dict[str, Any] = {"coordinates": coordinates, "most_rows": most_rows}
    found = payload(trained, data, **options, seed=seed, title=title, serve=True)
    return widget(trained, static_files() | found, height)


def rows_of(model: Any, X: Any, y: ArrayLike | None) -> tuple[TrainedModel, Dataset]:
    """Take the model out of an estimator, and rows as a data set that it takes."""
    trained = getattr(model, "model_", model)
    if not isinstance(trained, TrainedModel):
        what = f"{type(model).__name__} is neither a fitted estimator nor a model that latens.load gives."
        raise UsageError(what, where="model", fix="Call fit first, or give latens.load(path).")
    read = (lambda: load(X, schema=trained.schema, name="X")) if trained is model else lambda: model._read(X)[0]
    data = X if isinstance(X, Dataset) else read()
    if y is None:
        return trained, data
    values = np.asarray(y)
    if values.shape != (len(data),):
        what = f"labels of shape {values.shape} for {len(data)} rows."
        raise DataError(what, where="y", fix="Give one label a row.")
    if trained.preparation.classes:
        codes = np.array([trained.code_of(str(value)) for value in values.tolist()], np.int32)
        return trained, dataclasses.replace(data, label=codes)
    codes, classes = encode_labels(values, len(data), "y")
    return trained, dataclasses.replace(data, label=codes, schema=with_classes(data.schema, classes))


@functools.cache
def widget_class() -> Any:
    """Make the class of the widget."""
    try:
        import anywidget
        import traitlets
    except ImportError:
        fix = "pip install 'latens[notebook]'"
        raise ConfigError("anywidget is not installed.", where="latens.explore", fix=fix) from None

    class Explorer(anywidget.AnyWidget):
        """The page as a widget; `files` and `height` (pixels) are what the browser is given."""

        _esm = package_text("widget.js").replace("/* page.js */", package_text("page.js"))
        files = traitlets.Dict().tag(sync=True)
        height = traitlets.Int().tag(sync=True)

        def __init__(self, trained: TrainedModel, files: dict[str, bytes], height: int) -> None:
            self._decoder, self._given = decoder_of(trained, files), answers(trained)
            super().__init__(files=bundled(files), height=height)
            self.on_msg(self._answer)

        def _answer(self, widget: object, content: object, buffers: Sequence[bytes]) -> None:
            """Compute what the page asks for, as the local server does."""
            if not isinstance(content, dict) or not buffers:
                return
            reply, body = {"kind": "computed", "id": content.get("id")}, bytes(buffers[0])
            try:
                if content.get("kind") == "decode" and self._decoder is not None:
                    events = self._decoder.function(*latents_of(body, self._decoder))
                    self.send(reply, [np.ascontiguousarray(events, "<f4").tobytes()])
                elif content.get("kind") == "given" and self._given is not None:
                    self.send(reply, [self._given(body)])
            except Refused as refusal:
                self.send({**reply, "error": str(refusal)})

    return Explorer
