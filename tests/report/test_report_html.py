"""The report: what it says is what was measured, and text from data can only ever be text."""

import base64
import csv
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from cli_fixtures import SMALL
from msgspec import structs
from paths import GOLDEN

from latens import TrainedModel
from latens.commands.base import Call
from latens.data import Preparation, load
from latens.errors import RunFolderError, number, with_digits
from latens.evidence import Estimate
from latens.figures.style import new_axes
from latens.model_figures.draw import NEEDS, PICTURES, Picture
from latens.report.facts import ReportFigure, RunFacts, Warned, read_evaluation, warnings_of
from latens.report.html import VOID, Html, joined, table, tag, text
from latens.report.page import model_facts, over_draws, report_page
from latens.trained import metric_functions
from latens.trained.metrics import METRICS, Metric

pytest_plugins = ("cli_fixtures",)

HOSTILE = "<img src=x onerror=alert(1)>\"'&\u202e\x00"


class Page(HTMLParser):
    """The elements of a page in order, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.headings: list[int] = []
        self.raw = page
        self.feed(page)

    def handle_starttag(self, name: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((name, dict(attrs)))
        if re.fullmatch("h[1-6]", name):
            self.headings.append(int(name[1]))
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attrs for found, attrs in self.elements if found == name]


# --- the writer ---


def test_text_is_only_ever_text():
    page = Page(tag("p", HOSTILE, title=HOSTILE))
    assert [name for name, _ in page.elements] == ["p"]
    assert page.elements[0][1]["title"] == page.words[0] == "<img src=x onerror=alert(1)>\"'&\\u202e\\x00"
    assert tag("b", Html("<i>x</i>"), None, ["a", "<"]) == "<b><i>x</i>a&lt;</b>"
    assert text(text("<")) == "&lt;"
    assert isinstance(joined(["&"]), Html)


def test_a_table_names_its_rows_and_columns():
    page = Page(table("Numbers", ("what", "value"), [("a", 1), ("b", 2)], numbers=(1,)))
    assert [h["scope"] for h in page.all("th")] == ["col", "col", "row", "row"]
    assert page.all("td") == [{"class": "number"}, {"class": "number"}]
    assert page.text == "Numbers what value a 1 b 2"
    assert page.all("div")[0]["tabindex"] == "0"


def test_numbers_for_people():
    found = [number(v) for v in (-1234.5678, 0.004567, 0.0, None, float("nan"), 2)]
    assert found == ["\N{MINUS SIGN}1,234.57", "0.00457", "0.00", "—", "—", "2.00"]


@pytest.mark.parametrize(
    ("value", "error", "shown"),
    [
        (2.1817, 0.0219, ("2.18", "0.02")),
        (-90.9321, 0.824, ("\N{MINUS SIGN}90.9", "0.8")),
        (-0.0004, 0.031, ("0.00", "0.03")),
        (1234.5, 13.2, ("1,234", "13")),  # the digits before the point always stand
        (0.4321, 0.0132, ("0.432", "0.013")),
        (2.0, None, ("2", "—")),
        (2.345, None, ("2.35", "—")),
        (float("nan"), 0.1, ("—", "—")),
    ],
)
def test_digits_fit_the_error(value, error, shown):
    assert with_digits(value, error) == shown


# --- alternative texts ---


def test_alternative_texts_hold_the_numbers():
    table = {
        "epoch": np.array([1, 2, 3]),
        "validation_elbo": np.array([-9.0, np.nan, -5.0]),
        "column": np.array(["a", "a", "<b>"], object),
    }
    assert PICTURES["training"].described(table) == (
        f"{PICTURES['training'].caption} Its table has 3 rows; epoch: from 1.00 to 3.00; validation elbo: from "
        "\N{MINUS SIGN}9.00 to \N{MINUS SIGN}5.00; column: a, <b>."
    )


def test_a_strange_report_json_is_refused(tmp_path):
    assert read_evaluation(tmp_path / "report.json") == {}
    for value in ("[]", '{"metrics": 3}', '{"metrics": {"a": {}}}', "{"):
        (tmp_path / "report.json").write_text(value)
        with pytest.raises(RunFolderError) as caught:
            read_evaluation(tmp_path / "report.json")
        assert "evaluate" in caught.value.fix


def test_errors_over_draws_stand_beside_those_over_rows():
    """Before, a report had neither these errors nor the words of a bound."""
    names = {"log_marginal": (-90.9321, np.inf), "elbo": (-96.2, None), "log_likelihood": (-85.1, 0.123)}
    metrics = {name: Estimate(value, 0.82, 100, 198, protocol="drawn") for name, (value, _) in names.items()}
    metrics |= {n: metrics[n].with_draws_error(e, 1.1) for n, (_, e) in names.items() if e is not None}
    trained = TrainedModel(None, load("iris").schema, Preparation())
    plain = {name: one.to_json() for name, one in metrics.items()}
    told = RunFacts("one", {"split": "test"}, trained, [], plain, True, [])
    page = Page(report_page(told))
    minus = "\N{MINUS SIGN}"
    assert f"Run one, with a log p(x) of at least {minus}90.93 nats (198 test rows)." in page.text
    assert f"at least {minus}90.93 nats, 198 rows log p(x | z)" in page.text
    assert f"ELBO {minus}96.2 ± 0.8 nats, 198 rows No warning." in page.text
    assert "number value standard error over draws unit rows draws a row seconds how" in page.text
    assert f"log p(x) {minus}90.93 — unknown nats 198 100 — drawn; a lower bound, by an unknown amount" in page.text
    assert f"ELBO {minus}96.2 0.8 — nats 198 100 — drawn" in page.text
    assert f"expected under q(z | x) {minus}85.1 0.8 0.1 nats 198 100 — drawn" in page.text


STRANGE = (
    "<script>alert(1)</script>",
    'q"onload="alert(2)',
    "new\nline",
    "\x1b[31mred",
    "=cmd|'/c calc'!A1",
    "</style><svg>",
)
"""Names of columns that are markup, ends of attributes, further lines, commands of a terminal and formulas."""


def shown(name: str) -> str:
    return name.replace("\x1b", "\\x1b").replace("\n", " ")


def nothing_runs(page: Page) -> None:
    """Only elements and attributes that the report writes itself; nothing that is fetched or executed."""
    assert not {name for name, _ in page.elements} & {"script", "iframe", "object", "embed", "link", "svg", "b", "i"}
    attributes = [(key, value or "") for _, found in page.elements for key, value in found.items()]
    assert not [key for key, _ in attributes if key.startswith("on")]
    places = [value for key, value in attributes if key in ("src", "srcset", "href")]
    assert all(value.startswith(("data:image/", "#")) for value in places)
    assert "\x1b" not in page.raw
    for picture in re.findall('data:image/svg\\+xml;base64,([^"]+)', page.raw):
        drawn = [element for element in ElementTree.fromstring(base64.b64decode(picture)).iter() if str(element.tag)]
        assert not [e.tag for e in drawn if str(e.tag).rpartition("}")[2] in ("script", "foreignObject", "a")]
        held = [e.get("{http://www.w3.org/1999/xlink}href", "") for e in drawn if str(e.tag).endswith("}image")]
        assert all(href.startswith("data:image/png;base64,") for href in held)
        assert not [key for element in drawn for key in element.attrib if key.startswith("on")]


def test_a_warning_says_what_and_then_what_to_do():
    told = ({"name": "few-rows", "message": "they are 9; take more; or wait"}, {"name": "few-rows", "message": "again"})
    assert warnings_of(told) == [Warned("few-rows", "Few rows", "They are 9.", "Take more; or wait.")]


def test_strange_words_of_a_run_are_text_on_the_page():
    schema = structs.replace(load("iris").schema, classes=STRANGE)
    metric = Estimate(1.0, 0.1, 3, 4, protocol=STRANGE[0]).to_json() | {"unit": STRANGE[1]}
    data = {"name": STRANGE[0], "fingerprint": STRANGE[3], "rows": {STRANGE[1]: 3}}
    info = {"split": STRANGE[2], "data": data, "command": ["latens", *STRANGE], "versions": {STRANGE[0]: STRANGE[1]}}
    warnings = warnings_of([{"name": STRANGE[0], "message": STRANGE[1]}])
    shot = ReportFigure("samples", STRANGE[0], f"{STRANGE[0]}: {STRANGE[1]}", (b"x", "png"), (b"x", "png"), (1, 1))
    told = RunFacts(STRANGE[0], info, TrainedModel(None, schema, Preparation()), [], {STRANGE[1]: metric}, True,
                warnings, [shot], STRANGE[3], {STRANGE[5]: STRANGE[4]})  # fmt: skip
    page = Page(report_page(told))
    assert page.open == []
    nothing_runs(page)
    assert [name for name in STRANGE[:5] if shown(name) not in page.text] == []
    assert page.all("img")[0]["alt"] == f"{STRANGE[0]}: {STRANGE[1]}"


def test_strange_names_of_columns_classes_and_files_are_text_in_the_pictures(latens, tmp_path):
    kinds, random = ("<b>x</b>", '"><img src=x onerror=alert(4)>', "@SUM(1)\x1b[0m"), np.random.default_rng(0)
    file = tmp_path / "<img src=x onerror=alert(6)>'\"&\x1b[1m\n=x.csv"
    with open(file, "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([*STRANGE, "kind"])
        for i in range(90):
            writer.writerow([f"{number:.2f}" for number in random.normal(size=6)] + [kinds[i % 3]])
    words = ("--steps", 4, "--num-samples", 2, *SMALL, "--out", tmp_path / "run<b>")
    fitted, result = latens("fit", file, "--label", "kind", *words), latens("report", tmp_path / "run<b>")
    assert (fitted.code, result.code) == (0, 0), fitted.err + result.err
    assert "\x1b" not in fitted.out + fitted.err + result.out + result.err
    page = Page((tmp_path / "run<b>" / "report.html").read_text())
    nothing_runs(page)
    told = " ".join(image["alt"] or "" for image in page.all("img"))
    assert all(name.replace("\x1b", "\\x1b") in told for name in (*STRANGE, *kinds))
    assert all(name.replace("\x1b", "\\x1b") in page.text for name in kinds)


# --- the command ---


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run on a hostile table, and a second one with another width."""
    from latens.cli.main import main

    folder = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(0)
    z = rng.normal(size=(400, 2))
    x = z @ rng.normal(size=(2, 4)) + 0.3 * rng.normal(size=(400, 4))
    names = ["<img src=x onerror=alert(1)>", "b&c", 'quo"te', "plain"]
    header = ",".join('"' + name.replace('"', '""') + '"' for name in names)
    np.savetxt(folder / "rows.csv", x, delimiter=",", header=header, comments="")
    for name, width in (("one", 32), ("two", 16)):
        words = ["fit", str(folder / "rows.csv"), "--epochs", "4", *SMALL[2:], "--set", f"network.hidden={width}"]
        assert main([*words, "--out", str(folder / name), "--quiet"]) == 0
    metric = {"value": 0.4321, "standard_error": 0.05, "num_samples": 500, "n": 40, "unit": "share"}
    metrics = {"recall": {**metric, "seed": 7, "seconds": 0.25, "protocol": "excess <b>share</b>"}}
    warnings = [{"name": "overfitting", "message": "43 nats are lost; use more rows"}]
    (folder / "one" / "report.json").write_text(json.dumps({"metrics": metrics, "warnings": warnings}))
    return folder


@pytest.mark.parametrize("name", PICTURES)
def test_every_field_of_a_picture_is_filled(name):
    row = PICTURES[name]
    assert row.name == name
    assert row.heading
    assert row.caption.endswith(".")
    assert set(row.words) <= set(NEEDS)
    assert callable(row.draw)
    assert row.place in ("", "pictures", "groups", "training", "model")
    # A report has no snapshots, and shows no picture that is drawn only where it is asked for.
    assert not (row.place and row.asked)
    others = [one for one in PICTURES.values() if one.family != row.family]
    assert row.heading not in {one.heading for one in others}
    assert row.caption not in {one.caption for one in others}


@pytest.fixture
def few_pictures(monkeypatch):
    """The pictures that every report has are enough where a test is not about them."""
    for name, row in PICTURES.items():
        if not row.first:
            monkeypatch.setitem(PICTURES, name, row._replace(place=""))


def test_the_report_says_what_was_measured_and_loads_nothing(runs, latens):
    result = latens("report", runs / "one", "--json")
    assert result.code == 0, result.err
    assert result.json["out"] == str(runs / "one" / "report.html")
    raw = (runs / "one" / "report.html").read_text()
    assert len(raw.encode()) == result.json["bytes"]
    page, info = Page(raw), json.loads((runs / "one" / "run.json").read_text())
    assert page.open == []
    # Self-contained: no script, no address but those that hold their own data or lead to a place on the page.
    assert page.all("script") == page.all("link") == page.all("iframe") == []
    for name, attrs in page.elements:
        assert not any(key.startswith("on") for key in attrs), attrs
        for key in ("src", "srcset", "href"):
            value = attrs.get(key)
            assert value is None or value.startswith(("data:image/", "#")), (name, value[:80])
    assert "url(" not in raw
    assert "@import" not in raw
    assert page.all("meta")[2]["content"] == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    # Hostile names are text, in the alternative texts too.
    assert "<img src=x" in page.text or any("<img src=x" in (i["alt"] or "") for i in page.all("img"))
    # Structure: one h1, no level left out, every picture with a text, every column named.
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(page.headings, page.headings[1:]))
    assert all(len(image["alt"] or "") > 40 for image in page.all("img"))
    assert all(head["scope"] in ("row", "col") for head in page.all("th"))
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("main")) == 1
    # The numbers of the run, with their errors, and what gives it again.
    metric = info["metrics"]["log_marginal"]
    value, error = with_digits(metric["value"], metric["standard_error"])
    assert f"{value} {error} {over_draws(metric) or '—'} nats {metric['n']}" in page.text
    assert "latens fit" in page.text
    assert info["data"]["fingerprint"] in page.text
    assert f"jax {info['versions']['jax']}" in page.text
    assert "Objective elbo" in page.text
    # The full evaluation, where there is one, and its warnings.
    assert "recall 0.43 0.05 — share 40 500 0.2 excess <b>share</b>" in page.text
    found = {"run": str(runs / "one"), "name": "overfitting", "message": "43 nats are lost."}
    assert found in result.json["warnings"]
    assert "Overfitting 43 nats are lost. What helps: Use more rows." in page.text


def test_a_run_whose_data_are_gone_is_told_all_the_same(runs, latens, few_pictures):
    table = runs / "rows.csv"
    table.rename(runs / "away.csv")
    try:
        result = latens("report", runs / "one", "--out", runs / "alone.html")
    finally:
        (runs / "away.csv").rename(table)
    assert result.code == 0, result.err
    page = Page((runs / "alone.html").read_text())
    assert "Pictures of data are left out" in page.text
    assert any("Its table has 4 rows; epoch" in (image["alt"] or "") for image in page.all("img"))


def test_a_number_and_a_picture_are_a_row_and_its_function_each(run_folder, latens, monkeypatch, tmp_path):
    def places(work):
        rows = np.arange(len(work.positions), dtype=float)
        return {"trial_place": Estimate.of(rows, num_samples=1, protocol="the place of a row")}

    def steps(source):
        axes = new_axes(1, 1, size=(3, 2))[0, 0]
        axes.plot([0, 1, 2])
        return axes, {"step": np.arange(3)}

    monkeypatch.setattr(metric_functions, "MADE", {places: ("trial_place",)})
    row = Metric("trial_place", "rows", "latents", "place in a trial")
    monkeypatch.setitem(METRICS, row.name, row)
    for name, one in PICTURES.items():
        monkeypatch.setitem(PICTURES, name, one._replace(place=""))
    words = ("Steps of a trial", "Three steps of a trial.")
    monkeypatch.setitem(PICTURES, "steps", Picture("steps", "latents", steps, *words, "pictures"))
    run = tmp_path / "run"
    shutil.copytree(run_folder, run)
    said = latens("evaluate", run, "--all", "--num-samples", "2")
    middle = (json.loads((run / "report.json").read_text())["data"]["rows"] - 1) / 2
    assert re.search(rf"trial_place +{middle:g}\.?0* +± [0-9.]+ +rows", said.out), said.out
    made = latens("evaluate", run, "--all", "--num-samples", "2", "--json").json["metrics"]["trial_place"]
    assert (made["value"], made["unit"]) == (middle, "rows")
    with monkeypatch.context() as without:
        without.delattr(Call, "load_of")  # the picture needs no rows, and none are loaded
        drawn = latens("report", run, "--only", "figures", "--name", "steps")
        files = latens("report", run, "--only", "figures", "--name", "steps", "--json").json["files"]
        made = TrainedModel.load(run / "model.safetensors").report(only="figures", name="steps")
        refused = latens("report", run, "--only", "figures", "--name", "manifold-percentile")
    assert "is called manifold-percentile, which needs two units." in refused.err
    assert drawn.err.splitlines()[1].endswith("figures/steps.png")
    assert [Path(name).name for name in files] == ["steps.png", "steps.svg", "steps.csv"]
    assert made.arrays["steps"]["step"].tolist() == [0, 1, 2]
    assert latens("report", run, "--json").json["pictures"] == ["steps"]
    page = Page((run / "report.html").read_text())
    assert "place in a trial" in page.text
    assert "Steps of a trial Three steps of a trial." in page.text
    told = "Three steps of a trial. Its table has 3 rows; step: from 0.00 to 2.00."
    assert told in [image["alt"] for image in page.all("img")]


def test_arrays_of_the_model_are_folded_away():
    told = RunFacts("one", {}, TrainedModel(None, load("iris").schema, Preparation()), [], {}, True, [])
    page = report_page(told)
    folded = page[page.index("<details>") : page.index("</details>")]
    assert folded.startswith("<details><summary>Details: arrays</summary>")
    assert "Arrays of the model" in folded
    assert page.count("Arrays of the model</caption>") == folded.count("Arrays of the model</caption>") == 1


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.safetensors")), ids=lambda path: path.stem)
def test_the_parts_of_a_model_have_the_names_of_its_configuration(path):
    trained = TrainedModel.load(path)
    config, facts = trained.config, dict(model_facts(trained))
    assert facts["Recipe"].startswith(config.recipe)
    if "Densities" in facts:
        assert facts["Densities"].startswith(f"one {config.density.kind} for each class")
        return
    hidden = " ".join(map(str, config.network.hidden)) or "no hidden layer"
    assert facts["Latents"].startswith(f"{config.posterior.kind} posterior, {config.posterior.latent_dim} latent units")
    assert facts["Latents"].endswith(f"prior: {config.prior.kind}")
    assert facts["Networks"] == f"{config.network.kind}, widths {hidden}, {config.network.activation}"
    assert facts["Optimiser"].split(", ")[::2] == [config.optimizer.name, config.optimizer.schedule]
