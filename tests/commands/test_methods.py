"""Verbs called in Python: the same numbers as a command gives, without a file, on rows that are in memory."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import latens
from latens.commands.base import Call, Result, finished
from latens.commands.detect import Detect
from latens.commands.encode import Encode
from latens.commands.impute import Impute
from latens.commands.sample import Sample, _by_class
from latens.errors import DataError, UsageError
from latens.model_figures import image_scale
from latens.model_figures.image_scale import shown
from latens.trained.measurement import measured
from latens.trained.metric_functions import held_out_rows
from latens.trained.trained_model import TrainedModel

GOLDEN = Path(__file__).parents[1] / "golden"


def golden(name: str) -> tuple[TrainedModel, np.ndarray]:
    rows = json.loads((GOLDEN / f"format-2-{name}.json").read_text())
    return TrainedModel.load(GOLDEN / f"format-2-{name}.safetensors"), np.array(rows["x"], np.float32)


def of_its_own(trained: TrainedModel, x: np.ndarray) -> tuple[TrainedModel, latens.Dataset]:
    """A model that believes to be trained on these rows."""
    data = latens.read(x, schema=trained.schema)
    return trained.with_facts(fingerprint=data.fingerprint), data


def made_of(trained: TrainedModel, verb: Any, out: Path, **given: Any) -> Result:
    """What a command makes for a file."""
    at = Call(trained, data=getattr(verb, "data", None))
    at.given = given
    at.write_to(out)
    next(work := verb(at))
    return finished(work)


def test_held_out_rows_are_given_as_a_data_set() -> None:
    trained, x = golden("table")
    rows = np.concatenate([x] * (1 + 100 // len(x)))
    usual = rows + np.random.default_rng(0).normal(0, 0.1, rows.shape).astype(np.float32)
    odd = np.concatenate([usual[:2], usual[:1] + 50])
    made = trained.detect(odd, held_out=latens.read(usual, schema=trained.schema), num_samples=4)
    assert made.arrays["flagged"].tolist() == [0, 0, 1]
    assert made.arrays["p_value"][2] == 1 / (len(usual) + 1)
    assert "(the training data cannot be read, so these may include training rows)" in made.text
    with pytest.raises(UsageError, match="DATA is missing"):
        trained.detect(odd)
    assert "VAE.load(path)" in str(pytest.raises(AttributeError, getattr, trained, "transform").value)  # noqa: RUF061


def test_every_table_holds_the_arrays_of_the_command(tmp_path: Path) -> None:
    """Also a row that is infinitely odd; an array of more numbers a row is a column for each of them."""
    trained, x = golden("table")
    usual = latens.read(np.concatenate([x] * 20), schema=trained.schema)
    odd = latens.read(np.concatenate([x[:2], np.array([[1e20] * 3, [3e38] * 3], np.float32)]), schema=trained.schema)
    given: dict[str, Any] = {"data": odd, "held_out": usual, "num_samples": 4}
    found = [made_of(trained, Detect(run="", **given, top=top), tmp_path / "a.csv") for top in (None, 3)]
    found += [made_of(trained, verb, tmp_path / "a.csv") for verb in (Encode(run="", data=usual), Sample(run="", n=3))]
    assert np.isinf(found[0].arrays["score"]).tolist() == [False, False, True, True]
    order = np.argsort(found[1].arrays["p_value"], kind="stable")[:3]
    assert found[1].arrays["rank"][order].tolist() == [1, 2, 3]
    np.testing.assert_array_equal(found[2].arrays["mean"], trained.encode(usual))
    assert found[2].arrays["row_id"].tolist() == usual.names.tolist()
    arrays = [made.arrays for made in found]
    arrays[1] = {name: array[order] for name, array in arrays[1].items()}
    arrays[3] = dict(zip(trained.schema.names, arrays[3]["x"].T))
    for made, table in zip(found, arrays):
        flat = {name: one.reshape(len(one), -1).T for name, one in table.items()}
        wanted = {f"{n}{i}" if table[n].ndim > 1 else n: c for n, cs in flat.items() for i, c in enumerate(cs)}
        for name, read in (("a.csv", pl.read_csv), ("a.parquet", pl.read_parquet)):
            made.write(tmp_path / name)
            assert_frame_equal(read(tmp_path / name), pl.DataFrame(wanted), check_dtypes=False, rel_tol=1e-6)


def test_a_model_is_as_good_as_itself() -> None:
    trained, data = of_its_own(*golden("table"))
    made = trained.evaluate([trained, data], num_samples=4)
    first, second = made.value["models"]
    assert (first["name"], second["name"]) == ("the model", "model 2")
    assert (first["minus_best"], second["minus_best"]["value"]) == (None, 0.0)
    assert "the model is not significantly better than model 2" in made.plain[0]
    with pytest.raises(DataError, match="trained on other data"):
        trained.evaluate([trained.with_facts(fingerprint="0"), data])


def test_a_new_prior_is_a_new_model(tmp_path: Path) -> None:
    trained, data = of_its_own(*golden("table"))
    with pytest.warns(UserWarning, match="lower than with the former prior"):
        made = trained.refit(data, prior="normal", num_samples=2)
    assert made.trained is not None
    z = np.zeros((1, *trained.latent_shape), np.float32)
    np.testing.assert_array_equal(made.trained.decode(z), trained.decode(z))
    assert made.trained.config.prior.kind == "full-normal"  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
    assert list(tmp_path.iterdir()) == []
    with pytest.warns(UserWarning, match="lower than with the former prior"):
        again = trained.refit(data, prior="normal", num_samples=2, out=str(tmp_path / "new.safetensors"))
    assert again.value["model"] == str(tmp_path / "new.safetensors")
    assert TrainedModel.load(tmp_path / "new.safetensors").to_bytes() == made.trained.to_bytes()
    with pytest.raises(DataError, match="the model was trained on other data"):
        golden("table")[0].refit(data, prior="normal")


def test_a_walk_is_an_array_or_a_file(tmp_path: Path) -> None:
    trained, _ = golden("convolutions")
    made = trained.report(only="animation", name="walk", frames=3)
    assert made.arrays["frames"].dtype == np.uint8
    assert made.arrays["frames"].shape[0] == made.value["frames"] == 3
    trained.report(only="animation", name="walk", frames=3, out=str(tmp_path / "walk.gif"))
    assert (tmp_path / "walk.gif").read_bytes()[:3] == b"GIF"
    with pytest.raises(UsageError, match="animations of the training need a run folder"):
        trained.report(only="animation", name="latent")
    with pytest.raises(UsageError, match=r"'walk.png' ends in '.png'"):
        trained.report(only="animation", name="walk", out="walk.png")


def test_a_model_is_measured_on_rows_in_memory() -> None:
    trained, data = of_its_own(*golden("table"))
    split, rows = held_out_rows(data)
    made = trained.evaluate(data, num_samples=4, seed=1)
    found = measured(trained, data, rows, num_samples=4, seed=1).metrics
    values = {name: (one["value"], one["standard_error"]) for name, one in made.value["metrics"].items()}
    known = {name: one.to_json() for name, one in found.items()}
    assert values == {name: (one["value"], one["standard_error"]) for name, one in known.items()}
    source = {"name": data.name, "split": split, "rows": len(rows), "fingerprint": data.fingerprint}
    assert made.value["data"] == {**source, "held_out": split == "test" and data.held_out}
    assert made.text.startswith(f"the model on {data.name}\n  log p(x)")
    with pytest.raises(UsageError, match="DATA is missing"):
        trained.evaluate()
    with pytest.raises(UsageError, match="0 is not within 1 and"):
        trained.evaluate(data, num_samples=0)


def test_the_tables_that_are_named_are_those_that_are_written(tmp_path: Path) -> None:
    trained, x = golden("table")
    x[0, 1] = x[3, 2] = np.nan
    pl.DataFrame(x, schema=trained.schema.names).fill_nan(None).write_csv(tmp_path / "x.csv")
    made = made_of(trained, Impute(run="", data=str(tmp_path / "x.csv"), draws=3, num_samples=4), tmp_path / "a.csv")
    made.write(tmp_path / "a.csv")
    others = sorted(tmp_path.glob("a-*.csv"))
    assert made.value["draws"] == [str(path) for path in others]
    assert [Path(name).name for name in re.findall(r"\S+\.csv", made.text)] == [others[0].name, others[-1].name]
    known = ~np.isnan(x)
    for path, drawn in zip([tmp_path / "a.csv", *others], [made.arrays["x"], *made.arrays["draws"].swapaxes(0, 1)]):
        np.testing.assert_allclose(pl.read_csv(path).to_numpy(), drawn, rtol=1e-6)
        np.testing.assert_allclose(drawn[known], x[known], rtol=1e-6)


def test_new_rows_like_others_have_the_classes_of_those(tmp_path: Path) -> None:
    trained, x = golden("table")
    kinds = pl.Series("kind", ["cat", "dog"] * 2 + ["cat"])
    pl.DataFrame(x, schema=trained.schema.names).with_columns(kinds).write_csv(tmp_path / "x.csv")
    made = made_of(trained, Sample(run="", like=str(tmp_path / "x.csv"), n=2), tmp_path / "a.csv", label="kind")
    assert made.value["classes"] == {"cat": 2, "dog": 2}
    assert set(kinds.gather(made.arrays["around"]) == made.arrays["label"]) == {True}
    made.write(tmp_path / "a.csv")
    table = pl.read_csv(tmp_path / "a.csv")
    assert table.columns == [*trained.schema.names, "kind"]
    assert table["kind"].to_list() == made.arrays["label"].tolist()
    data = latens.read(np.concatenate([x] * 8), label=list("ab") * 20)
    own = trained.with_facts(fingerprint=data.fingerprint)  # of its own rows those that trained it are drawn around
    around = made_of(own, Sample(run="", like=data, n=40), tmp_path / "a.npz").arrays["around"]
    assert set(around) <= set(data.names[data.subset("train")])


def test_a_sheet_has_the_pictures_of_its_arrays_above_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    trained, x = golden("pictures")
    monkeypatch.setattr(image_scale, "captioned", lambda images, names: dict(zip(names, images, strict=True)))
    gaps = np.where(np.arange(4).reshape(2, 2) == 1, np.nan, x[:1])
    data, out = latens.read(gaps, schema=trained.schema, missing="nan"), Path("a.png")
    made = made_of(trained, Impute(run="", data=data, draws=2, num_samples=4), out)
    assert made.pixels is not None
    images, columns = made.pixels()
    rows = [made.arrays["x"][0], *made.arrays["draws"][0]]
    ends = float(np.min(rows)), float(np.max(rows))
    assert list(images) == ["0", "mean", "draw 1", "draw 2"]
    assert columns == len(images)
    for one, row in zip(list(images.values())[1:], rows, strict=True):
        np.testing.assert_array_equal(one, shown(trained.schema, row[None], ends)[0])
    whole = latens.read(x, schema=trained.schema)
    for top in (3, None):
        made = made_of(trained, Detect(run="", data=whole, held_out=whole, top=top, num_samples=4), out)
        assert made.pixels is not None
        images, columns = made.pixels()
        order = np.argsort(-made.arrays["score"], kind="stable")[:top].tolist()
        assert (list(images), columns) == ([f"{k}. {row}" for k, row in enumerate(order, 1)], 5)
        np.testing.assert_array_equal(list(images.values()), shown(trained.schema, x[order]))
    with pytest.raises(UsageError, match="are not pictures"):
        made_of(golden("table")[0], Detect(run="", data=golden("table")[1]), out)
    monkeypatch.setattr(image_scale, "captioned", lambda images, names: (images, names))
    (pictures, names), columns = _by_class(trained, x, np.array(list("babbb")))
    assert (names, columns) == (["a", "", "", "", "b", "", "", ""], 4)
    np.testing.assert_array_equal(pictures[[0, 4, 5, 6, 7]], shown(trained.schema, x[[1, 0, 2, 3, 4]]))
    assert not pictures[1:4].any()
