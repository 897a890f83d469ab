"""A verb is one file: its command, its method, `--help`, `--dry-run` and `--json` follow from its fields."""

import inspect
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from cli_fixtures import Result

import latens
import latens.commands
from latens.cli import arguments
from latens.commands import _stub, base
from latens.errors import UsageError
from latens.trained import methods
from latens.trained.trained_model import TrainedModel

pytest_plugins = ("cli_fixtures",)


@pytest.fixture(name="latens_run")
def _latens_run(latens: Callable[..., Result]) -> Callable[..., Result]:
    """The command, under a name that the package does not have."""
    return latens


FURTHER = Path(__file__).parent / "further"
GOLDEN = Path(__file__).parents[1] / "golden"
MODEL = GOLDEN / "format-2-table.safetensors"
MIXED = GOLDEN / "format-2-mixed.safetensors"


@pytest.fixture
def further(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Three verbs more, each a file of its own that nothing else names."""
    monkeypatch.setattr(latens.commands, "__path__", [*latens.commands.__path__, str(FURTHER)])
    base.verbs.cache_clear()
    words = {name: base.help_of(verb) for name, verb in base.verbs().items()}
    monkeypatch.setattr(arguments, "COMMANDS", arguments.COMMANDS | words)
    for name in ("length", "nearest", "anonymise"):
        monkeypatch.setattr(TrainedModel, name, base.method(base.verbs()[name]), raising=False)
    yield
    base.verbs.cache_clear()
    for name in ("length", "nearest", "anonymise"):
        sys.modules.pop(f"latens.commands.{name}", None)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    golden = json.loads((GOLDEN / "format-2-table.json").read_text())
    path = tmp_path / "rows.npy"
    np.save(path, np.array(golden["x"], np.float32))
    return path


def test_a_file_is_a_command_and_a_method(
    further: None, latens_run: Callable[..., Result], rows: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bits.npz"
    said = latens_run("length", MODEL, rows, "--out", out, "--num-samples", "50", "--json")
    assert said.code == 0
    assert said.json["out"] == str(out)
    trained = TrainedModel.load(MODEL)
    data = latens.read(rows, schema=trained.schema)
    found = trained.length(data, num_samples=50)  # pyright: ignore[reportAttributeAccessIssue]
    nats = trained.log_marginal(data, num_samples=50)
    np.testing.assert_allclose(found.arrays["bits"], -nats / np.log(2), rtol=1e-6)
    np.testing.assert_array_equal(np.load(out)["bits"], found.arrays["bits"])
    assert said.json["bits"] == pytest.approx(found.arrays["bits"].sum())


def test_nothing_is_written_by_a_dry_run(
    further: None, latens_run: Callable[..., Result], rows: Path, tmp_path: Path
) -> None:
    out = tmp_path / "near.csv"
    said = latens_run("nearest", MODEL, rows, "--out", out, "--dry-run", "--json")
    words = f"look for the 5 nearest of {len(np.load(rows))} rows of rows"
    assert said.json == {"dry_run": True, "out": str(out), "would": words}
    assert not out.exists()


def test_nearest_is_that_of_all_distances(further: None, rows: Path) -> None:
    trained, x = TrainedModel.load(MODEL), np.load(rows)
    found = trained.nearest(x, count=1).arrays  # pyright: ignore[reportAttributeAccessIssue]
    z = trained.encode(x)
    apart = np.linalg.norm(z[:, None] - z[None], axis=-1) + np.diag(np.full(len(z), np.inf))
    np.testing.assert_array_equal(found["nearest"][:, 0], apart.argmin(axis=1))
    np.testing.assert_allclose(found["distance"][:, 0], apart.min(axis=1), rtol=1e-5)


def test_only_the_column_is_drawn(further: None, latens_run: Callable[..., Result], tmp_path: Path) -> None:
    made = latens_run("sample", MIXED, "-n", "6", "--out", tmp_path / "table.csv")
    assert made.code == 0
    said = latens_run("anonymise", MIXED, tmp_path / "table.csv", "--column", "city", "--out", tmp_path / "new.csv")
    assert said.code == 0
    old, new = ((tmp_path / name).read_text().splitlines() for name in ("table.csv", "new.csv"))
    place = old[0].split(",").index("city")
    assert new[0] == old[0]
    for a, b in zip(old, new, strict=True):
        assert [c for i, c in enumerate(a.split(",")) if i != place] == [
            c for i, c in enumerate(b.split(",")) if i != place
        ]
    wrong = latens_run("anonymise", MIXED, tmp_path / "table.csv", "--column", "citi", "--out", tmp_path / "new.csv")
    assert (wrong.code, wrong.err.splitlines()[1]) == (2, "Did you mean 'city'?")


def test_help_is_made_of_the_fields(further: None, latens_run: Callable[..., Result]) -> None:
    text = latens_run("nearest", "--help").out
    assert "--count N" in text
    assert "how many for each row (default 5)" in text
    assert "The rows whose latents lie nearest to those of each row." in text
    assert latens_run("nearest", "--help").code == 0
    wrong = latens_run("nearest", MODEL, "x.npy", "--out", "x.npz", "--count", "0")
    assert (wrong.code, wrong.err.splitlines()[0]) == (2, "error: --count: 0 is not within 1 and 1000.")


def test_type_checkers_read_what_the_verbs_say() -> None:
    assert Path(methods.__file__).with_suffix(".pyi").read_text() == _stub.stub()


@pytest.mark.parametrize("name", sorted(base.verbs()))
def test_every_verb_is_small_and_describes_its_fields(name: str) -> None:
    verb = base.verbs()[name]
    for field, _, _, meta in base.arguments_of(verb):
        assert meta.extra is not None, f"{name}.{field} is not described"
        assert meta.description or field in ("run", "data")
    assert base.help_of(verb)


def test_a_method_has_the_fields_as_its_signature() -> None:
    signature = inspect.signature(base.method(base.verbs()["forecast"]))
    given = {name: parameter.default for name, parameter in signature.parameters.items()}
    empty = inspect.Parameter.empty
    assert given == {
        "self": empty, "data": empty, "steps": empty, "draws": 200, "backtest": False, "particles": None,
        "seed": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ((), {}, "data is missing. Give data=."),
        ((0,), {"steps": 0}, "0 is not within 1 and 65536."),
        ((0,), {"steps": 1.5}, "1.5 is not within 1 and 65536."),
        ((0,), {"steps": True}, "True is not within 1 and 65536."),
        ((0,), {"step": 1}, "there is no argument 'step'. Did you mean 'steps'?"),
        ((0,) * 9, {}, "9 arguments."),
    ],
)
def test_a_method_refuses_what_the_command_refuses(values: tuple, options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        base.method(base.verbs()["forecast"])(TrainedModel.load(MODEL), *values, **options)


def test_arguments_of_a_method_are_numbers_of_any_kind_and_given_once() -> None:
    trained = TrainedModel.load(MODEL)
    data = latens.read(np.zeros((3, *trained.schema.shape)))
    call: Callable[..., base.Result] = trained.evaluate
    found = call(data, num_samples=np.int64(2), seed=np.uint32(3)).value["metrics"]
    same = call(data, num_samples=2, seed=3).value["metrics"]
    assert {name: one["value"] for name, one in found.items()} == {name: one["value"] for name, one in same.items()}
    for count in (float("nan"), float("inf"), 2.5, "2", np.array([2, 3])):
        with pytest.raises(UsageError, match=r"num_samples: .* is not within 1 and 10000000"):
            call(data, num_samples=count)
    with pytest.raises(UsageError, match=r"evaluate: data is given twice"):
        call(data, data=data)
    with pytest.raises(UsageError, match=r"there is no unknown \[1, 2\]"):
        call(data, unknown=[1, 2])
