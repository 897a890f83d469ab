"""A configuration is bound once: one look-up of each part in a whole fit, its options read once, planned once."""

import pickle
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training_fixtures import make_data

from latens.cli.main import main
from latens.config import PosteriorConfig, PriorConfig, VAEConfig, override
from latens.distributions import DiagonalNormal
from latens.errors import ConfigError
from latens.fitting import prepare
from latens.models import AbstractHead
from latens.recipes import RECIPES, Recipe, get_recipe, part_tables
from latens.recipes.custom_parts import ROWS
from latens.recipes.parts import ConfiguredParts, bind
from latens.recipes.posteriors import POSTERIORS
from latens.trained.trained_model import TrainedModel


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each name is looked up."""
    found, was = Counter(), part_tables.lookup

    def counted(table: Any, name: str, where: str) -> Any:
        found[name] += 1
        return was(table, name, where)

    monkeypatch.setattr(part_tables, "lookup", counted)
    return found


def test_a_whole_fit_looks_each_part_up_once(
    taken: Counter[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read, planned, recipe, was = Counter(), [], RECIPES["default"], part_tables.read
    monkeypatch.setattr(
        part_tables, "read", lambda kind, given, where, *more: read.update([where]) or was(kind, given, where, *more)
    )
    counted = replace(recipe, plan=lambda *given: planned.append(1) or recipe.plan(*given))
    monkeypatch.setitem(RECIPES, "default", counted)
    np.savetxt(
        tmp_path / "t.csv", np.random.default_rng(0).normal(size=(60, 3)), delimiter=",", header="a,b,c", comments=""
    )
    settings = ("posterior.kind=iaf", "posterior.latent_dim=2", "network.hidden=8")
    given = [word for setting in settings for word in ("--set", setting)]
    assert (
        main(["fit", str(tmp_path / "t.csv"), "--steps", "2", "--out", str(tmp_path / "run"), "--quiet", *given]) == 0
    )
    assert taken == {"iaf": 1, "standard-normal": 1, "normal": 1}
    assert read == {"posterior": 1, "prior": 1, "likelihood": 1, "objective": 1}
    assert planned == [1]
    opened = TrainedModel.load(tmp_path / "run" / "model.safetensors")
    assert (opened.is_point, opened.latent_shape, opened.parts.posterior.read.layers) == (False, (2,), 2)
    assert taken["iaf"] == 2


def test_what_is_prepared_built_and_trained_shares_its_parts(taken: Counter[str]) -> None:
    config = override(get_recipe("default").config, {"posterior": "iaf", "training.steps": 2, "network.hidden": 4})
    experiment = prepare(config, make_data())
    trained = experiment.trained(experiment.new_model(), steps=2).with_facts(more=1)
    assert (trained.is_point, trained.parts) == (False, experiment.parts)
    assert experiment.stages() is experiment.planned
    assert taken == {"iaf": 1, "standard-normal": 1, "bernoulli": 1}


def test_a_recipe_without_bind_takes_configurations(monkeypatch: pytest.MonkeyPatch) -> None:
    default = RECIPES["default"]
    words = (default.name, default.summary, default.source, default.use_when, default.config)
    monkeypatch.setitem(
        RECIPES, "default", Recipe(*words, default.resolve, default.preparation, default.build, default.plan)
    )
    experiment = prepare(override(default.config, {"training.steps": 2, "network.hidden": 4}), make_data())
    assert experiment.parts is experiment.config
    assert experiment.trained(None, steps=2).parts.posterior.what == "a Normal with independent units"


def test_what_a_new_configuration_names_as_before_is_taken_over(taken: Counter[str]) -> None:
    first = VAEConfig(recipe="default")
    parts = bind(override(first, {"posterior": "concrete", "posterior.choices": 3, "likelihood": "normal"}))
    assert (parts.posterior.what, parts.posterior.read.choices) == (
        "relaxed one-hot choices (Concrete, Gumbel-softmax)",
        3,
    )
    assert parts.prior.what == "relaxed one-hot choices, equally likely"  # "auto": the posterior's
    other = parts.having(override(parts.config, {"posterior.latent_dim": 7, "training.steps": 3}))
    assert (other.posterior.latent, other.posterior.read.choices, other.posterior.size) == ((7, 3), 3, 21)
    assert taken == {"concrete": 1, "uniform-concrete": 1}
    for change in ({"posterior.choices": 4}, {"posterior": "normal"}):
        assert parts.having(override(parts.config, change)).posterior.read != parts.posterior.read
    assert taken == {"concrete": 2, "normal": 1, "uniform-concrete": 1}
    assert parts.having(override(parts.config, {"posterior": "normal"})).prior.what == "a standard Normal"
    assert bind(parts) is parts
    assert pickle.loads(pickle.dumps(parts)).posterior.read.choices == 3


def test_an_option_is_refused_where_it_is_first_asked_for() -> None:
    parts = ConfiguredParts(
        VAEConfig(
            posterior=PosteriorConfig(kind="iaf", options={"layers": 0}),
            prior=PriorConfig(kind="mixture", options={"component": 1}),
        )
    )
    with pytest.raises(ConfigError, match=r"posterior.layers: '0' does not fit: expected `int` >= 1"):
        parts.posterior  # noqa: B018
    with pytest.raises(
        ConfigError, match=r"prior.component: prior has no option 'component'. Did you mean 'components'"
    ):
        parts.prior  # noqa: B018
    with pytest.raises(ConfigError, match=r"there is no likelihood 'auto'"):
        parts.likelihood  # noqa: B018


def test_an_option_without_a_default_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Sharp(AbstractHead):
        """Normals of a width that has to be given."""

        shape: tuple[int, ...] = eqx.field(static=True)
        width: float = eqx.field(static=True)

        def __call__(self, outputs: Any) -> DiagonalNormal:
            return DiagonalNormal(outputs, jnp.full(self.shape, jnp.log(self.width)))

    monkeypatch.setitem(POSTERIORS, "sharp", ROWS["posterior"]("sharp", Sharp))
    with pytest.raises(ConfigError, match=r"posterior: posterior needs width. Add --set posterior.width=..."):
        ConfiguredParts(VAEConfig(posterior=PosteriorConfig(kind="sharp"))).posterior  # noqa: B018
    parts = ConfiguredParts(VAEConfig(posterior=PosteriorConfig(kind="sharp", options={"width": 2.0}, latent_dim=3)))
    assert parts.posterior.made(parts.posterior.latent, key=jax.random.key(0)) == Sharp((3,), 2.0)
