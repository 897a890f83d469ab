"""One fitted estimator in several hands: threads, pickles, clones, forks, and that of a run of the command line."""

import copy
import inspect
import pickle
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import latens
from latens import VAE, Autoencoder, GenerativeClassifier, VAEDetector, VAEImputer
from latens.cli.main import main
from latens.errors import DataError, UsageError
from latens.models import NormalHead
from latens.objectives import ELBO
from latens.predictive.classes import sample_classes
from latens.runtime import compilation
from latens.trained import cell_scores as module

TINY: dict[str, Any] = {"hidden": (4,), "steps": 2, "batch_size": 16, "random_state": 0}
ROWS: dict[str, Any] = {
    "settings": {"training.steps": 2, "training.batch_size": 16, "network.hidden": [4]},
    "num_samples": 5,
    "random_state": 0,
}
X = np.random.default_rng(0).normal(size=(60, 3)) + np.repeat([0.0, 3.0], 30)[:, None]
Y = np.repeat(["a", "b"], 30)
GAPS = np.where(np.arange(180).reshape(60, 3) % 7 == 0, np.nan, X)

KINDS: dict[str, Callable[[], Any]] = {
    "VAE": lambda: VAE(2, settings={"num_samples": 5}, **TINY),
    "Autoencoder": lambda: Autoencoder(2, **TINY),
    "GenerativeClassifier": lambda: GenerativeClassifier("mixture", n_components=2, random_state=0),
    "VAEDetector": lambda: VAEDetector(alpha=0.2, **ROWS),
    "VAEImputer": lambda: VAEImputer(**ROWS),
}
CALLS = (
    "transform", "predict_proba", "score_samples", "sample", "p_values", "reconstruct", "posterior_predictive", "draws",
    "intervals",
)  # fmt: skip

_fitted: dict[str, Any] = {}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def fitted(kind: str) -> Any:
    if kind not in _fitted:
        _fitted[kind] = KINDS[kind]().fit(X, Y)
    return _fitted[kind]


def _numbers(estimator: Any) -> list[np.ndarray]:
    """What its methods give, all as arrays."""
    found: list[np.ndarray] = []
    x = GAPS if isinstance(estimator, VAEImputer) else X + 0.5 if isinstance(estimator, VAEDetector) else X
    for name in CALLS:
        method = getattr(estimator, name, None)
        if method is None:
            continue
        given = method(5) if name == "sample" else method(x)
        found += [np.asarray(one) for one in (given if isinstance(given, list | tuple) else [given])]
    return found


def _equal(found: list[np.ndarray], wanted: list[np.ndarray]) -> bool:
    assert len(found) == len(wanted) >= 1
    for one, other in zip(found, wanted):
        np.testing.assert_array_equal(one, other)
    return True


def test_threads_get_the_numbers_of_one(fitted: Any) -> None:
    wanted = _numbers(fitted)
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda _: _equal(_numbers(fitted), wanted), range(8)))


def test_threads_fit_what_one_fits(kind: str, fitted: Any) -> None:
    wanted = _numbers(fitted)
    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(lambda _: _equal(_numbers(KINDS[kind]().fit(X, Y)), wanted), range(2)))


def test_pickles_copies_and_clones(kind: str, fitted: Any) -> None:
    wanted, params = _numbers(fitted), repr(fitted.get_params())
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(fitted, protocol=protocol))
        assert set(vars(again)) == set(vars(fitted))
        assert repr(again.get_params()) == params
    assert _equal(_numbers(again), wanted)
    assert _equal(_numbers(copy.deepcopy(fitted)), wanted)
    fresh = clone(again)
    assert set(vars(fresh)) == set(vars(KINDS[kind]()))  # nothing that fit found
    assert repr(fresh.get_params()) == params == repr(pickle.loads(pickle.dumps(fresh)).get_params())
    assert _equal(_numbers(fresh.fit(X, Y)), wanted)


def test_an_object_of_a_part_that_latens_knows_goes_into_a_pickle_and_a_file(tmp_path: Any) -> None:
    given: dict[str, Any] = {"objective": ELBO(beta=0.5), "likelihood": NormalHead}
    vae = VAE(2, settings={"num_samples": 5}, **given, **TINY).fit(X)
    again = pickle.loads(pickle.dumps(vae))
    np.testing.assert_array_equal(again.score_samples(X), vae.score_samples(X))
    assert again.objective == ELBO(beta=0.5) == clone(vae).objective
    path = vae.save(tmp_path / "vae.safetensors")
    np.testing.assert_array_equal(VAE.load(path, **given).transform(X), vae.transform(X))
    with pytest.raises(latens.errors.ModelFileError, match="'elbo', which is known"):  # another than the file's
        VAE.load(path, objective=ELBO(beta=0.25))


def test_members_can_be_listed(fitted: Any) -> None:
    assert inspect.getmembers(fitted)


# --- forks ---

HARMLESS = {
    "fit_request", "get_feature_names_out", "get_metadata_routing", "get_params", "load", "save", "set_fit_request",
    "set_inverse_transform_request", "set_output", "set_params", "set_predict_proba_request", "set_predict_request",
    "set_score_request", "set_transform_request",
}  # fmt: skip
OTHERWISE = {
    "inverse_transform": (np.zeros((4, 2)),),
    "fit": (X, Y),
    "score": (X, Y),
    "explain": (X,),
    "interpolate": (X, X),
}


@pytest.fixture
def fork(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on this process is one that was forked from another that computed."""

    def begin() -> None:
        monkeypatch.setattr(compilation, "_computing", -1)
        for name in ("split", "fold_in"):  # what computes before it looks hangs
            monkeypatch.setattr(jax.random, name, lambda *_, **__: pytest.fail("it computed in a fork"))

    return begin


def test_every_method_in_a_fork_says_so(fitted: Any, fork: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = _numbers(fitted)
    raw = pickle.dumps(fitted)
    fork()
    arrived = pickle.loads(raw)  # a pool would wait for ever for a task that fails here
    names = [n for n in dir(type(fitted)) if not n.startswith("_") and n not in HARMLESS]
    names = [n for n in names if not re.fullmatch(r"set_\w+_request", n)]  # scikit-learn's own
    told = 0
    for estimator in (fitted, arrived):
        for name in names:
            try:
                method = getattr(estimator, name)
            except AttributeError:
                continue
            except UsageError as error:
                told += "was forked" in str(error)
                continue
            if not callable(method):
                continue
            given = OTHERWISE.get(name, (4,) if "sample" in name and name != "score_samples" else (X + 0.5,))
            given = (4,) if name == "prior_predictive" else given
            if name == "explain" and not estimator.typed:
                continue
            with pytest.raises(UsageError, match=r"was forked.*spawn"):
                method(*given)
            told += 1
    assert told >= 8
    monkeypatch.undo()
    assert _equal(_numbers(pickle.loads(pickle.dumps(arrived))), wanted)  # whole on its way back


def test_functions_in_a_fork_say_so(fork: Callable[[], None], tmp_path: Any) -> None:
    gauss = GenerativeClassifier(random_state=0).fit(X, Y)
    model, data = gauss.model_, latens.read(X, label=Y)
    key = jax.random.key(0)
    fork()
    calls: list[Callable[[], Any]] = [
        lambda: model.sample(3),
        lambda: model.batch(X),
        lambda: latens.trained.augment(model, data, 2),
        lambda: latens.load("pretrained:digits-2d"),
        lambda: sample_classes(model.model, 2, key=key),
    ]
    for call in calls:
        with pytest.raises(UsageError, match=r"was forked.*spawn"):
            call()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    folder, rng = tmp_path_factory.mktemp("run"), np.random.default_rng(0)
    kind = rng.choice(["a", "b"], 200)
    size = np.where(kind == "a", rng.normal(10, 2, 200), rng.normal(20, 2, 200)).round(1)
    frame = pd.DataFrame({"code": [f"K-{3 * k}x" for k in range(200)], "kind": kind, "size": size})
    frame.to_csv(folder / "t.csv", index=False)
    assert main(["fit", str(folder / "t.csv"), "--id", "code", "--steps", "1", "--out", str(folder / "run")]) == 0
    return folder / "run" / "model.safetensors", frame


def test_a_frame_may_have_the_ids_beside(run: tuple[Path, pd.DataFrame]) -> None:
    path, frame = run
    model = latens.VAE.load(path)
    assert model.feature_names_in_.tolist() == ["kind", "size"]
    plain = frame.drop(columns="code")
    np.testing.assert_array_equal(model.score_samples(frame), model.score_samples(plain))
    gaps = frame.assign(size=frame["size"].where(frame.index % 4 > 0))
    filled = model.impute(gaps, random_state=1)
    assert filled.columns.tolist() == ["code", "kind", "size"]
    assert filled["code"].tolist() == frame["code"].tolist()
    np.testing.assert_array_equal(filled["size"], model.impute(gaps.drop(columns="code"), random_state=1)["size"])
    with pytest.raises(DataError, match="that fit did not see"):
        model.score_samples(frame.assign(weight=1.0))
    with pytest.raises(DataError, match="lacks the column 'kind'"):
        model.score_samples(frame.drop(columns="kind"))
    model.set_params(settings={"training.steps": 1}).fit(frame.assign(code=np.arange(200) % 7))  # then it is a column
    assert model.feature_names_in_.tolist() == ["code", "kind", "size"]
    assert model.sample(3).columns.tolist() == ["code", "kind", "size"]


def test_only_rows_with_gaps_are_asked_for(run: tuple[Path, pd.DataFrame], monkeypatch: pytest.MonkeyPatch) -> None:
    path, frame = run
    model, asked = latens.VAE.load(path), []
    own = module.impute

    def counted(rows, **options):
        asked.append((len(rows.batch.x), options["num_samples"]))
        return own(rows, **options)

    monkeypatch.setattr(module, "impute", counted)
    assert model.impute(frame).equals(frame)
    gaps = frame.assign(size=frame["size"].where(~frame.index.isin([3, 90])))
    filled = model.impute(gaps, random_state=1)
    assert [count for count, _ in asked] == [2]
    alone = model.impute(gaps.loc[[3, 90]], random_state=1)
    pd.testing.assert_series_equal(filled.loc[[3, 90], "size"], alone["size"])
    (first, second) = model.impute(gaps, n_draws=2, random_state=1)
    assert first.drop(index=[3, 90]).equals(frame.drop(index=[3, 90]))
    assert not first["size"].isna().any()
    assert len(second) == 200
