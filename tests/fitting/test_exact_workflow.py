"""Workflow by hand: what is refused, resolved and told of models before their first step."""

import dataclasses
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from msgspec.structs import replace

import latens
from latens import config as configuration
from latens import fitting
from latens.config import override
from latens.data import Preparation
from latens.errors import ConfigError, DataError, DivergedError, ModelFileError, UsageError
from latens.evidence import Estimate, importance
from latens.fitting import as_labelled, prepare
from latens.recipes import get_recipe
from latens.runs.folder import RunFolder
from latens.runtime.safetensors import tree_to_arrays
from latens.trained import prior_refit as refit
from latens.trained.inputs import latents_of, one_hot, rows_of, seed_key
from latens.trained.trained_model import TrainedModel

SMALL = {"network.hidden": [4], "posterior.latent_dim": 2, "training.steps": 3}
RANDOM = np.random.default_rng(0)
X = RANDOM.integers(0, 2, (30, 2, 3)).astype(np.uint8)


def config_of(recipe="default", **settings):
    return override(get_recipe(recipe).config, {**SMALL, **settings})


@pytest.fixture(scope="module")
def experiment():
    return prepare(config_of(**{"likelihood.family": "bernoulli", "training.batch_size": 7}), latens.read(X))


@pytest.fixture(scope="module")
def trained(experiment):
    return experiment.trained(experiment.new_model())


# --- inputs ---


def test_rows_and_latents_are_checked():
    with pytest.raises(DataError, match=r"has shape \(\): no rows"):
        rows_of(np.array(3.0), None, (1,))
    with pytest.raises(DataError, match=r"has shape \(0, 6\): no rows"):
        rows_of(np.zeros((0, 6)), None, (2, 3))
    flat = np.arange(12.0).reshape(2, 6)
    np.testing.assert_array_equal(rows_of(flat, None, (2, 3)), flat.reshape(2, 2, 3))
    np.testing.assert_array_equal(rows_of(flat, np.array([1]), (6,)), flat[1:])
    assert rows_of(flat, None, (5,)).shape == (2, 6)  # whose shape is refused later
    assert rows_of(X, None, (2, 3)).dtype == np.uint8
    assert rows_of(X.astype(np.int64), None, (2, 3)).dtype == np.float32
    flat[1, 4] = np.inf
    with pytest.raises(DataError, match=r"cell \[1, 1\] of row 1 is inf"):
        rows_of(flat, None, (2, 3))
    np.testing.assert_array_equal(latents_of(flat[:1], (3, 2)), flat[:1].reshape(1, 3, 2))
    for wrong, words in ((flat, "not finite"), (flat[:0], r"of shape \(0, 6\)"), (np.array(1.0), r"of shape \(\)")):
        with pytest.raises(DataError, match=words):
            latents_of(wrong, (6,))
    for labels in ([0, 2], ["a", "c"], np.array(["a", "c"], object)):
        np.testing.assert_array_equal(one_hot(labels, "abc"), [[1, 0, 0], [0, 0, 1]])
    np.testing.assert_array_equal(one_hot("c", "abc", 2), [[0, 0, 1], [0, 0, 1]])
    for codes in ([3], [-1], [0.0]):
        with pytest.raises(
            UsageError, match=r"holds no codes of the 3 classes\. Give names of classes, or codes from 0"
        ):
            one_hot(codes, "abc")
    with pytest.raises(UsageError, match="this model has no class 'd'"):
        one_hot(["a", "d"], "abc")
    with pytest.raises(UsageError, match="is not conditioned on labels"):
        one_hot(["a"], "")
    for seed in (2**63, -(2**63) - 1, True, 1.0):
        with pytest.raises(UsageError, match="is not a seed"):
            seed_key(seed)
    assert seed_key(np.int64(4)) == jax.random.key(4)


# --- experiments ---


def test_what_a_model_says_of_its_training(experiment, trained):
    own = {"data": "data", "rows": experiment.data.count("train"), "fingerprint": experiment.data.fingerprint}
    assert trained.facts == own
    assert experiment.trained(trained.model, steps=3).facts == {**own, "steps": 3}
    former = fitting.former(dataclasses.replace(trained, facts={**own, "steps": 3, "other": 4}))
    assert former == {**own, "steps": 3, "config": configuration.to_json(experiment.config)}
    assert fitting.former(dataclasses.replace(trained, config=None, facts={})) == {"config": None}
    assert not trained.is_point
    assert dataclasses.replace(trained, config=config_of("autoencoder")).is_point
    assert not dataclasses.replace(trained, config=None).is_point


def test_what_has_to_be_the_same_in_all_processes(experiment):
    facts = fitting._facts(experiment)
    assert facts["the kind of device"] == jax.local_devices()[0].device_kind
    assert facts["the number of devices"] == jax.local_device_count()
    assert facts["the fingerprint of the data"] == experiment.data.fingerprint
    assert len(facts["the digest of the configuration"]) == 12
    other = dataclasses.replace(experiment, config=config_of(**{"training.batch_size": 8}))
    changed = fitting._facts(other)
    assert [name for name in facts if facts[name] != changed[name]] == ["the digest of the configuration"]


def test_weights_of_zero_are_refused_split_by_split():
    data = latens.read(X)
    for split in ("train", "validation", "test"):
        weight = np.ones(30, np.float32)
        weight[data.subset(split)] = 0.0
        n = len(data.subset(split))
        if n:
            with pytest.raises(DataError, match=f"the weights of all {n} {split} rows are 0"):
                fitting._something_counts(dataclasses.replace(data, weight=weight))
            weight[data.subset(split)[:1]] = 0.5
            fitting._something_counts(dataclasses.replace(data, weight=weight))
    gone = np.zeros(X.shape, bool)
    with pytest.raises(DataError, match=f"every cell of the {data.count('train')} training rows is missing"):
        fitting._something_counts(dataclasses.replace(data, mask=gone))
    weight = np.zeros(30, np.float32)
    weight[[data.subset(split)[0] for split in ("train", "validation", "test") if len(data.subset(split))]] = 1.0
    gone[data.subset("train")[1:]] = True  # those have no weight
    with pytest.raises(DataError, match="every cell of the 1 training rows is missing"):
        fitting._something_counts(dataclasses.replace(data, mask=gone, weight=weight))


def test_labels_that_training_may_see():
    data = latens.read(X, label=np.arange(30) % 3)
    classifier = get_recipe("mlq-gaussian").config
    few = replace(classifier, data=replace(classifier.data, labelled=5))
    with pytest.raises(ConfigError, match="a Bayes classifier is fitted to the rows that have labels"):
        as_labelled(few, data)
    assert as_labelled(classifier, data) is data
    assert as_labelled(config_of(), data) is data
    found = as_labelled(config_of("m2", **{"data.labelled": 6, "label.share": 0.25}), data)
    assert np.count_nonzero(found.seen_label[found.subset("train")] >= 0) == 6
    assert found.labelled_share == 0.25
    assert as_labelled(config_of("m2", **{"label.share": 0.0}), data).labelled_share is None
    with pytest.raises(DataError, match="label"):
        as_labelled(config_of("conditional-vae"), latens.read(X))


def test_a_run_goes_on_with_its_own_generator_shards_and_version(monkeypatch, tmp_path):
    loop = {entry.name: 0 for entry in dataclasses.fields(fitting.LoopState)}
    found = SimpleNamespace(path=SimpleNamespace(name="c", __str__=lambda self: "c"), warnings=[], loop=loop, read=None)
    monkeypatch.setattr(fitting, "latest_checkpoint", lambda folder: found)
    name = fitting._GENERATOR
    now = fitting.jax_settings()[name]

    def newest(info, wanted=1, **more):
        found.loop = {**loop, "stage": 2, "metrics_bytes": 17, **more}
        return fitting.newest(RunFolder(tmp_path, None, info, {}), wanted)

    for info in ({}, {"jax": {}}, {"jax": {name: now}}):
        assert newest(info).length == 17
        assert newest(info).resume[0] == 2
    with pytest.raises(ConfigError, match="the run began with the random generator 'other', and JAX is set to"):
        newest({"jax": {name: "other"}})
    with pytest.raises(ConfigError, match="the checkpoint is of a training in 4 shards, and the configuration says 1"):
        newest({}, shards=4)
    assert newest({}, 4, shards=4).length == 17
    with pytest.raises(ConfigError, match="written by another version of latens"):
        newest({}, more=1)
    monkeypatch.setattr(fitting, "latest_checkpoint", lambda folder: None)
    assert tuple(newest({})) == (None, 0)


# --- trained models ---


@pytest.mark.parametrize("preparation", [Preparation(binarize="stochastic"), Preparation(divide=2.0, dequantize=True)])
def test_a_row_is_rebuilt_from_its_own_code_also_where_rows_are_drawn(trained, preparation):
    own = dataclasses.replace(trained, preparation=preparation)
    rows = np.full((5, 2, 3), 0.5, np.float32)
    np.testing.assert_allclose(own.decode(own.encode(rows)), own.reconstruct(rows), rtol=1e-5)
    noise = RANDOM.normal(size=(5, 2))
    codes = own.encode(rows, noise=noise)
    np.testing.assert_allclose(own.decode(codes), own.reconstruct(rows, noise=noise), rtol=1e-5)
    assert codes.shape == (5, 2)
    assert np.abs(codes - own.encode(rows)).max() > 0.01


def test_a_row_has_no_probability_or_none_that_is_a_density(trained, monkeypatch):
    """Minus infinity is the answer for a row of 0 and 1 that cannot be; of real numbers it is beyond float32."""
    monkeypatch.setattr(importance, "log_marginal", lambda rows, **options: np.array([-np.inf]))
    assert trained.log_marginal(X[:1]).tolist() == [-np.inf]
    with pytest.raises(DivergedError, match="NaN or infinity"):
        dataclasses.replace(trained, schema=replace(trained.schema, kind="real")).log_marginal(X[:1])


def test_files_hold_whole_or_half_numbers(trained, tmp_path):
    raw = trained.to_bytes()
    again = TrainedModel.from_bytes(raw)
    for one, other in zip(jax.tree.leaves(trained.model), jax.tree.leaves(again.model), strict=True):
        np.testing.assert_array_equal(one, other)
    half = TrainedModel.load(trained.save(tmp_path / "h.safetensors", half=True))
    for one, other in zip(jax.tree.leaves(trained.model), jax.tree.leaves(half.model), strict=True):
        if hasattr(one, "dtype"):
            np.testing.assert_array_equal(np.asarray(one, np.float16).astype(np.float32), other)


def test_a_file_that_lacks_a_part_says_so(trained):
    metadata = trained.metadata()
    again = TrainedModel._from(tree_to_arrays(trained.model), metadata, None, "here", {})
    assert again.facts == trained.facts
    for name in ("config", "schema", "preparation", "facts"):
        with pytest.raises(ModelFileError, match=f"the file lacks {name}"):
            TrainedModel._from({}, {key: one for key, one in metadata.items() if key != name}, None, "here", {})
    for wrong in (metadata["format"] + 1, True, "1"):
        with pytest.raises(ModelFileError, match="the file has format"):
            TrainedModel._from({}, {**metadata, "format": wrong}, None, "here", {})


def test_a_refitted_prior_keeps_what_the_posterior_is(trained):
    def configured(config, kind, options):
        return refit._configured(config, kind, options)

    stages = [kind for kind in refit.PRIORS.values() if kind.fit is None]
    for kind in stages:
        for settings, scale in (
            ({"posterior.scale": "softplus"}, "softplus"),
            ({"posterior.scale": "log-scale"}, "log-scale"),
        ):
            config = config_of(**settings)
            found = configured(config, kind, {})
            assert (found.posterior.scale, found.posterior.levels) == (scale, (2,))
        point = config_of("autoencoder")
        found = configured(point, kind, {"latent_dim": 5})
        assert (found.posterior.scale, found.posterior.levels) == ("log-scale", (5,))
    found = configured(config_of(), refit.PRIORS["mixture"], {"components": 3})
    assert (found.prior.kind, found.prior.options["components"]) == ("mixture", 3)
    with pytest.raises(ConfigError, match="there is no option 'width'"):
        configured(config_of(), refit.PRIORS["mixture"], {"width": 3})


@pytest.mark.parametrize("weight", [None, np.arange(1.0, 31.0)])
def test_the_gain_of_a_prior_is_paired_over_test_rows(trained, monkeypatch, weight):
    data = latens.read(X, weight=weight)
    test = data.subset("test")
    rows = {id(trained.model): np.arange(len(test)), "new": 3.0 * np.arange(len(test)) ** 2}
    monkeypatch.setattr(refit, "log_marginal", lambda at, **options: rows[id(at.model)].astype(np.float32))
    new = dataclasses.replace(trained, model=jax.tree.map(lambda leaf: leaf, trained.model))
    rows[id(new.model)] = rows["new"]
    found = refit._gain(trained, new, data, 10, 4)
    own = None if weight is None else weight[test].astype(np.float32)
    expected = Estimate.of(rows["new"] - np.arange(len(test)), num_samples=10, protocol="", weight=own)
    assert (found.value, found.standard_error) == pytest.approx((expected.value, expected.standard_error), nan_ok=True)
    assert (found.num_samples, found.seed) == (10, 4)
    assert "paired over test rows; importance sampling, 10 draws a row" in found.protocol
    assert found.protocol.startswith("log p(x) with the refitted prior")
    of_codes = refit._gain(trained, dataclasses.replace(new, config=config_of("vq-vae")), data, 10, 4)
    assert (of_codes.num_samples, of_codes.value) == (1, found.value)
    assert of_codes.protocol.startswith("the bound on log p(x) with the refitted prior")


def test_what_training_goes_on_with() -> None:
    known = override(get_recipe("default").config, {"likelihood.family": "logistic-mixture", "prior.kind": "mixture"})
    known = replace(known, likelihood=replace(known.likelihood, options={"components": 5}))
    start = dataclasses.replace(latens.load("pretrained:digits-2d"), config=known)
    open_ = override(get_recipe("default").config, {"likelihood.options.components": 2, "likelihood.scale_floor": 0.5})
    made = fitting.going_on(open_, start)
    assert (made.likelihood.family, made.likelihood.options) == ("logistic-mixture", {"components": 2})
    assert made.likelihood.scale_floor == 0.5
    assert made.prior == known.prior
    said = override(get_recipe("default").config, {"likelihood.family": "table", "prior.kind": "normal"})
    made = fitting.going_on(said, start)
    assert made == replace(said, network=made.network)
    assert made.network.linear == bool(known.network.linear)
    assert fitting.going_on(open_, None) == open_
