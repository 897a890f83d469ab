"""A synthetic table beside the real one: numbers that it must have, and attacks that find what is given away."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp
from scipy.stats.contingency import association, crosstab

import latens
from latens.cli.main import main
from latens.errors import DataError, UsageError
from latens.evaluation.samples.tables import (
    Table,
    _by_chance,
    _differ,
    alike,
    area,
    copies,
    detection,
    nearest_distances,
    pairs,
    shapes,
    telltales,
    trends,
    with_error,
)
from latens.verbs.judge import _lines, _plain, held_by
from latens.workflow.judge import judge, judged, tables_of


def people(n, seed, *, shift=0.0, tied=True):
    """Rows of a city, an income that hangs on it, an age, and whether someone is a member, which hangs on both."""
    rng = np.random.default_rng(seed)
    city = rng.integers(0, 3, n)
    income = np.round(rng.normal(100 * city + shift, 30), 1)
    age = rng.integers(18, 80, n).astype(float)
    chance = 1 / (1 + np.exp(-(income - 100) / 60 - (age - 50) / 15))
    member = (rng.random(n) < (chance if tied else 0.5)).astype(float)
    return np.stack([city.astype(float), income, age, member], axis=1)


NAMES, CATEGORY = ("city", "income", "age", "member"), np.array([True, False, False, True])


def table(x, name="REAL"):
    return Table(name, NAMES, x, CATEGORY)


def written(x, path):
    cells = [f"{('Lyon', 'Oslo', 'Porto')[int(c)]},{i:.1f},{int(a)},{('no', 'yes')[int(m)]}" for c, i, a, m in x]
    path.write_text("\n".join([",".join(NAMES), *cells]))
    return str(path)


def test_columns_have_the_distances_of_their_samples():
    real, fake = people(4000, 0), people(3000, 1, shift=20.0)
    found = shapes(table(real), table(fake))
    counts = [np.bincount(x[:, 0].astype(int), minlength=3) / len(x) for x in (real, fake)]
    assert found[0] == pytest.approx(1 - 0.5 * np.abs(counts[0] - counts[1]).sum(), abs=1e-12)
    assert found[1] == pytest.approx(1 - ks_2samp(real[:, 1], fake[:, 1]).statistic, abs=1e-12)
    half = np.zeros((100, 4))
    half[:50, 0] = 1.0
    other = np.zeros((100, 4))
    other[:20, 0] = 1.0
    assert shapes(table(half), table(other))[0] == pytest.approx(0.7)


def test_pairs_have_the_distances_of_their_joint_frequencies():
    a = np.array([[0, 1.0, 10.0, 0], [0, 2, 20, 1], [1, 3, 30, 0], [1, 4, 40, 1]] * 25)
    b = a.copy()
    b[:, 2] = a[::-1, 2]  # the correlation of income and age from 1 to -1
    places, found = trends(table(a), table(b))
    assert found[places.index((1, 2))] == pytest.approx(0.0, abs=1e-12)
    # City with member: (0,0), (0,1), (1,0), (1,1) a quarter each; in the other only (0,0) and (1,1).
    c = a.copy()
    c[:, 3] = c[:, 0]
    places, found = trends(table(a), table(c))
    assert found[places.index((0, 3))] == pytest.approx(0.5)
    assert np.all(trends(table(a), table(a))[1] == 1.0)


def test_pairs_have_the_strength_of_their_association():
    # City with member: 30, 10, 20 and 40 of 100 rows, whose phi is (ad - bc) / sqrt of the product of the sums.
    x = np.zeros((100, 4))
    x[:, 0], x[:, 3] = np.repeat([0, 0, 1, 1], [30, 10, 20, 40]), np.repeat([0, 1, 0, 1], [30, 10, 20, 40])
    x[:, 1], x[:, 2] = np.arange(100), np.arange(100) % 7
    found = {pair.places: pair for pair in pairs(table(x), table(x[::-1]))}
    phi = (30 * 40 - 10 * 20) / np.sqrt(40 * 60 * 50 * 50)
    assert found[0, 3].strengths == pytest.approx((phi, phi))
    r = np.corrcoef(x[:, 1], x[:, 2])[0, 1]
    assert found[1, 2].strengths == pytest.approx((r, r))
    # A column says all of itself, and a constant one nothing.
    x[:, 3] = x[:, 0]
    same, none = x.copy(), x.copy()
    none[:, 3] = 1.0
    assert {pair.places: pair for pair in pairs(table(same), table(none))}[0, 3].strengths == pytest.approx((1.0, 0.0))
    # scipy's, of numbers in ten parts beside names.
    rows = people(500, 3)
    counts = crosstab(rows[:, 0], np.minimum((rows[:, 1] - rows[:, 1].min()) / np.ptp(rows[:, 1]) * 10, 9).astype(int))
    pair = next(pair for pair in pairs(table(rows), table(rows)) if pair.places == (0, 1))
    assert pair.strengths[0] == pytest.approx(association(counts.count, method="cramer"))


def test_pairs_of_weighted_rows_are_those_of_repeated_rows():
    real, fake = people(400, 0), people(300, 1, shift=20.0)
    real[::7, 1], real[::5, 3] = np.nan, np.nan
    times = np.random.default_rng(0).integers(0, 4, 400)
    weighted = Table("REAL", NAMES, real, CATEGORY, times.astype(np.float32))
    repeated = table(np.repeat(real, times, axis=0))
    for one, other in zip(pairs(weighted, table(fake)), pairs(repeated, table(fake))):
        assert one.strengths == pytest.approx(other.strengths, abs=1e-9)
        assert one.similarity == pytest.approx(other.similarity, abs=1e-9)


def test_units_and_the_order_of_rows_and_columns_change_nothing():
    real, fake = people(1500, 0), people(1500, 1, shift=30.0)
    one = shapes(table(real), table(fake)), trends(table(real), table(fake))[1]
    scale = np.array([1.0, 1024.0, 0.25, 1.0])
    shuffled = np.random.default_rng(0).permutation(1500)
    two = [table(real * scale), table((fake * scale)[shuffled])]
    np.testing.assert_allclose(shapes(*two), one[0], atol=1e-12)
    np.testing.assert_allclose(trends(*two)[1], one[1], atol=1e-9)
    turned = [Table("", NAMES[::-1], x[:, ::-1], CATEGORY[::-1]) for x in (real, fake)]
    np.testing.assert_allclose(shapes(*turned), one[0][::-1], atol=1e-12)
    assert trends(*turned)[1].mean() == pytest.approx(one[1].mean(), abs=1e-9)


@pytest.mark.parametrize("shift", [0.0, 20.0])
@pytest.mark.parametrize("what", ["shape", "trend"])
def test_the_error_is_that_of_other_rows(shift, what):
    """The spread over 200 pairs of tables of the same kind, beside the mean of their own errors."""
    found = {"shape": shapes, "trend": lambda a, b: trends(a, b)[1]}[what]
    mean = lambda a, b: float(found(a, b).mean())  # noqa: E731
    drawn = [(table(people(400, seed)), table(people(400, 1000 + seed, shift=shift))) for seed in range(200)]
    errors = [with_error(mean, *pair, seed)[1] for seed, pair in enumerate(drawn[:30])]
    assert 0.85 < np.mean(errors) / np.std([mean(*pair) for pair in drawn], ddof=1) < 1.15


def test_an_area_is_the_share_of_pairs_in_order():
    high, low = np.array([3.0, 1.0, 2.0]), np.array([0.0, 2.0])
    pairs = [1.0 if h > l else 0.5 if h == l else 0.0 for h in high for l in low]  # noqa: E741
    assert area(high, low)[0] == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize("trees", [True, False])
def test_detection_grows_with_the_distance(trees):
    real = table(people(1500, 0))
    found = [detection(real, table(people(1500, 1, shift=s)), trees=trees, seed=0)[0] for s in (0.0, 10.0, 40.0, 1000)]
    assert abs(found[0] - 0.5) < 0.05
    assert found[0] < found[1] + 0.05 < found[2] + 0.05
    assert found[3] > 0.99 or not trees  # ranks of far numbers are all 1, which a line can see too
    assert found[3] > 0.95


def test_trees_see_what_hangs_together_where_a_line_does_not():
    real, fake = table(people(3000, 0)), table(people(3000, 1, tied=False))
    assert detection(real, fake, trees=True, seed=0)[0] > 0.6


def test_trees_name_the_column_that_gives_the_table_away():
    """Over strengths: a moved column is named first, and none where nothing differs by more than chance."""
    real = table(people(1500, 0))
    same = telltales(real, table(people(1500, 1)), seed=0)
    assert all(fall < 0.03 for _, fall in same)
    falls = []
    for shift in (10.0, 40.0):
        found = telltales(real, table(people(1500, 1, shift=shift)), seed=0)
        assert found[0][0] in ("income", "city")  # incomes lie by their city
        falls.append(found[0][1])
    assert 0.0 < falls[0] < falls[1]
    whole, _ = detection(real, table(people(1500, 1, shift=40.0)), trees=True, seed=0)
    assert falls[1] <= whole - 0.5 + 0.05


@pytest.mark.parametrize(("copied", "low", "high"), [(1.0, 0.95, 1.0), (0.5, 0.7, 0.8), (0.0, 0.44, 0.56)])
def test_an_attack_finds_what_is_copied_and_only_that(copied, low, high):
    real, fresh, test = people(1000, 0), people(1000, 1), people(2000, 2)
    fake = np.where(np.random.default_rng(0).random(1000)[:, None] < copied, real, fresh)
    found = judge_of(real, fake, test)
    assert low <= found["attacks"]["distance"]["auc"] <= high
    assert found["copies"]["fake"] == pytest.approx(copied, abs=0.05)
    assert found["copies"]["test"] < 0.01
    if copied == 0.0:
        assert abs(found["near"]["share"] - 0.02) < 0.015
        assert found["attacks"]["density"]["auc"] == pytest.approx(0.5, abs=0.06)
        assert found["attacks"]["distance"]["caught"] < 0.03
    if copied == 1.0:
        assert found["attacks"]["distance"]["caught"] > 0.9


def frame_of(x):
    import pandas as pd

    names = [np.array(["Lyon", "Oslo", "Porto"])[x[:, 0].astype(int)], np.array(["no", "yes"])[x[:, 3].astype(int)]]
    return pd.DataFrame({"city": names[0], "income": x[:, 1], "age": x[:, 2], "member": names[1]})


def judge_of(real, fake, test, target=None):
    return judge(frame_of(real), frame_of(fake), test=frame_of(test), target=target)


def test_utility_is_what_is_learned():
    real, test = people(2000, 0), people(2000, 2)
    same = judge_of(real, real, test, "member")["utility"]
    assert same["difference"]["value"] == 0.0
    assert same["real"]["value"] > 0.75
    fresh = judge_of(real, people(2000, 1), test, "member")["utility"]
    assert abs(fresh["difference"]["value"]) < 4 * fresh["difference"]["standard_error"] + 0.01
    untied = judge_of(real, people(2000, 1, tied=False), test, "member")["utility"]
    assert untied["fake"]["value"] < 0.6
    number = judge_of(real, real, test, "income")["utility"]
    assert number["real"]["value"] == pytest.approx(0.9, abs=0.05)  # the city explains 6667 of 7567


def test_distances_are_names_and_ranks():
    like = table(np.array([[0, 0.0, 0.0, 0], [1, 10.0, 1.0, 1], [2, 20.0, 2.0, 0], [0, 30.0, 3.0, 1]]))
    rows = like.rows(np.array([0]))
    among = table(np.array([[0, 10.0, 0.0, 0], [1, 0.0, 0.0, 0], [0, np.nan, 0.0, 0]]))
    # One rank of four apart, one name apart, or a gap that is beyond every rank.
    assert nearest_distances(rows, among, like)[0] == pytest.approx(0.25)
    assert nearest_distances(rows, among.rows(np.array([1])), like)[0] == pytest.approx(1.0)
    assert nearest_distances(rows, among.rows(np.array([2])), like)[0] == pytest.approx(2.0 - 0.125)
    assert copies(like, like) == 1.0


def test_other_columns_are_refused_and_other_names_are_counted(tmp_path):
    real = written(people(200, 0), tmp_path / "real.csv")
    fake = tmp_path / "fake.csv"
    fake.write_text((tmp_path / "real.csv").read_text().replace("age", "ages", 1))
    with pytest.raises(DataError, match=r"lacks 'age'.*'ages'|lacks 'age'"):
        judge(real, str(fake))
    fake.write_text((tmp_path / "real.csv").read_text().replace("Oslo", "Olso"))
    found = judge(real, str(fake))
    assert found["validity"]["cells_inside"] < 0.95
    assert found["validity"]["names_of_20_rows_that_are_lacking"] == [{"column": "city", "names": 1}]
    assert "attacks" not in found
    x = people(200, 0)
    fake.write_text("\n".join(["city,income,age,member", *(f"Oslo,much,{int(r[2])},no" for r in x)]))
    with pytest.raises(DataError, match="'income' holds text"):
        judge(real, str(fake))
    with pytest.raises(
        UsageError, match=r"the target 'member' is predicted on real rows .* Give the run that made FAKE, or such rows"
    ):
        judge(real, real, target="member")
    with pytest.raises(UsageError, match="no column 'members'"):
        judge(real, real, test=real, target="members")
    fake.write_text("\n".join((tmp_path / "real.csv").read_text().splitlines()[:20]))
    with pytest.raises(DataError, match="has 19 rows"):
        judge(real, str(fake))


def test_a_column_of_ids_is_left_out():
    x = np.arange(100.0)[:, None]
    texts = {0: type("Text", (), {"values": tuple(map(str, range(100))), "written": "text"})()}
    two = np.concatenate([x, x % 3], axis=1)
    tables, left_out = alike({"a": (("id", "n"), two, texts), "b": (("n", "id"), two[:, ::-1], {1: texts[0]})})
    assert left_out == ["id"]
    assert tables[0].names == ("n",)
    np.testing.assert_array_equal(tables[0].x, tables[1].x)


def test_columns_that_impute_wrote_beside_others_are_left_out():
    rng = np.random.default_rng(0)
    real = pd.DataFrame({"a": rng.normal(size=200).round(2), "b": rng.choice(list("xy"), 200)})
    filled = real.assign(**{"a.low": real["a"] - 1, "a.high": real["a"] + 1, "b.p": 0.9})
    for one, other in ((filled, real), (real, filled)):
        tables, _ = tables_of(one, other)
        assert [table.names for table in tables] == [("a", "b")] * 2
    tables, _ = tables_of(filled, filled)
    assert tables[0].names == ("a", "b", "a.low", "a.high", "b.p")
    with pytest.raises(DataError, match=r"c\.low"):  # of no column
        tables_of(real.assign(**{"c.low": 1.0}), real)


def test_a_count_of_the_rows_is_no_column_that_a_table_must_have() -> None:
    n, values = np.arange(7.0, 37.0), np.random.default_rng(0).normal(size=30)
    real = ("n", "value"), np.stack([n, values], axis=1), {}
    tables, left_out = alike({"REAL": real, "FAKE": (("value",), values[:, None], {})})
    assert (left_out, tables[0].x.shape) == (["n"], (30, 1))
    assert alike({"REAL": real, "FAKE": real})[1] == []
    n[3] += 0.5  # it grows, and not by 1
    with pytest.raises(DataError, match="lacks 'n'"):
        alike({"REAL": (("n", "value"), np.stack([n, values], axis=1), {}), "FAKE": (("value",), values[:, None], {})})


def test_the_command_prints_a_table_and_writes_a_page(tmp_path, capsys):
    names = [written(people(n, seed), tmp_path / f"{name}.csv") for n, seed, name in
             ((600, 0, "real"), (500, 1, "fake"), (400, 2, "test"))]  # fmt: skip
    words = ["judge", names[0], names[1], "--test", names[2], "--target", "member"]
    assert main([*words, "--out", str(tmp_path / "j.html")]) == 0
    out = capsys.readouterr().out
    for word in ("Shape", "Trend", "detection, trees", "utility", "attack by distance", "copies"):
        assert word in out
    page = (tmp_path / "j.html").read_text()
    assert "The DCR Delusion" in page
    assert str(tmp_path) not in page
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rows"] == {"real": 600, "fake": 500, "test": 400}
    assert found["shape"]["value"] > 0.9
    assert found["shape"]["standard_error"] > 0
    assert main([*words, "--dry-run"]) == 0
    assert "would judge" in capsys.readouterr().err


@pytest.mark.parametrize(("chance", "more"), [(0.0231, "no more"), (0.0229, "more")])
def test_what_an_attack_finds_is_called_more_than_chance_only_beyond_its_error(monkeypatch, chance, more):
    attack = {"auc": 0.5, "standard_error": 0.01, "caught": 0.023, "low": 0.01, "high": 0.044, "rows": 700}
    attack["by_chance"] = chance
    alike = {"value": 0.9, "standard_error": 0.01}
    found = {"rows": {"fake": 700, "real": 700}, "shape": alike, "trend": alike, "attacks": {"near": attack}}
    found["detection"] = {name: {"auc": 0.6} for name in ("trees", "logistic")}
    found |= {
        "within_names": (),
        "beyond_names": {"share": 0.0, "rows": 0, "columns": []},
        "never_together": {"share": 0.0, "rows": 0, "pairs": []},
        "verdict": {"word": "good", "because": ""},
    }
    line = _plain(found)[-1]
    assert line == f"Gives away {more} than chance: attacks find 2.3 % (by chance up to 2.3 %)."
    assert len(line) <= 80
    found |= {"worst_columns": [], "columns": [], "equations": (), "gaps": {"columns": ()}, "left_out": ()}
    found["validity"] = {"names_of_20_rows_that_are_lacking": ()}
    monkeypatch.setattr("latens.report.judged.rows", lambda found: [("copies", "0", "0", "")])
    advice = [text for text in _lines(found, "real.csv", "fake.csv") if text.startswith("to give away less")]
    assert len(advice) == (more == "more")


@pytest.mark.parametrize("n", [150, 700])
def test_chance_is_passed_in_one_of_forty_tables_at_the_most(n: int) -> None:
    """The edge is one of the other rows: 2,000 draws of alike scores, and scores that give a tenth away."""
    rng = np.random.default_rng(n)
    above = int(np.sum(np.arange(n) >= np.quantile(np.arange(n), 0.99, method="higher")))
    limit = _by_chance(n, above)
    passed = {}
    for told in (0.0, 0.1):
        scores = rng.random((2, 2000, n))
        scores[0] += rng.random((2000, n)) < told
        edges = np.quantile(scores[1], 0.99, axis=1, method="higher")
        passed[told] = np.mean((scores[0] > edges[:, None]).mean(axis=1) > limit)
    assert 0.005 < passed[0.0] <= 0.025 + 3 * np.sqrt(0.025 / 2000)
    assert passed[0.1] > 0.9


def test_the_rows_that_a_run_held_out_are_the_test(tmp_path, capsys, monkeypatch):
    """The same tables as of two files that hold the rows which the run trained on and those which it did not."""
    monkeypatch.chdir(tmp_path)
    x = people(900, 0)
    written(x, tmp_path / "real.csv")
    written(people(500, 1), tmp_path / "fake.csv")
    more = {"number": np.arange(900)[::-1] + 5000, "spare": np.arange(900) % 7}
    pd.read_csv("real.csv").assign(**more).to_csv("real.csv", index=False)
    fit = ["fit", "real.csv", "--id", "number", "--recipe", "table-mixture", "--epochs", "2", "--out", "run", "--quiet"]
    assert main([*fit, "--leave-out", "spare"]) == 0
    capsys.readouterr()
    data = latens.load_data("real.csv", label="none", typed=True, row_id="number")
    files = [written(x[data.subset(split)], tmp_path / f"{split}.csv") for split in ("train", "test")]
    held, row_id, unread = held_by("run", "real.csv")
    assert (row_id, unread) == ("number", ("spare",))
    found, _ = tables_of("real.csv", "fake.csv", held=held, row_id=row_id, unread=unread)
    pd.read_csv("fake.csv").assign(number=np.arange(500)).to_csv("named.csv", index=False)  # invented ids say nothing
    named, _ = tables_of("real.csv", "named.csv", held=held, row_id=row_id, unread=unread)
    assert [table.names for table in named] == [table.names for table in found]
    by_files, _ = tables_of(files[0], "fake.csv", files[1])
    for one, other in zip(found, by_files, strict=True):
        np.testing.assert_array_equal(one.x, other.x)
    assert main(["judge", "fake.csv", "fake.csv", "--test", "run"]) == 2
    assert "was not trained on fake.csv" in capsys.readouterr().err
    with pytest.raises(DataError, match="fewer than the run read"):
        tables_of("fake.csv", "fake.csv", held=(np.arange(400), np.arange(500, 600)))


@pytest.mark.parametrize("held", [28, 30, 48])
def test_a_run_that_held_few_rows_out_is_judged_without_them(tmp_path, capsys, monkeypatch, held):
    monkeypatch.chdir(tmp_path)
    names = [written(people(460, seed), tmp_path / f"{seed}.csv") for seed in (0, 1)]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    places = np.arange(400), np.arange(400, 400 + held)
    monkeypatch.setattr("latens.verbs.judge.held_by", lambda run, real: (places, None, ()))
    assert main(["judge", *names, "--test", "run"]) == 0
    few = "run held out 28 rows, fewer than the 30 that attacks and utility need: judged without them"
    told = capsys.readouterr()
    assert (few in told.err, "Compared 460 synthetic rows with 460 real ones" in told.out) == (held < 30, held < 30)
    assert ("add --test FILE of 30 or more new real rows" in told.out) == (held < 30)
    assert "add --test RUN" not in told.out  # it was given


def test_the_page_opens_with_what_it_comes_to_and_the_least_alike_column(tmp_path, capsys):
    real, fake = people(400, 0), people(400, 1)
    fake[:, 2] = 30.0
    names = [written(x, tmp_path / f"{name}.csv") for x, name in ((real, "real"), (fake, "fake"))]
    assert main(["judge", *names, "--out", str(tmp_path / "page.html")]) == 0
    plain = capsys.readouterr().out.splitlines()[:3]
    page = (tmp_path / "page.html").read_text()
    assert all(line in page for line in plain)
    assert page.index(plain[0]) < page.index("Every number</h2>")
    tables = tables_of(*names)[0]
    alike = shapes(*tables)
    order = [f"{NAMES[i]}, {100 * alike[i]:.0f} % alike" for i in np.argsort(alike)]
    assert f"real and synthetic rows: {'; '.join(order)}." in page
    assert int(np.argmin(alike)) == 2
    assert tables[0].words == (("Lyon", "Oslo", "Porto"), (), (), ("no", "yes"))
    assert tables[0].dates == (False, False, False, False)


def test_new_rows_are_held_against_as_many_synthetic_ones():
    """A tenth as many rows of one law differ more by chance: numbers of a tenth agree, that of all is higher."""
    found = judge_of(people(3000, 0), people(3000, 1), people(300, 2))
    for name in ("shape", "trend"):
        one = found[name]
        assert one["as_many"] == pytest.approx(one["new_rows"]["value"], abs=0.02)
        assert one["value"] > one["as_many"] + 0.005
    tables, left_out = tables_of(frame_of(people(200, 0)), frame_of(people(400, 1)), frame_of(people(100, 2)))
    few = judged(tables, left_out)
    assert few["shape"]["as_many"] == float(shapes(tables[0], tables[1].at_most(100, 0)).mean())


def test_gaps_that_one_table_lacks_are_told(capsys, tmp_path):
    real, fake = people(400, 0), people(300, 1)
    names = [written(x, tmp_path / f"{name}.csv") for x, name in ((real, "real"), (fake, "fake"))]
    lines = (tmp_path / "real.csv").read_text().splitlines()
    gone = [
        line if k % 4 else ",".join([*line.split(",")[:2], "", line.split(",")[3]]) for k, line in enumerate(lines[1:])
    ]
    (tmp_path / "real.csv").write_text("\n".join([lines[0], *gone]))
    assert main(["judge", *names]) == 0
    assert "empty cells of age: 0.0% of the synthetic rows, 25.0% of the real" in capsys.readouterr().out
    assert judge(*names)["gaps"] == {
        "real": 0.0625, "fake": 0.0, "columns": [{"column": "age", "real": 0.25, "fake": 0.0}]
    }  # fmt: skip
    assert judge(names[1], names[1])["gaps"]["columns"] == []
    back = judge(names[1], names[0], test=names[1])["gaps"]  # gaps of the synthetic rows alone
    assert back["columns"] == [{"column": "age", "real": 0.0, "fake": 0.25}]


def test_both_numbers_of_likeness_say_what_they_are_of():
    found = judge_of(people(3000, 0), people(3000, 1), people(300, 2))
    whole, few = _plain(found)[1:3]
    shape, trend = (100 * found[name]["value"] for name in ("shape", "trend"))
    assert whole == f"Columns are {shape:.1f} % alike, pairs of columns {trend:.1f} %."
    own = [100 * found[name]["as_many"] for name in ("shape", "trend")]
    new = [100 * found[name]["new_rows"]["value"] for name in ("shape", "trend")]
    reach = f"new real rows reach {new[0]:.1f} % and {new[1]:.1f} %."
    assert few == f"With 300 rows each: {own[0]:.1f} % and {own[1]:.1f} %; {reach}"
    assert "rows each" not in " ".join(_plain(judge(frame_of(people(400, 0)), frame_of(people(400, 1)))))


def test_ids_are_left_out_and_that_is_said(tmp_path, capsys):
    for name, seed in (("real", 0), ("fake", 1)):
        written(people(200, seed), tmp_path / f"{name}.csv")
        table = pd.read_csv(tmp_path / f"{name}.csv").assign(number=np.arange(200) * 7 + seed)
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    words = ["judge", str(tmp_path / "real.csv"), str(tmp_path / "fake.csv")]
    assert main([*words, "--id", "number", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["columns"] == list(NAMES)
    assert main([*words, "--id", "number"]) == 0
    assert capsys.readouterr().out.count("left out, as it holds the ids of the rows: number") == 1
    assert main(words) == 0
    assert "ids of the rows" not in capsys.readouterr().out
    assert main([*words, "--id", "numbr"]) == 2
    refused = capsys.readouterr().err
    assert "REAL has no column 'numbr'" in refused
    assert "'number'" in refused


@pytest.mark.parametrize(("twice", "known"), [(0, True), (2, True), (20, False)])
def test_ids_with_few_repeats_and_gaps_may_be_lacking(twice: int, known: bool) -> None:
    """Of 100 codes so many are another row's too; 50 rows have none."""
    codes = np.r_[np.minimum(np.arange(100.0), 99.0 - twice), np.full(50, np.nan)]
    assert _differ(codes) == known
