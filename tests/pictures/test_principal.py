"""Latent planes of tables: principal axes, the most telling column as colour, dates as dates, tilted posteriors."""

import numpy as np
import pandas as pd
import pytest

from latens.data import load
from latens.evaluation.latents.telling import principal
from latens.figures.style import figure_of
from latens.pictures.latent import _colours
from latens.pictures.source import Posteriors, Source


def test_principal_axes_are_those_of_the_covariance():
    """Points along (3, 4) / 5 with a tenth of the spread across: 100 / 101 of the variance on the first axis."""
    along, across = np.array([0.6, -0.8]), np.array([0.8, 0.6])
    t = np.array([-1.0, 1.0, 0.0, 0.0])
    points = 7.0 + 10.0 * np.outer(t, along) + np.outer([0.0, 0.0, 1.0, -1.0], across)
    found = principal(points)
    np.testing.assert_allclose(found.axes, np.stack([-along, across], axis=1), atol=1e-12)  # the largest is positive
    np.testing.assert_allclose(found.shares, [100 / 101, 1 / 101])
    np.testing.assert_allclose(found.of(points)[:, 0], -10.0 * t, atol=1e-12)


@pytest.mark.parametrize(("first", "name"), [("when", "when"), ("size", "size"), ("kind", "kind")])
def test_the_most_telling_column_gives_the_colours(first, name):
    random = np.random.default_rng(0)
    n = 240
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(random.permutation(n) % 60, unit="D")
    frame = pd.DataFrame({"kind": random.choice(["a", "b", "c"], n), "size": random.normal(size=n), "when": days})
    numbers = {"kind": pd.factorize(frame["kind"])[0], "size": frame["size"], "when": (days - days.min()).days}
    plane = np.stack([np.asarray(numbers[first], float), np.zeros(n)], axis=1)
    data = load(frame)
    look = _colours(_source(data), _posteriors(data), plane)
    assert look.by == f", by {name}"
    assert look.dates == (first == "when")
    if first == "when":
        assert look.colour is not None
        assert str(np.datetime64(int(look.colour.min()), "D")) == "2024-01-01"
    assert (look.label is None) == (first != "kind")


def _source(data):
    source = Source.__new__(Source)
    source.data, source.schema = data, data.schema
    return source


def _posteriors(data):
    code = Posteriors.__new__(Posteriors)
    code.positions, code.label, code.classes = np.arange(len(data)), None, None
    return code


def test_a_picture_of_dates_has_dates_at_its_key():
    from latens.figures import latent_scatter
    from latens.figures.tables import date_key

    days = 19723.0 + np.arange(40.0)
    axes = latent_scatter(np.random.default_rng(0).normal(size=(40, 2)), colour=days, colour_name="when")
    bar = figure_of(axes).axes[-1]
    date_key(bar.yaxis, 39.0)
    figure_of(axes).canvas.draw()
    words = [text.get_text() for text in bar.get_yticklabels()]
    assert all(word.startswith("2024-") and len(word) == 10 for word in words if word)
    assert any(words)
