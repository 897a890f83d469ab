"""The files of an export: they say what the model says, and a folder is whole or absent."""

import gzip
import json
import math
import re
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
from asked import at
from explorer_fixtures import untrained
from scipy.spatial import cKDTree

from latens import evidence, latents
from latens.data import Column, Dataset, Preparation, Schema, load
from latens.errors import ConfigError
from latens.explorer import payload, static_files
from latens.explorer.page_columns import event_of, manifest_columns
from latens.explorer.page_files import single_file
from latens.explorer.payload import _coloured_first
from latens.fitting import prepare
from latens.recipes import get_recipe
from latens.trained.trained_model import TrainedModel

pytest_plugins = ("cli_fixtures",)
HOSTILE = ("<img src=x onerror=alert(1)>", 'a "quoted" & <b>b</b>', "=cmd|calc", "snow ☃")


def table(n: int = 60) -> Dataset:
    rng = np.random.default_rng(1)
    x = rng.normal(3.0, [1.0, 10.0, 0.1, 100.0], (n, 4)).astype(np.float32)
    columns = tuple(Column(name, float(c.mean()), float(c.std())) for name, c in zip(HOSTILE, x.T))
    schema = Schema((4,), "real", columns=columns, classes=("<script>", "b"))
    names = np.array([f"row<{i}>" for i in range(n)])
    split = np.repeat([0, 1, 2], [n - 20, 10, 10]).astype(np.uint8)
    mask = rng.random(x.shape) > 0.1
    return Dataset(
        x, schema, np.arange(n, dtype=np.uint32), names, split, "made", np.arange(n, dtype=np.int32) % 3 - 1, mask
    )


@pytest.fixture(scope="module")
def digits() -> tuple[TrainedModel, Dataset, dict[str, bytes], dict[str, Any]]:
    trained, data = untrained("default", load("digits"))
    history = [{"event": "epoch", "step": 5, "train_elbo": -3.0, "validation_elbo": math.nan}]
    files = payload(trained, data, history=history, most_rows=200, seed=3)
    return trained, data, files, json.loads(files["data/manifest.json"], parse_constant=pytest.fail)


def array(files: dict[str, bytes], entry: dict[str, Any], name: str = "file") -> np.ndarray:
    return np.frombuffer(files[entry[name]], np.dtype(entry.get("dtype", "float32")).newbyteorder("<")).reshape(
        entry.get("shape", -1)
    )


# --- the files ---


def test_arrays_are_those_of_the_model(digits) -> None:
    trained, data, files, manifest = digits
    positions = np.linspace(0, len(data) - 1, 200).round().astype(int)
    batch, options = trained.batch(data, positions), {"preparation": trained.preparation, "key": jax.random.key(3)}
    codes = at(latents.encode, trained.model, batch, **options)
    arrays = manifest["arrays"]
    np.testing.assert_array_equal(array(files, arrays["mean"]), codes["mean"])
    np.testing.assert_array_equal(array(files, arrays["log_var"]), codes["log_variance"])
    parts = at(evidence.elbo_parts, trained.model, batch, num_samples=manifest["elbo_samples"], **options)
    for name in ("elbo", "log_likelihood", "kl"):
        np.testing.assert_array_equal(array(files, arrays[name])[:, 0], parts[name])
    rows = np.concatenate([np.frombuffer(files[name], np.uint8) for name in arrays["rows"]["files"]])
    np.testing.assert_array_equal(rows.reshape(200, 64), data.x[positions].reshape(200, 64))
    assert arrays["rows"]["dtype"] == "uint8"
    label, split = manifest["columns"]
    np.testing.assert_array_equal(np.frombuffer(files[label["file"]], "<i4"), data.label[positions])
    assert (label["levels"], split["levels"]) == ([str(i) for i in range(10)], ["train", "validation", "test"])
    np.testing.assert_array_equal(np.frombuffer(files[manifest["ids"]["file"]], "<i4"), data.names[positions])
    kl = [unit["kl"] for unit in manifest["units"]]
    np.testing.assert_allclose(kl, codes["kl"].mean(0, dtype=np.float64), rtol=1e-12)
    assert [unit["active"] for unit in manifest["units"]] == latents.active_units(codes["mean"]).tolist()


def test_the_manifest_names_every_file_and_no_other(digits) -> None:
    *_, files, manifest = digits
    named = set(re.findall(r'"(data/[^"]+)"', json.dumps(manifest))) | {"data/manifest.json"}
    assert named == set(files)
    assert manifest["history"][0]["validation_elbo"] is None  # JSON has no NaN


def test_far_is_the_99th_percentile_of_distances_between_neighbours(digits) -> None:
    *_, files, manifest = digits
    far = manifest["far"]
    scaled = array(files, manifest["arrays"]["mean"])[:, far["units"]] * np.array(far["weight"], np.float32)
    nearest = cKDTree(scaled).query(scaled, 2)[0][:, 1]
    assert [far["median"], far["far"]] == pytest.approx(np.quantile(nearest, [0.5, 0.99]), rel=1e-4)
    # A picture with contrast is decoded first: near the middle of the plane, and far from that of all units.
    plane, means = manifest["axes"], array(files, manifest["arrays"]["mean"])
    away = means - np.array(plane["centre"])
    across = np.square(away @ np.array(plane["axes"]).T / (away @ np.array(plane["axes"]).T).std(0)).sum(1)
    whole = np.square(away / [unit["noise"] for unit in manifest["units"]]).sum(1)
    assert (across < across[manifest["start"]]).mean() < 0.5 < (whole < whole[manifest["start"]]).mean()


def test_the_same_arguments_give_the_same_bytes(digits) -> None:
    trained, data, files, _ = digits
    history = [{"event": "epoch", "step": 5, "train_elbo": -3.0, "validation_elbo": math.nan}]
    assert payload(trained, data, history=history, most_rows=200, seed=3) == files


def test_names_of_a_table_are_data_and_never_names_of_files() -> None:
    trained, data = untrained("default", table())
    files = payload(trained, data)
    manifest = json.loads(files["data/manifest.json"])
    assert all(re.fullmatch(r"data/[a-z][a-z0-9-]*\.(bin|json|safetensors)", name) for name in files)
    assert [column["name"] for column in manifest["event"]["columns"]] == list(HOSTILE)
    assert [column["name"] for column in manifest["columns"] if column["role"] == "cell"] == list(HOSTILE)
    assert json.loads(files["data/ids.json"])[7] == "row<7>"
    rows = np.frombuffer(files["data/rows-00000.bin"], "<f4").reshape(60, 4)
    np.testing.assert_array_equal(rows, np.where(data.mask, data.x, np.nan))


def test_points_are_coloured_by_the_label(digits) -> None:
    manifest = digits[3]
    assert manifest["columns"][manifest["colour"]]["role"] == "label"
    columns = [{"role": "split", "levels": ["a", "b"]}, {"role": "cell"}, {"role": "cell", "levels": ["a"] * 11}]
    assert _coloured_first(columns) is None
    assert _coloured_first([*columns, {"role": "cell", "levels": ["a", "b"]}, {"role": "label"}]) == 4
    assert _coloured_first([*columns, {"role": "cell", "levels": ["a", "b"]}]) == 3


@pytest.mark.parametrize("typed", [False, True])
def test_numbered_columns_are_a_curve_but_where_they_have_types(typed: bool) -> None:
    """A table of types in sixteen numbered columns was drawn as a curve, and ended in an IndexError."""
    x = 0.5 * np.random.default_rng(0).integers(-2, 3, (40, 16))
    x[3, 2] = np.nan
    data = load(x, typed=typed, missing="nan")
    trained: Any = SimpleNamespace(schema=data.schema, config=None)
    event = event_of(trained, data)
    assert event["kind"] == ("table" if typed else "curve")
    files: dict[str, bytes] = {}
    found = manifest_columns(data, np.arange(40), files, cells=event["kind"] == "table")
    assert [column["name"] for column in found] == ["split", *([f"x{i}" for i in range(16)] if typed else [])]
    split = np.array(found[0]["levels"])[np.frombuffer(files[found[0]["file"]], "<i4")]
    for name in ("train", "validation", "test"):
        np.testing.assert_array_equal(np.flatnonzero(split == name), data.subset(name))
    if typed:
        np.testing.assert_allclose(np.frombuffer(files[found[3]["file"]], "<f4"), x[:, 2], atol=1e-6)


def test_an_empty_page_has_a_history_and_no_rows(digits) -> None:
    trained, *_ = digits
    files = payload(trained, None, history=[{"step": 1}], serve=True)
    manifest = json.loads(files["data/manifest.json"])
    assert (set(files), manifest["rows"]) == ({"data/manifest.json"}, {"shown": 0, "of": 0})
    assert manifest["history"] == [{"step": 1}]


def test_a_classifier_is_refused() -> None:
    classifier = TrainedModel(object(), Schema((2,), "real"), Preparation())
    with pytest.raises(ConfigError, match="no latents"):
        payload(classifier, None)


# --- the export ---


def test_the_command_writes_a_file_and_refuses_to_replace_it(latens, run_folder, tmp_path) -> None:
    words = ("explore", run_folder, "--export", tmp_path / "page.html", "--rows", "50", "--json")
    done = latens(*words)
    assert done.code == 0, done.err
    assert done.json["bytes"] == (tmp_path / "page.html").stat().st_size
    again = latens(*words)
    assert (again.code, again.json["error"]["code"]) == (6, "run-folder")
    assert latens(*words, "--force").code == 0
    folder = latens("explore", run_folder, "--export", tmp_path / "site", "--json")
    assert (folder.code, folder.json["error"]["where"]) == (2, "--export")


def test_an_export_of_digits_is_below_three_megabytes() -> None:
    experiment = prepare(get_recipe("default").config, load("digits"))
    trained = experiment.trained(experiment.new_model())
    folder = static_files() | payload(trained, experiment.data)
    assert sum(map(len, folder.values())) < 3e6
    one = single_file(static_files() | payload(trained, experiment.data))
    assert len(one) < 3e6


def test_the_page_is_small_and_says_where_its_scripts_come_from() -> None:
    page = static_files()
    assert sum(len(gzip.compress(raw)) for raw in page.values()) < 200_000
    html = page["index.html"].decode()
    assert "default-src 'none'; script-src 'self'" in html
    assert not re.search(r"<style|<script(?![^>]* src=)|\son\w+=|style=|https?://(?!localhost)", html)
    text = "".join(page[name].decode() for name in page if name.startswith("app/"))
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setTimeout\(['\"]", text
    )


def test_hostile_names_never_stand_in_the_page_as_they_are() -> None:
    names = ("</script><script>alert(1)</script>", "evil\u202egpj.exe", "q\"uo'te", "<!--", "L" * 900)
    rows = np.random.default_rng(0).normal(size=(60, len(names))).astype(np.float32)
    schema = Schema(
        (len(names),),
        "real",
        columns=tuple(Column(name, 0.0, 1.0) for name in names),
        classes=("</script>", "b\u202ex"),
    )
    rest = {"label": np.arange(60, dtype=np.int32) % 2}
    data = Dataset(
        rows, schema, np.arange(60, dtype=np.uint32), np.arange(60), np.zeros(60, np.uint8), names[0], **rest
    )
    experiment = prepare(get_recipe("default").config, data)
    files = static_files() | payload(experiment.trained(experiment.new_model()), data)
    page = single_file(files).decode()
    blocks = sum(name.startswith("data/") for name in files)
    assert page.count("</script") == single_file(static_files()).decode().count("</script") + blocks
    assert not [name for name in names if name in page]
    assert files["index.html"] == static_files()["index.html"]
    # As data the names are whole; what would turn the text around is spelled out.
    manifest = files["data/manifest.json"].decode()
    assert "\u202e" not in page + manifest
    assert "</script><script>alert(1)</script>" in json.dumps(json.loads(manifest))
