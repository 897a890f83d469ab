"""What if for columns that are written with a decimal comma, with money or with days before months."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from browser_fixtures import Browser
from explorer_fixtures import needs_node, node
from latens.data.frames import as_frame
from latens.data.writings import Writing
from page_fixtures import settled, state

from latens.data import Preparation, load
from latens.data.columns import ColumnType, number_type
from latens.data.schema import Column, Schema
from latens.distributions import StandardNormal
from latens.explorer import payload, static_files
from latens.explorer.export import single_file
from latens.explorer.server import PageServer
from latens.explorer.serving import decoder_of
from latens.explorer.whatif import answers, whatif_columns
from latens.models import Conditional, LatentModel, NormalHead
from latens.models.heads.table import TableHead, TableInput
from latens.networks import Dense
from latens.workflow.trained import TrainedModel

pytest_plugins = ("browser_fixtures",)

rng = np.random.default_rng(0)
HOURS, MONEY, DAY = (
    Writing(decimal=",", decimals=1),
    Writing(suffix=" €", decimal=",", thousands=".", decimals=2),
    Writing(pattern="%d.%m.%Y"),
)
TYPES = (
    ColumnType("category", ("City", "Trekking"), shares=(0.4, 0.6)),
    number_type(v := np.round(rng.uniform(1.0, 75.0, 900), 1), v, "float", writing=HOURS),
    number_type(v := np.round(rng.uniform(2.0, 1900.0, 900), 2), v, "float", writing=MONEY),
    number_type(v := 18_000.0 + rng.integers(0, 20, 300), v, "D", writing=DAY),
    number_type(v := rng.integers(16, 85, 500).astype(float), v, "int"),
)
SCHEMA = Schema((5,), "mixed", columns=tuple(map(Column, ("bike", "hours", "paid", "lent", "age"))), types=TYPES)
LOW, HIGH = TYPES[1].texts(np.array([0.0, TYPES[1].size - 1.0]))
FIRST = np.datetime64(int(TYPES[3].low), "D")


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    keys = jax.random.split(jax.random.key(5), 2)
    head, seen, latent = TableHead(TYPES), TableInput(TYPES), NormalHead((2,), scale="softplus")
    up = Dense([*seen.shape, 8, latent.num_outputs], activation="tanh", key=keys[0])
    down = Dense([2, 8, head.num_outputs], activation="silu", key=keys[1])
    model = LatentModel(StandardNormal((2,)), Conditional(up, latent, seen), Conditional(down, head))
    return TrainedModel(model, SCHEMA, Preparation())


@pytest.fixture(scope="module", params=["served", "one-file"])
def address(request: pytest.FixtureRequest, trained: TrainedModel, tmp_path_factory: Any) -> Iterator[str]:
    data = load(as_frame(trained.sample(120, seed=1), SCHEMA), schema=SCHEMA)
    if request.param == "one-file":
        path: Path = tmp_path_factory.mktemp("page") / "page.html"
        path.write_bytes(single_file(static_files() | payload(trained, data, with_model=False)))
        yield path.as_uri()
        return
    files = static_files() | payload(trained, data, serve=True)
    with PageServer(files, decoder=decoder_of(trained, files), given=answers(trained)) as server:
        yield server.url


def charts(browser: Browser, count: int) -> None:
    browser.until(f"document.querySelectorAll('.given .may svg').length === {count}", seconds=60)
    settled(browser)


def controls(browser: Browser, place: int) -> list[str]:
    """Where the slider of a column stands, and what its box says."""
    return browser.run(
        "return [...document.querySelectorAll(`[data-column='${args[0]}'] input`)].map((one) => one.value)", place
    )


def type_in(browser: Browser, place: int, text: str) -> None:
    box = browser.driver.find_elements("css selector", f"[data-column='{place}'] input")[1]
    box.clear()
    box.send_keys(text + "\n")


@pytest.mark.parametrize(
    ("place", "text", "value", "shown"),
    [
        (1, "6,5", "6.5", "6,5"),
        (1, "6.5", "6.5", "6,5"),
        (1, "4", "4", "4,0"),
        (2, "28,00 €", "28", "28,00 €"),
        (2, "1.234,5", "1234.5", "1.234,50 €"),
        (2, "28.5", "28.5", "28,50 €"),
        (4, "40", "40", "40"),
    ],
)
def test_a_number_is_typed_as_the_file_or_a_program_writes_it(
    browser: Browser, address: str, trained: TrainedModel, place: int, text: str, value: str, shown: str
) -> None:
    browser.open(address, seconds=60)
    browser.run("latens.app.set({ tab: 'whatif', given: [] })")
    charts(browser, 5)
    type_in(browser, place, text)
    charts(browser, 4)
    assert state(browser, "given") == [{"column": place, "value": value}]
    slider, box = controls(browser, place)
    described = whatif_columns(trained)
    assert described is not None
    above = [float(one) >= float(value) for one in described[place]["choices"]].index(True)
    assert (slider, box) == (str(above), shown)
    told = browser.run("return document.querySelector('.panel [role=status].note').textContent")
    assert "The model holds" in told
    # The link keeps it, and the column is free again.
    browser.until("location.hash.includes(args[0])", f"{place}%3A{value}")
    browser.run("document.querySelector(`[data-column='${args[0]}'] [aria-label^=Free]`).click()", place)
    charts(browser, 5)
    assert controls(browser, place)[1] == ""


def test_the_slider_stays_where_it_is_moved_and_the_box_says_so(
    browser: Browser, address: str, trained: TrainedModel
) -> None:
    browser.open(address, seconds=60)
    browser.run("latens.app.set({ tab: 'whatif', given: [] })")
    charts(browser, 5)
    described = whatif_columns(trained)
    assert described is not None
    slide = """const one = document.querySelector(`[data-column='${args[0]}'] input[type=range]`);
      one.value = args[1]; one.dispatchEvent(new Event("input")); one.dispatchEvent(new Event("change"));"""
    for place, writing, digits in ((1, HOURS, 1), (2, MONEY, 2)):
        for at in (30, 10, 31):
            browser.run(slide, place, str(at))
            charts(browser, 4)
            value = described[place]["choices"][at]
            assert state(browser, "given") == [{"column": place, "value": value}]
            browser.run("await new Promise((done) => setTimeout(done, 700))")  # the page's own link comes back to it
            assert controls(browser, place) == [str(at), writing.text(float(value), digits)]
        browser.run("latens.app.set({ given: [] })")
        charts(browser, 5)
    # A day is asked for in its box, and told as the file writes it.
    browser.run(slide, 3, "2")
    charts(browser, 4)
    assert controls(browser, 3) == ["2", str(FIRST + 2)]
    assert browser.errors() == []


def test_values_out_of_range_change_nothing(browser: Browser, address: str) -> None:
    browser.open(address, seconds=60)
    browser.run("latens.app.set({ tab: 'whatif', given: [] })")
    charts(browser, 5)
    for text in ("400", "6,5 km", "many"):
        type_in(browser, 1, text)
        settled(browser)
        message = browser.run("return document.querySelectorAll('[data-column=\"1\"] input')[1].validationMessage")
        assert message == f"A number from {LOW} to {HIGH}."
        assert not state(browser, "given")
        assert len(browser.driver.find_elements("css selector", ".given .may svg")) == 5


def test_means_and_quantiles_have_one_writing(browser: Browser, address: str) -> None:
    browser.open(address, seconds=60)
    browser.run("latens.app.set({ tab: 'whatif', given: [] })")
    charts(browser, 5)
    said = browser.run("return [...document.querySelectorAll('.given .may')].map((one) => one.innerText)")
    number = r"\d{1,3}(\.\d{3})*,\d"
    assert re.fullmatch(rf"mean {number}+, median {number}; half of it {number} to {number}, 90 % .*", said[1].strip())
    money = rf"{number}\d €"
    assert re.fullmatch(rf"mean {money}, median {money}; half of it {money} to {money}, 90 % .*", said[2].strip())
    day = r"\d\d\.\d\d\.\d{4}"
    assert re.fullmatch(rf"mean {day}, median {day}; half of it {day} to {day}, 90 % .*", said[3].strip())


@needs_node
def test_the_page_reads_and_writes_numbers_as_the_library_does() -> None:
    writings = [HOURS, MONEY, Writing(prefix="$", thousands=",", minus="()"), Writing(decimal=",", thousands="\u202f")]
    for writing in writings:
        for number in (0.0, 6.5, -6.5, 1234.5, 1234567.26):
            text = writing.text(number, 2)
            kept = writing.number(text)
            told = json.loads(json.dumps({"writing": {k: getattr(writing, k) for k in writing.__struct_fields__}}))
            found = node("writing", **told, number=number, text=text, digits=2)
            assert found == {"text": text, "number": kept}


def test_questions_name_numbers_plainly(trained: TrainedModel) -> None:
    own = answers(trained)
    assert own is not None
    plain = json.loads(own(b'{"given": [[2, "1234.5"]]}'))
    assert plain == json.loads(own('{"given": [[2, "1.234,50 €"]]}'.encode()))
    described = whatif_columns(trained)
    assert described is not None
    assert [one.get("input") for one in described] == [None, "number", "number", "date", "number"]
    assert described[3]["choices"][0] == str(FIRST)
    assert jnp.isfinite(plain["probability"])


COMPARED = """const lines = [...document.querySelectorAll('.comparison tbody tr')];
  return lines.map((one) => [...one.children].map((cell) => cell.innerText));"""


def compared(browser: Browser, rows: int) -> list[list[str]]:
    browser.until(f"document.querySelectorAll('.comparison tbody tr').length === {rows}", seconds=60)
    return browser.run(COMPARED)


def test_a_column_is_compared_by_each_value_of_another(browser: Browser, address: str, trained: TrainedModel) -> None:
    """Beside the model stand the means of the rows of each name; what is fixed holds for all lines."""
    frame = load(as_frame(trained.sample(120, seed=1), SCHEMA), schema=SCHEMA)
    x = np.asarray(frame.x, np.float64)
    hours = TYPES[1].low + TYPES[1].step * x[:, 1]
    browser.open(address, seconds=60)
    browser.run("latens.app.set({ tab: 'whatif', given: [] })")
    charts(browser, 5)
    browser.run("document.querySelector('[aria-label^=\"Compare hours\"]').click()")
    found = compared(browser, 2)
    ask = answers(trained)
    assert ask is not None
    for name, line in enumerate(found):
        own = hours[x[:, 0] == name]
        told = json.loads(ask(json.dumps({"given": [[0, name]]}).encode()))
        mean = next(one["mean"] for one in told["columns"] if one["column"] == 1)
        assert line[0] == TYPES[0].values[name]
        off = 0.06 if address.startswith("http") else 1.5  # a page in one file has draws of z of its own
        assert float(line[2].replace(",", ".")) == pytest.approx(mean, abs=off)
        middle, error = (float(part.replace(",", ".")) for part in line[3].replace(" *", "").split(" ± "))
        assert middle == pytest.approx(own.mean(), abs=0.06)
        assert error == pytest.approx(own.std(ddof=1) / len(own) ** 0.5, abs=0.06)
        assert line[4] == str(len(own))
    # Another column: a number of many values is cut into steps; the values of the column itself are none of them.
    choices = browser.run("return [...document.querySelector('.comparison select').options].map((one) => one.text)")
    assert choices == ["bike", "paid", "lent", "age"]
    browser.run(
        """const one = document.querySelector('.comparison select'); one.value = '4';
           one.dispatchEvent(new Event('change'));"""
    )
    ages = [float(line[0]) for line in compared(browser, 7)]
    assert ages == sorted(set(ages))
    assert max(np.diff(ages)) - min(np.diff(ages)) <= 6.0  # steps of about one width
    # What is fixed goes with it, and a column that is fixed has no comparison.
    browser.run("latens.app.set({ given: [{ column: 0, value: 1 }] })")
    browser.until("document.querySelectorAll('.comparison option').length === 3", seconds=60)
    assert compared(browser, 7)[0][0] == f"{ages[0]:g}"
    browser.run("latens.app.set({ given: [{ column: 1, value: '6.5' }] })")
    browser.until("!document.querySelector('.comparison')", seconds=60)
    assert browser.run("return document.querySelector('[aria-label^=\"Compare hours\"]').disabled")
    assert browser.errors() == []


def test_the_share_of_a_name_is_compared_too(browser: Browser, address: str, trained: TrainedModel) -> None:
    frame = load(as_frame(trained.sample(120, seed=1), SCHEMA), schema=SCHEMA)
    browser.open(address, seconds=60)
    browser.run("latens.app.set({ tab: 'whatif', given: [] })")
    charts(browser, 5)
    browser.run("document.querySelector('[aria-label^=\"Compare bike\"]').click()")
    most = int(np.argmax(TYPES[0].shares))
    for level in (most, 1 - most):
        lines = compared(browser, 7)
        assert browser.run("return document.querySelector('.comparison h3').innerText").endswith(TYPES[0].values[level])
        assert all(re.fullmatch(r"\d+(\.\d)? %", line[2]) for line in lines)
        change = """const one = document.querySelector('.comparison select'); one.value = args[0];
          one.dispatchEvent(new Event('change'));"""
        first = [float(line[2][:-2]) for line in lines]
        browser.run(change, str(1 - level))
        browser.until("!document.querySelector('.comparison .note')", seconds=60)
        other = [float(line[2][:-2]) for line in compared(browser, 7)]
        assert [a + b for a, b in zip(first, other)] == pytest.approx([100.0] * 7, abs=1.1)
    assert len(frame) == 120
    browser.run("[...document.querySelectorAll('.comparison button')].at(-1).click()")
    browser.until("!document.querySelector('.comparison')")
    assert browser.errors() == []
