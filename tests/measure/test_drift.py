"""Columns that moved since training: what distances are, how often chance is named, what is named first."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import latens
from latens.cli.main import main
from latens.config import override
from latens.data import Dataset
from latens.errors import ConfigError, DataError, UsageError
from latens.evaluation.samples.moved import Cells, moved
from latens.recipes import get_recipe
from latens.workflow.drift import drifted
from latens.workflow.trained import TrainedModel


def test_distances_are_those_of_kolmogorov_and_of_shares() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=60), rng.normal(0.7, 1.0, 40)
    codes = rng.integers(0, 3, 60).astype(float), np.r_[np.zeros(30), np.full(10, 5.0)]
    found = {one.name: one for one in moved([Cells("number", a, b), Cells("name", *codes, names=True)], shuffles=99)}
    assert found["number"].distance == pytest.approx(stats.ks_2samp(a, b)[0])
    share = [np.bincount(side.astype(int), minlength=6) / len(side) for side in codes]
    assert found["name"].distance == pytest.approx(0.5 * np.abs(share[0] - share[1]).sum())
    assert found["name"].value == 5.0  # a name of a quarter of the new rows and of no usual one
    assert (found["name"].usual, found["name"].new) == (0.0, 0.25)
    where = found["number"].value
    assert found["number"].usual == pytest.approx((a > where).mean())
    assert found["number"].new == pytest.approx((b > where).mean())
    assert abs(found["number"].usual - found["number"].new) == pytest.approx(found["number"].distance)


def test_an_empty_cell_is_a_value_of_its_own() -> None:
    a = np.arange(100.0)
    gaps = np.where(np.arange(100) % 10 < 3, np.nan, a)
    for names in (False, True):
        (found,) = moved([Cells("one", np.where(a < 10, np.nan, a) if not names else gaps * 0, gaps * 0 + a, names)])
        assert found.distance >= (0.2 if not names else 0.7) - 1e-9
    (found,) = moved([Cells("one", np.zeros(100), gaps * 0)])
    assert (found.distance, found.usual, found.new) == (pytest.approx(0.3), 0.0, pytest.approx(0.3))
    assert np.isnan(found.value)
    assert found.p_value == pytest.approx(0.001)


def test_a_column_of_one_value_has_moved_nowhere_and_few_rows_are_refused() -> None:
    (found,) = moved([Cells("one", np.ones(30), np.ones(20))])
    assert (found.distance, found.by_chance, found.p_value) == (0.0, 0.0, 1.0)
    with pytest.raises(DataError, match="30 usual and 19 new rows are too few to compare"):
        moved([Cells("one", np.ones(30), np.ones(19))])


def columns(seed: int, shift: float = 0.0) -> list[Cells]:
    """Eight columns that hang on one number: numbers, whole numbers with gaps, names, one of them rare."""
    rng = np.random.default_rng(seed)
    sides = []
    for n, by in ((120, 0.0), (60, shift)):
        common = rng.normal(size=n)
        own = [0.8 * common + 0.6 * rng.normal(size=n) for _ in range(8)]
        own[3] = own[3] + by
        own[4] = np.where(rng.random(n) < 0.1, np.nan, np.round(own[4]))
        own[5] = np.round(own[5])
        own[6] = (own[6] > 1.8).astype(float)
        own[7] = np.floor(np.exp(own[7]))
        sides.append(own)
    return [Cells(f"c{j}", a, b, names=j >= 5) for j, (a, b) in enumerate(zip(*sides))]


def test_rows_that_have_not_drifted_are_named_as_often_as_claimed() -> None:
    least = [moved(columns(seed), shuffles=99, seed=seed)[0].p_value for seed in range(400)]
    for level in (0.01, 0.05, 0.2):  # 4 standard errors of 400 draws
        found = np.mean(np.array(least) <= level)
        assert abs(found - level) <= 4.0 * np.sqrt(level * (1.0 - level) / 400), (level, found)


def test_a_growing_shift_is_named_first_and_grows() -> None:
    found = [moved(columns(7, shift), seed=0)[0] for shift in (1.0, 2.0, 4.0)]
    assert [one.name for one in found] == ["c3"] * 3
    assert all(one.p_value <= 0.002 for one in found)
    sizes = [one.distance for one in found]
    assert sizes == sorted(sizes)
    for one, shift in zip(found, (1.0, 2.0, 4.0)):  # of two Normals with a spread of 1 the distance is 2 Phi(s / 2) - 1
        assert one.distance == pytest.approx(2 * stats.norm.cdf(shift / 2) - 1, abs=0.15)


def test_power_grows_with_the_shift() -> None:
    shares = []
    for shift in (0.0, 0.4, 0.8):
        first = [moved(columns(seed, shift), shuffles=99, seed=seed)[0] for seed in range(60)]
        shares.append(np.mean([one.name == "c3" and one.p_value <= 0.05 for one in first]))
    assert shares[0] < 0.1 < shares[1] < shares[2]
    assert shares[2] > 0.8


# --- with a model ---


def table(n: int, seed: int, *, shift: float = 0.0, gaps: float = 0.1, new: int = 0, apart: bool = False) -> str:
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, n)
    city = np.array(["Lyon", "Oslo", "Porto"], "U6")[kind]
    city[:new] = "Bergen"
    hangs = rng.permutation(kind) if apart else kind
    income = np.round(np.exp(rng.normal(10.0 + hangs + shift, 0.3)), 2)
    joined = np.datetime64("2020-01-01") + rng.integers(0, 900, n)
    children = rng.poisson(1 + kind).astype(str)
    children[rng.random(n) < gaps] = ""
    rows = zip(city, income, joined, children)
    return "\n".join(["city,income,joined,children", *(",".join(map(str, row)) for row in rows)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("drift")
    for name, options in {
        "usual": {"n": 500, "seed": 0}, "same": {"seed": 1}, "rich": {"seed": 2, "shift": 0.7},
        "gaps": {"seed": 3, "gaps": 0.4}, "bergen": {"seed": 4, "new": 12}, "apart": {"seed": 5, "apart": True},
    }.items():  # fmt: skip
        (made / f"{name}.csv").write_text(table(**{"n": 250, **options}))
    own = ["--set", "network.hidden=[16]", "--set", "posterior.latent_dim=2", "--num-samples", "4"]
    assert main(["fit", str(made / "usual.csv"), "--out", str(made / "run"), "--epochs", "10", *own, "--quiet"]) == 0
    return made


def drift(folder: Path, name: str, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict, str]:
    capsys.readouterr()
    typed = ["drift", str(folder / "run"), str(folder / f"{name}.csv"), "--num-samples", "8", *options]
    code = main([*typed, "--json"])
    value = json.loads(capsys.readouterr().out)
    assert main(typed) == code
    return code, value, capsys.readouterr().out


def test_words_dates_and_gaps(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, value, text = drift(folder, "same", capsys, "--fail-above", "0")
    assert (code, value["moved"], value["failed"]) == (0, [], False)
    assert text.startswith("Moved: none of 4 columns (250 new rows, beside 500 usual ones).")
    assert "as likely as usual ones" in text
    assert {one["name"] for one in value["columns"]} == {"city", "income", "joined", "children"}
    code, value, text = drift(folder, "rich", capsys, "--fail-above", "0.1")
    assert (code, value["moved"]) == (10, ["income"])
    assert text.startswith("Moved: income by 0.")
    code, value, text = drift(folder, "gaps", capsys)  # without --fail-above the exit code says nothing
    assert (code, value["moved"]) == (0, ["children"])
    assert "children: empty in 4" in text
    code, value, text = drift(folder, "bergen", capsys, "--fail-above", "0.5")
    assert (code, value["moved"]) == (0, ["city"])  # moved, but by less than asked
    assert "'Bergen', a new name, in 5 % of new rows, 0 % of usual ones" in text
    for lines in (text.split("-- for the record")[0].splitlines(),):
        assert len(lines) <= 4


def test_rows_whose_columns_alone_are_usual_are_odd_altogether(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, value, text = drift(folder, "apart", capsys, "--fail-above", "0.1")
    assert value["moved"] == []  # each column is as it was; what changed is what they have to do with each other
    assert value["altogether"]["p_value"] <= 0.01
    assert value["altogether"]["surprise"]["new"] > value["altogether"]["surprise"]["usual"]
    assert code == 10
    assert "Rows altogether: unlike usual ones" in text


def test_other_usual_rows_and_what_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rich = str(folder / "rich.csv")
    _, value, _ = drift(folder, "rich", capsys, "--reference", rich, "--fail-above", "0")
    assert (value["moved"], value["altogether"]["moved"]) == ([], 0.0)
    capsys.readouterr()
    model = str(folder / "alone.safetensors")
    latens.load(folder / "run").save(model)
    assert main(["drift", model, rich]) == 2
    assert "name usual rows: --reference FILE" in capsys.readouterr().err
    assert main(["drift", model, rich, "--reference", str(folder / "usual.csv"), "--num-samples", "2"]) == 0
    with pytest.raises(UsageError, match=r"within 0\.001 and 0\.5"):
        latens.load(folder / "run").drift(rich, reference=rich, alpha=1e-4)


SMALL = {"network.hidden": [4], "posterior.latent_dim": 2, "training.steps": 1}


def trained_on(data: Dataset, recipe: str = "default") -> TrainedModel:
    experiment = latens.prepare(override(get_recipe(recipe).config, SMALL), data)
    return experiment.trained(experiment.new_model())


def test_pictures_are_compared_altogether_and_autoencoders_by_column() -> None:
    rng = np.random.default_rng(0)
    pictures = latens.load_data(rng.integers(0, 256, (80, 4, 4)).astype(np.uint8))
    model = trained_on(pictures)
    other = latens.load_data(np.zeros((30, 4, 4), np.uint8), schema=pictures.schema)
    found = drifted(model, pictures, other, np.arange(40), num_samples=2)
    assert found.columns == []
    assert found.left_out == ("columns: these rows are no table",)
    assert found.altogether is not None
    assert found.altogether.p_value <= 0.01
    numbers = latens.load_data(rng.normal(size=(80, 3)))
    point = trained_on(numbers, "autoencoder")
    found = drifted(point, numbers, numbers, np.arange(10), num_samples=2)
    assert [one.name for one in found.columns] == ["x0", "x1", "x2"]
    assert found.altogether is None
    assert "only a model with log p(x)" in found.left_out[0]
    found = drifted(trained_on(numbers), numbers, numbers, np.arange(0), num_samples=2)
    assert "held none out" in found.left_out[0]
    with pytest.raises(ConfigError, match="nothing can be compared"):
        drifted(trained_on(pictures), pictures, other, np.arange(0), num_samples=2)


def test_labels_are_a_column() -> None:
    x = np.random.default_rng(0).normal(size=(90, 2))
    usual, new = latens.load_data(x, label=np.arange(90) % 2), latens.load_data(x, label=np.arange(90) % 10 == 0)
    found = drifted(trained_on(usual), usual, new, np.arange(0), num_samples=2)
    assert found.columns[0].name == "label"
    assert found.columns[0].distance == pytest.approx(0.4)
    assert found.words["label"].endswith("in 10 % of new rows, 50 % of usual ones")
