"""Columns of a mixed table given other columns: the local server's answers against quadrature, and the page."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from browser_fixtures import Browser
from page_fixtures import settled, state
from scipy import special
from server_fixtures import FILES, HOSTILE, ask

from latens.data import Preparation, load
from latens.data.schema import Column, Schema
from latens.distributions import StandardNormal
from latens.explorer import payload, static_files
from latens.explorer.server import DecodeEndpoint, PageServer, decoder_of
from latens.explorer.whatif import BINS, MOST_QUESTION, answers, edges_of, masses, whatif_columns
from latens.kinds.tables.columns import ColumnType, FrameColumn, number_type
from latens.kinds.tables.table_schema import as_frame
from latens.models import Conditional, LatentModel, NormalHead
from latens.models.heads.table import TableHead, TableInput
from latens.predictive.conditional_samples import conditions_of, shares_given
from latens.trained.trained_model import TrainedModel

pytest_plugins = ("browser_fixtures",)

rng = np.random.default_rng(0)
CITY = ColumnType("category", ("Lyon", HOSTILE, "Porto"), shares=(0.2, 0.3, 0.5))
INCOME = number_type(v := np.round(rng.normal(200.0, 30.0, 400), 1), v, FrameColumn())
DAY = number_type(v := 18_000.0 + rng.integers(0, 20, 300), v, FrameColumn(dtype="Date"))
SIZE = ColumnType("ordinal", ("S", "M", "L"), shares=(0.3, 0.3, 0.4))
TYPES = (CITY, INCOME, DAY, SIZE)
SCHEMA = Schema((4,), "mixed", columns=tuple(map(Column, ("city", "income", "day", "size"))), types=TYPES)


class Tilt(eqx.Module):
    """Outputs that are linear in z: all columns hang on it."""

    weight: jax.Array

    def __call__(self, z: Any) -> Any:
        return self.weight @ z.reshape(-1)


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    head = TableHead(TYPES)
    weight = jax.random.normal(jax.random.key(3), (head.num_outputs, 1))
    encoder = Conditional(lambda x: jnp.array([0.4, 0.1]) + 0.0 * x[:2], NormalHead((1,)), TableInput(TYPES))
    model = LatentModel(StandardNormal((1,)), encoder, Conditional(Tilt(weight), head))
    return TrainedModel(model, SCHEMA, Preparation())


@pytest.fixture(scope="module")
def page(trained: TrainedModel) -> Iterator[PageServer]:
    with PageServer(FILES, given=answers(trained)) as server:
        yield server


def exact(trained: TrainedModel, cells: dict[int, float]) -> tuple[list[np.ndarray], float]:
    """The probability of each segment of every column given cells of some, and of these cells: by quadrature over z."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    low = jnp.array([cells.get(i, -np.inf) for i in range(4)])
    high = jnp.array([cells.get(i, np.inf) for i in range(4)])

    def of(z: Any) -> Any:
        joined = trained.model.likelihood(z)
        return joined.within(low, high)[1], {name: part.log_shares() for name, part in joined.parts.items()}

    log_given, shares = jax.vmap(of)(jnp.asarray(nodes[:, None]))
    log_w = np.log(weights) - 0.5 * np.log(2 * np.pi) + np.asarray(log_given, np.float64)
    places = trained.model.likelihood(jnp.zeros(1)).blocks
    found: dict[int, np.ndarray] = {}
    for name, own in zip(places.names, places.places):
        for k, i in enumerate(own):
            log_p = np.asarray(shares[name][:, k, : TYPES[i].count], np.float64) + log_w[:, None]
            found[i] = np.exp(special.logsumexp(log_p, axis=0) - special.logsumexp(log_w))
    return [found[i] for i in range(4)], float(np.exp(special.logsumexp(log_w)))


def asked(page: PageServer, given: list[Any], **more: Any) -> dict[str, Any]:
    body = json.dumps({"given": given, **more}).encode()
    response, answer = ask(page, "/given", "POST", body, Content_Type="application/json")
    assert (response.status, response.headers["Content-Type"]) == (200, "application/json"), answer
    return json.loads(answer)


DATE = str(np.datetime64(int(DAY.low) + 3, "D"))
VALUE = INCOME.texts(np.array([INCOME.size // 3]))[0]


@pytest.mark.parametrize(
    ("given", "cells"),
    [
        ([], {}),
        ([[0, 1]], {0: 1.0}),
        ([[3, 2], [2, DATE]], {3: 2.0, 2: 3.0}),
        ([[1, VALUE], [0, 0]], {1: float(INCOME.size // 3), 0: 0.0}),
    ],
    ids=["nothing", "a-name", "a-size-and-a-day", "a-number-and-a-name"],
)
def test_free_columns_have_the_probabilities_of_quadrature(
    trained: TrainedModel, page: PageServer, given: list[Any], cells: dict[int, float]
) -> None:
    shares, probability = exact(trained, cells)
    low = np.array([cells.get(i, -np.inf) for i in range(4)])
    high = np.array([cells.get(i, np.inf) for i in range(4)])
    words = {SCHEMA.columns[i].name: TYPES[i].texts(np.array([c]))[0] for i, c in cells.items()}  # type: ignore[index]
    conditions = conditions_of(words, SCHEMA)
    np.testing.assert_array_equal(conditions.low, low)
    np.testing.assert_array_equal(conditions.high, high)
    many = shares_given(trained.model, conditions, TYPES, key=jax.random.key(0), enough=10_000)
    assert many.effective > 10_000
    error = 4.0 / np.sqrt(many.effective)
    assert many.log_probability == pytest.approx(np.log(probability), abs=error)
    for found, expected in zip(many.columns, shares):
        assert np.all(np.abs(found - expected) < error * np.sqrt(expected) + 1e-6)

    answer = asked(page, given)
    assert answer["effective"] > 1000
    error = 4.0 / np.sqrt(answer["effective"])
    assert answer["probability"] == pytest.approx(probability, rel=error)
    assert [one["column"] for one in answer["columns"]] == [i for i in range(4) if i not in cells]
    for one in answer["columns"]:
        kind, p = TYPES[one["column"]], shares[one["column"]]
        bars = p if kind.named else masses(p, kind, edges_of(kind))
        assert np.all(np.abs(np.array(one["shares"]) - bars) < error * np.sqrt(bars) + 1e-6)
        if kind.named:
            assert set(one) == {"column", "shares"}
            continue
        cell = np.concatenate([np.full(w, s / w) for s, w in zip(p, kind.widths)])
        below = np.cumsum(cell)
        for q, text in zip((0.05, 0.25, 0.5, 0.75, 0.95), one["quantiles"]):
            place = conditions_of({SCHEMA.columns[one["column"]].name: text}, SCHEMA).low[one["column"]]  # type: ignore[index]
            assert below[int(place)] > q - error
            assert below[int(place)] - cell[int(place)] < q + error
        mean = float(cell @ np.arange(kind.size))
        spread = np.sqrt(cell @ (np.arange(kind.size) - mean) ** 2)
        if kind.kind == "date":
            days = (np.datetime64(one["mean"]) - np.datetime64(int(DAY.low), "D")).astype(int)
            assert abs(days - mean) < error * spread + 0.5
        else:
            assert one["mean"] == pytest.approx(kind.low + mean * kind.step, abs=error * spread * kind.step)


def test_a_row_with_a_cell_changed_has_the_probabilities_of_quadrature(trained: TrainedModel, page: PageServer) -> None:
    """The others are those of another such row; beside them the same without the change, and how far they are apart."""
    row = [0.0, float(INCOME.size // 3), None, 2.0]
    known = {i: cell for i, cell in enumerate(row) if cell is not None}
    before, _ = exact(trained, known)
    after, probability = exact(trained, known | {0: 1.0})
    answer = asked(page, [[0, 1]], row=row)
    error = 6.0 / np.sqrt(answer["effective"])
    assert answer["probability"] == pytest.approx(probability, rel=error)
    assert [one["column"] for one in answer["columns"]] == [1, 2, 3]
    for one in answer["columns"]:
        i, kind = one["column"], TYPES[one["column"]]
        for told, p in ((one, after[i]), (one["was"], before[i])):
            bars = p if kind.named else masses(p, kind, edges_of(kind))
            assert np.all(np.abs(np.array(told["shares"]) - bars) < error * np.sqrt(bars) + 1e-6)
        assert one["moved"] == pytest.approx(0.5 * np.abs(after[i] - before[i]).sum(), abs=error)
    assert [one["own"] for one in answer["columns"]] == [VALUE, "", "L"]
    still = asked(page, [], row=row)
    assert {one["moved"] for one in still["columns"]} == {0.0}
    for bad in ([0.0], [0.0, 1.0, 2.0, 3.0], [0.0, 1e9, 0.0, 0.0]):
        body = json.dumps({"given": [], "row": bad}).encode()
        response, words = ask(page, "/given", "POST", body, Content_Type="application/json")
        assert (response.status, words) == (400, b"a row has 4 stored cells\n")


def test_columns_that_hang_on_nothing_keep_their_shares_exactly() -> None:
    head = TableHead(TYPES)
    encoder = Conditional(lambda x: jnp.zeros(2), NormalHead((1,)), TableInput(TYPES))
    model = LatentModel(StandardNormal((1,)), encoder, Conditional(Tilt(jnp.zeros((head.num_outputs, 1))), head))
    trained = TrainedModel(model, SCHEMA, Preparation())
    found = answers(trained)
    assert found is not None
    answer = json.loads(found(b'{"given": [[0, 2]]}'))
    assert answer["probability"] == pytest.approx(0.5, rel=1e-5)
    described = whatif_columns(trained)
    assert described is not None
    for one in answer["columns"]:
        np.testing.assert_allclose(one["shares"], described[one["column"]]["training"], rtol=1e-4, atol=1e-7)


def test_bars_hold_the_cells_that_lie_in_them() -> None:
    assert edges_of(DAY).tolist() == list(range(DAY.size + 1))
    edges = edges_of(INCOME)
    assert len(edges) == BINS + 1
    assert (edges[0], edges[-1]) == (0, INCOME.size)
    cell = np.concatenate([np.full(w, s / w) for s, w in zip(INCOME.shares, INCOME.widths)])
    expected = [cell[int(a) : int(b)].sum() for a, b in itertools.pairwise(edges)]
    np.testing.assert_allclose(masses(np.asarray(INCOME.shares), INCOME, edges), expected, atol=1e-12)
    # The outer hundredths are in the outer bars; those between are of one width.
    assert cell[: int(edges[1])].sum() == pytest.approx(0.01, abs=0.005)
    assert np.ptp(np.diff(edges[1:-1])) <= 1


def test_the_manifest_says_what_can_be_chosen(trained: TrainedModel) -> None:
    described = whatif_columns(trained)
    assert described is not None
    city, income, day, size = described
    assert (city["levels"], city["training"]) == (list(CITY.values), list(CITY.shares))
    assert (size["kind"], day["kind"], income["kind"]) == ("ordinal", "date", "number")
    assert (income["input"], day["input"], income["step"]) == ("number", "date", 0.1)
    assert day["choices"] == day["edges"] == [str(np.datetime64(int(DAY.low) + k, "D")) for k in range(DAY.size)]
    ends = INCOME.texts(np.array([0, INCOME.size - 1]))
    assert [income["choices"][0], income["choices"][-1]] == ends
    assert sum(income["training"]) == pytest.approx(1.0)
    assert income["choices"] == sorted(income["choices"], key=float)


def test_columns_have_their_names_and_units(trained: TrainedModel) -> None:
    frame = as_frame(trained.sample(60, seed=2), SCHEMA)
    gone = pl.Series(np.arange(60) == 3)
    frame = frame.with_columns(frame["city"].set(gone, None))
    files = payload(trained, load(frame, schema=SCHEMA), serve=True)
    manifest = json.loads(files["data/manifest.json"])
    city, income, day, size = (one for one in manifest["columns"] if one["role"] == "cell")
    codes = np.frombuffer(files[city["file"]], "<i4")
    assert (codes[3], city["levels"]) == (-1, list(CITY.values))
    assert [CITY.values[code] for code in np.delete(codes, 3)] == frame["city"].drop_nulls().to_list()
    assert [SIZE.values[code] for code in np.frombuffer(files[size["file"]], "<i4")] == frame["size"].to_list()
    np.testing.assert_array_equal(np.frombuffer(files[income["file"]], "<f4"), frame["income"].cast(pl.Float32))
    days = frame["day"].to_physical()
    assert (np.frombuffer(files[day["file"]], "<f4").tolist(), day["days"]) == (days.to_list(), True)
    for column, one in zip(manifest["event"]["columns"], TYPES):
        cell = np.concatenate([np.full(w, s / w) for s, w in zip(one.shares, one.widths)])
        mean = cell @ np.arange(len(cell))
        assert column["shift"] == pytest.approx(mean)
        assert column["scale"] == pytest.approx(np.sqrt(cell @ np.square(np.arange(len(cell)) - mean)))


def test_times_are_written_as_their_inputs_read_them() -> None:
    from latens.explorer.whatif import texts_of

    clock = ColumnType("date", (), 1.6e9, 1.0, (0,), 10, (1.0,), "Datetime[us, Europe/Paris]")
    assert texts_of(clock, np.array([0])) == ["2020-09-13T14:26:40"]  # of the zone's own clocks
    plain = ColumnType("date", (), 1.6e9, 1.0, (0,), 10, (1.0,), "Datetime[us]")
    assert texts_of(plain, np.array([5])) == ["2020-09-13T12:26:45"]
    whole = ColumnType("number", (), -2.0, 1.0, (0,), 10, (1.0,), "Int64")
    assert texts_of(whole, np.array([0, 3])) == ["-2", "1"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "a question is JSON"),
        (b"not json", "a question is JSON"),
        (b"[]", "a question is JSON"),
        (b'{"given": [[0, 1]], "more": 1}', "a question is JSON"),
        (b'{"given": [[0, NaN]]}', "a question is JSON"),
        (b'{"given": [[0, true]]}', "a question is JSON"),
        (b'{"given": [[0, 1.5]]}', "a question is JSON"),
        (b'{"given": [[0, -1]]}', "a question is JSON"),
        (b'{"given": [[-1, 1]]}', "a question is JSON"),
        (b'{"given": [[0, [1]]]}', "a question is JSON"),
        (b'{"given": [[0]]}', "a question is JSON"),
        (b'{"given": [[1, "%s"]]}' % (b"9" * 61), "a question is JSON"),
        (b'{"given": [[0, 1], ' + b'[0, 1], ' * 300 + b"[0, 1]]}", "a question is JSON"),
        (b'{"given": [[4, 1]]}', "columns are numbered from 0 to 3"),
        (b'{"given": [[0, 1], [0, 2]]}', "column 'city' is fixed twice"),
        (b'{"given": [[0, 3]]}', "column 'city' has no such value; it has the names 0 to 2"),
        (b'{"given": [[0, "Lyon"]]}', "column 'city' has no such value"),
        (b'{"given": [[1, 200]]}', "column 'income' has no such value"),
        (b'{"given": [[1, "9e9"]]}', "in steps of 0.1"),
        (b'{"given": [[1, "nan"]]}', "column 'income' has no such value"),
        (b'{"given": [[1, "<b>hostile</b>"]]}', "column 'income' has no such value"),
        (b'{"given": [[2, "2021-02-31"]]}', "in days"),
        (b'{"given": [[2, "1999-01-01"]]}', "column 'day' has no such value"),
    ],
    ids=range(23),
)  # fmt: skip
def test_questions_that_are_none_are_refused_in_words_of_ours(page: PageServer, body: bytes, words: str) -> None:
    response, answer = ask(page, "/given", "POST", body, Content_Type="application/json")
    assert (response.status, response.headers["Content-Type"]) == (400, "text/plain; charset=utf-8")
    assert words in answer.decode()
    assert b"hostile" not in answer
    assert b"9e9" not in answer


def test_who_may_ask_and_how_much(page: PageServer, trained: TrainedModel) -> None:
    body = b'{"given": []}'
    kind = {"Content_Type": "application/json"}
    assert ask(page, "/given", "POST", body, Cookie=None, **kind)[0].status == 403
    assert ask(page, "/given", "POST", body, Origin="http://evil.example", **kind)[0].status == 403
    assert ask(page, "/given", "POST", body)[0].status == 415  # octet-stream, as of latents
    assert ask(page, "/given", "POST", b" " * (MOST_QUESTION + 1), **kind)[0].status == 413
    assert ask(page, "/given", "POST", body, Content_Length="x", **kind)[0].status == 411
    assert ask(page, "/given")[0].status == 404  # there is nothing to read
    assert ask(page, "/decode", "POST", b"1234")[0].status == 404  # this page decodes nothing
    with PageServer(FILES, decoder=DecodeEndpoint(1, lambda z, codes: z)) as other:
        assert ask(other, "/given", "POST", body, **kind)[0].status == 404
        other.given = lambda raw: 1 // 0  # type: ignore[assignment, return-value]
        response, words = ask(other, "/given", "POST", body, **kind)
        assert (response.status, words) == (500, b"the model did not compute this\n")


def test_models_without_such_probabilities_answer_nothing(trained: TrainedModel) -> None:
    from dataclasses import replace

    real = replace(trained, schema=Schema((4,), "real", columns=SCHEMA.columns))
    labelled = replace(trained, preparation=Preparation(classes=2))
    assert whatif_columns(real) is whatif_columns(labelled) is None
    assert answers(real) is answers(labelled) is None


def test_the_page_fixes_columns_and_shows_the_others(browser: Browser, trained: TrainedModel) -> None:
    frame = as_frame(trained.sample(200, seed=1), SCHEMA)
    files = static_files() | payload(trained, load(frame, schema=SCHEMA), serve=True)
    with PageServer(files, decoder=decoder_of(trained, files), given=answers(trained)) as page:
        browser.open(page.url)
        browser.run("latens.app.set({ tab: 'whatif' })")
        browser.until("document.querySelectorAll('.given .may svg').length === 4", seconds=60)
        heights = """return [...document.querySelectorAll(`[data-column="${args[0]}"] svg rect`)]
          .filter((r, k) => k % 3 === 1).map((r) => Number(r.getAttribute("height")));"""

        def same(place: int, given: list[Any]) -> None:
            found = next(one for one in asked(page, given)["columns"] if one["column"] == place)
            bars, p = np.array(browser.run(heights, place)), np.array(found["shares"])
            np.testing.assert_allclose(bars / bars.sum(), p, atol=1e-4)

        for place in range(4):
            same(place, [])
        choose = """const one = document.querySelector(`[data-column="${args[0]}"] ${args[1]}`);
          one.value = args[2]; one.dispatchEvent(new Event(args[3]));"""
        browser.run(choose, 0, "select", "1", "change")
        browser.until("document.querySelectorAll('.given .may svg').length === 3")
        assert state(browser, "given") == [{"column": 0, "value": 1}]
        same(1, [[0, 1]])
        browser.run("await new Promise((done) => setTimeout(done, 800))")  # what is done at once is undone at once
        browser.run(choose, 2, "input[type=date]", DATE, "change")
        browser.until("document.querySelectorAll('.given .may svg').length === 2")
        same(3, [[0, 1], [2, DATE]])
        note = browser.run("return document.querySelector('.panel [role=status].note').textContent")
        answer = asked(page, [[0, 1], [2, DATE]])
        told = f"{round(answer['effective']):,} of {answer['draws']:,} draws of z"
        assert (told in note) == (answer["effective"] <= 0.95 * answer["draws"])
        slider = browser.run(
            "return [...document.querySelectorAll('[data-column=\"2\"] input')].map((one) => one.value)"
        )
        assert slider == ["3", DATE]
        # The link brings it back, undo takes it back, and a name is text.
        # The first of the two choices is in the link already, and would be read before the second is written.
        browser.until("location.hash.includes(args[0])", DATE)
        link = browser.run("return location.href")
        assert HOSTILE in browser.run("return document.querySelector('[data-column=\"0\"] select').innerText")
        assert browser.run("return document.querySelector('.given img')") is None
        browser.run("latens.app.undo()")
        browser.until("document.querySelectorAll('.given .may svg').length === 3")
        browser.driver.get("about:blank")
        browser.open(link)
        browser.until("document.querySelectorAll('.given .may svg').length === 2", seconds=30)
        assert state(browser, "given") == [{"column": 0, "value": 1}, {"column": 2, "value": DATE}]
        # A number of the slider, and all free again.
        browser.run(choose, 1, "input[type=range]", "0", "input")
        browser.until("document.querySelectorAll('.given .may svg').length === 1")
        lowest = json.loads(files["data/manifest.json"])["what_if"][1]["choices"][0]
        same(3, [[0, 1], [2, DATE], [1, lowest]])
        browser.run("[...document.querySelectorAll('.panel button')].find((b) => b.textContent === 'Free all').click()")
        browser.until("document.querySelectorAll('.given .may svg').length === 4")
        settled(browser)
        # A row of which a cell is changed.
        browser.run("latens.app.set({ row: 5 })")
        browser.run(
            "[...document.querySelectorAll('.panel button')].find((b) => b.textContent.startsWith('Change')).click()"
        )
        browser.until("document.querySelectorAll('.given .may')[1].innerText.startsWith('row: ')")
        assert browser.run("return document.querySelectorAll('.given .may svg').length") == 0
        other = int(frame["city"][5] == CITY.values[0])
        browser.run(choose, 0, "select", str(other), "change")
        browser.until("document.querySelectorAll('.given .may svg').length === 3")
        assert "of the probability moves" in browser.run("return document.querySelectorAll('.given .may')[1].innerText")
        browser.run("[...document.querySelectorAll('.panel button')].find((b) => b.textContent === 'No row').click()")
        browser.until("document.querySelectorAll('.given .may svg').length === 4")
        settled(browser)
        # The other panels speak of names and dates too.
        browser.run("latens.app.set({ tab: 'table' })")
        browser.until("document.querySelectorAll('.rows tbody tr').length === 100")
        row = browser.run(
            "return [...document.querySelectorAll('.rows tbody tr:first-child td')].map((c) => c.innerText)"
        )
        first = frame.row(0, named=True)
        assert [row[1], float(row[2]), *row[3:5]] == [
            first["city"], pytest.approx(first["income"], rel=1e-3), str(first["day"]), first["size"],
        ]  # fmt: skip
        browser.run("latens.app.set({ tab: 'rows', row: 0 })")
        browser.until("document.querySelector('[role=tabpanel]:not([hidden]) .values tbody')")
        settled(browser)
        cells = browser.run(
            "return [...document.querySelectorAll('[role=tabpanel]:not([hidden]) .values td')].map((c) => c.innerText)"
        )
        assert cells[0] in CITY.values
        assert len(cells) == 12  # of each column the row, its reconstruction, and their difference
        assert np.datetime64(cells[6]) >= np.datetime64(int(DAY.low), "D")
        assert browser.errors() == []
