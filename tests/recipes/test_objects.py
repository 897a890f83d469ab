"""Objects in the place of names: the same numbers, files that ask for them, and refusals that say what is allowed."""

import subprocess
import sys
from functools import partial
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats
from sklearn.base import clone

import latens
from latens import VAE, Autoencoder
from latens.cli.main import _place
from latens.config import override
from latens.distributions import Poisson, StandardNormal, StudentT
from latens.errors import ConfigError, ModelFileError
from latens.fitting import prepare, train
from latens.models import (
    AbstractHead,
    Conditional,
    Downwards,
    FromLowest,
    FullNormalHead,
    LatentModel,
    NormalHead,
    SharedScaleNormalHead,
    Upwards,
)
from latens.networks import Dense
from latens.objectives import ELBO, AbstractObjective
from latens.recipes import get_recipe
from latens.recipes.custom_parts import OWN, TABLES, adopt, register_part, settings_of
from latens.trained.inputs import has_likelihood, lacks_prior
from latens.trained.measurement import measured
from latens.trained.trained_model import TrainedModel
from latens.training import Budget, Stage

X = np.random.default_rng(0).normal(size=(120, 4)).astype(np.float32) * 2 + 1
FEW = {"steps": 3, "random_state": 0, "hidden": 8, "latent_dim": 2}


class CauchyHead(AbstractHead):
    """Independent Cauchy cells of one scale."""

    kinds: ClassVar = ("real",)

    gamma: float = eqx.field(static=True, default=1.0)

    def __call__(self, outputs):
        loc = outputs.reshape(self.shape)
        return StudentT(loc, jnp.full(self.shape, jnp.log(self.gamma)), jnp.zeros(self.shape))


class AbsoluteError(AbstractObjective):
    """The mean absolute error."""

    monitor: ClassVar[str] = "error"
    maximise: ClassVar[bool] = False
    needs_density: ClassVar[bool] = False
    power: float = eqx.field(static=True, default=1.0)

    def __call__(self, model, batch, *, key, step):
        def one(x):
            return jnp.sum(jnp.abs(model.likelihood(model.posterior(x).mean()).mean() - x) ** self.power)

        error = jax.vmap(one)(batch.x)
        return error, {"error": error}


UNWATCHED = type("Unwatched", (AbsoluteError,), {"monitor": "score", "__module__": __name__})


class Needy(AbsoluteError):
    needs_density: ClassVar[bool] = True


def two_levels(schema, key):
    """Two levels of Normals."""
    keys = jax.random.split(key, 4)
    (n,) = schema.shape

    def arrow(a, b, key):
        return Conditional(Dense([a, 8, 2 * b], key=key), NormalHead((b,), "softplus"))

    up = Upwards((arrow(n, 3, keys[0]), arrow(3, 2, keys[1])))
    likelihood = SharedScaleNormalHead((n,), jnp.zeros(n), 1e-3)
    out = FromLowest(Conditional(Dense([3, 8, n], key=keys[3]), likelihood))
    return LatentModel(Downwards(StandardNormal((2,)), (arrow(2, 3, keys[2]),)), up, out)


def network(schema, key):
    return Dense([4, 8, 4], key=key)


def same(a, b):
    return np.array_equal(a.transform(X), b.transform(X)) and np.array_equal(a.score_samples(X), b.score_samples(X))


@pytest.mark.parametrize(
    ("objects", "names"),
    [
        ({"objective": ELBO(beta=2.0)}, {"beta": 2.0}),
        ({"objective": latens.objectives.IWAE}, {"objective": "iwae"}),
        ({"prior": StandardNormal}, {}),
        ({"prior": StandardNormal((2,))}, {}),
        ({"posterior": lambda shape: NormalHead(shape, "softplus", 1e-6)}, {}),
        ({"posterior": NormalHead((2,), "softplus", 1e-6)}, {}),
        ({"likelihood": lambda shape: SharedScaleNormalHead(shape, jnp.zeros(shape), 1e-3)}, {"likelihood": "normal"}),
        ({"prior": "mixture", "objective": "iwae"}, {"settings": {"prior": "mixture", "objective": "iwae"}}),
    ],
)
def test_an_object_is_what_its_name_is(objects, names):
    assert same(VAE(**FEW, **objects).fit(X), VAE(**FEW, **names).fit(X))


def test_the_fields_of_a_known_class_are_the_options_of_a_file(tmp_path):
    vae = VAE(**FEW, objective=ELBO(beta=2.0, free_bits=0.5)).fit(X)
    assert vae.model_.config.objective.name == "elbo"
    assert vae.model_.config.objective.options == {"beta": 2.0, "free_bits": 0.5}
    assert same(VAE.load(vae.save(tmp_path / "vae.safetensors")), vae)


def test_an_optax_transformation_steps_as_it_is():
    """One step of plain gradient descent at rate 0 changes nothing; at a rate above, it does."""
    one = {**FEW, "steps": 1}
    resting = VAE(**one, settings={"optimizer": optax.sgd(0.0)}).fit(X)
    again = VAE(**one, settings={"optimizer": optax.sgd(0.0)}, objective=ELBO(beta=3.0)).fit(X)
    moved = VAE(**one, settings={"optimizer": optax.sgd(0.1)}).fit(X)
    assert np.array_equal(resting.transform(X), again.transform(X))
    assert not np.allclose(resting.transform(X), moved.transform(X))
    assert isinstance(Stage(ELBO(), optax.adam(1e-3), Budget(steps=1)).optimizer, latens.training.Optimizer)


def test_a_likelihood_of_ones_own_has_the_density_of_scipy():
    vae = VAE(**FEW, likelihood=partial(CauchyHead, gamma=0.5)).fit(X)
    z = jnp.asarray([0.3, -0.2])
    p, x = vae.model_.model.likelihood(z), jnp.asarray(X[0])
    shift = np.asarray([column.shift for column in vae.model_.schema.columns])
    scale = np.asarray([column.scale for column in vae.model_.schema.columns])
    loc = np.asarray(p.base.loc) if hasattr(p, "base") else (np.asarray(p.mean()) - shift) / scale
    expected = stats.cauchy(loc * scale + shift, 0.5 * scale).logpdf(X[0]).sum()
    assert float(latens.distributions.log_prob(p, x)) == pytest.approx(expected, rel=1e-5)


def test_parts_of_ones_own_are_asked_for_by_name(tmp_path, monkeypatch):
    cases = {
        "likelihood": VAE(**FEW, likelihood=CauchyHead),
        "prior": VAE(**FEW, prior=lambda shape: StandardNormal(shape)),
        "posterior": VAE(**FEW, posterior=lambda shape: FullNormalHead(normal=NormalHead(shape, "softplus"))),
        "encoder": VAE(**FEW, encoder=network),
        "model": VAE(steps=3, random_state=0, settings={"model": two_levels}),
    }
    for part, vae in cases.items():
        path = vae.fit(X).save(tmp_path / f"{part}.safetensors")
        with monkeypatch.context() as patch:  # as in a process that has not seen the object
            table = TABLES[part][1]
            for name in [name for name in table if (part, name) in OWN]:
                patch.delitem(table, name)
            with pytest.raises(ModelFileError, match=rf"not known here|no recipe.*register_part\('{part}'"):
                VAE.load(path)
            if part == "likelihood":  # one that does not fit leaves nothing behind
                wide = type(NormalHead)("CauchyHead", (NormalHead,), {})
                for fits, says in ((NormalHead, "not with NormalHead"), (wide, "has shape"), (None, "not known here")):
                    with pytest.raises(ModelFileError, match=says):
                        latens.load(path, likelihood=fits)
        given = {part: vae.settings[part] if part == "model" else getattr(vae, part)}
        asked = {"settings": given} if part == "model" else given
        assert same(VAE.load(path, **asked), vae)
        assert np.array_equal(latens.load(path, **given).encode(X), vae.transform(X))
        other = {"prior": StandardNormal} if part != "prior" else {"likelihood": CauchyHead}
        with pytest.raises(ModelFileError, match="Load it without"):
            VAE.load(path, **asked, **other)


def forget(monkeypatch, part):
    """Make this process one that has not seen the user's own objects."""
    table = TABLES[part][1]
    for name in [name for name in table if (part, name) in OWN]:
        monkeypatch.delitem(table, name)


class Absolute(Needy):
    """The mean absolute error of one draw."""

    uses_prior: ClassVar[bool] = False


def test_a_model_is_used_without_its_objective_and_trained_with_it(tmp_path, monkeypatch):
    vae = VAE(**FEW, objective=Absolute(power=1.5)).fit(X)
    path, rows = vae.save(tmp_path / "vae.safetensors"), vae.transform(X)
    name = vae.model_.config.objective.name
    with monkeypatch.context() as patch:
        forget(patch, "objective")
        again, trained = VAE.load(path), latens.load(path)
        assert same(again, vae)
        assert np.array_equal(trained.encode(X), rows)
        assert trained.sample(3).shape == (3, 4)
        assert lacks_prior(trained)
        assert has_likelihood(trained)
        told = trained.facts["objective"]
        assert (told["class"], told["options"]) == ("Absolute", {"power": 1.5})
        for more in (again, clone(again).set_params(settings={**(again.settings or {}), "warm_start": True})):
            with pytest.raises(ConfigError, match=f"there is no objective '{name}' here.*give it.*--import"):
                more.fit(X)
        config = trained.config
        with pytest.raises(ConfigError, match=f"there is no objective '{name}' here"):
            prepare(config, latens.read(X, schema=trained.schema), start=trained)
    assert same(VAE.load(path, objective=Absolute(power=1.5)), vae)


def test_an_objective_without_a_density_trains_a_plain_autoencoder():
    # Linear networks under squared error find the principal components (Baldi & Hornik, 1989).
    few = {"latent_dim": 2, "hidden": (), "random_state": 0, "batch_size": len(X)}
    coder = Autoencoder(
        **few, objective=AbsoluteError(power=2.0), settings={"optimizer": optax.adam(0.03)}, steps=600
    ).fit(X)
    error = np.square(coder.reconstruct(X) - X).sum(axis=1).mean()
    values = np.linalg.svd(X - X.mean(axis=0), compute_uv=False) ** 2
    assert error == pytest.approx(values[2:].sum() / len(X), rel=0.01)
    with pytest.raises(ConfigError, match="no density, which Needy"):
        Autoencoder(**few, objective=Needy(), steps=3).fit(X)


def test_a_model_of_ones_own():
    vae = VAE(steps=3, random_state=0, settings={"model": two_levels}).fit(X)
    assert vae.latent_dim_ == 5
    assert vae.transform(X).shape == (len(X), 5)
    assert not any("network" in reason or "latent" in reason for reason in vae.reasons_)
    with pytest.raises(ConfigError, match="latent_dim"):
        VAE(latent_dim=2, settings={"model": two_levels}).fit(X)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"likelihood": 3}, "a head, its class"),
        ({"likelihood": StandardNormal}, "a head, its class"),
        ({"likelihood": CauchyHead((5,))}, r"shape \(5,\), and the data have \(4,\)"),
        ({"prior": 3.0}, "a distribution"),
        ({"posterior": ELBO()}, "a head"),
        ({"objective": optax.adam(1e-3)}, "an `AbstractObjective`"),
        ({"settings": {"optimizer": ELBO()}}, "an optax transformation"),
        ({"settings": {"optimizer": optax.adam(1e-3)}, "learning_rate": 0.1}, "its own learning_rate"),
        ({"objective": AbsoluteError(), "beta": 2.0}, "no option 'beta'|takes no further options"),
        ({"likelihood": "cauchi"}, "no likelihood 'cauchi'"),
        ({"objective": UNWATCHED()}, "Unwatched has monitor = 'score', and gives error"),
        ({"encoder": eqx.nn.Linear(9, 4, key=jax.random.key(0))}, r"your encoder receives a row of shape \(4,\)"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_is_allowed(given, says):
    with pytest.raises(ConfigError, match=says):
        VAE(**FEW, **given).fit(X)


def test_a_likelihood_of_counts_declares_how_it_sees_them():
    # It saw standardised log(1 + x) by default, and its log p(x) was wrong without a word.
    silent = type("CountHead", (CauchyHead,), {"kinds": ("counts",), "__module__": __name__})
    with pytest.raises(ConfigError, match=r'likelihood of counts without `sees`.*sees = "whole"'):
        VAE(2, likelihood=silent, steps=1).fit(latens.Numbers(np.arange(30).reshape(10, 3), counts=True))

    wrong = type("OtherHead", (CauchyHead,), {"sees": "raw", "__module__": __name__})
    with pytest.raises(ConfigError, match=r"OtherHead has sees = 'raw'.*yes-no, numbers, index, whole"):
        VAE(2, likelihood=wrong, steps=1).fit(X)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({"num_outputs": lambda self: 4}, "num_outputs of OddHead is a .*, not a whole number.*@property"),
        ({"output_bias": lambda self, *given: np.zeros(3)}, r"output_bias of OddHead gives the shape \(3,\) for 4"),
    ],
)
def test_outputs_of_ones_own_head_are_counted(written, says):
    odd = type("OddHead", (CauchyHead,), {**written, "__module__": __name__})
    with pytest.raises(ConfigError, match=says):
        VAE(**FEW, likelihood=odd).fit(X)


class CountHead(AbstractHead):
    """Poisson counts as they are."""

    kinds: ClassVar = ("counts", "real")
    sees: ClassVar = "whole"

    def __call__(self, outputs):
        return Poisson(outputs.reshape(self.shape))


@pytest.mark.parametrize(("counts", "rival"), [(True, True), (False, False)])
def test_a_rival_is_of_the_same_density(counts, rival):
    """Probabilities of whole numbers are held against those of counts, and not against a density of real numbers."""
    data = latens.read(np.random.default_rng(0).poisson(20.0, (60, 3)), counts=counts)
    settings = {"training.steps": 1, "network.hidden": 4, **settings_of("likelihood", CountHead)}
    trained, _ = train(prepare(override(get_recipe("default").config, settings), data))
    assert ("gain_over_independent" in measured(trained, data, data.subset("test"), num_samples=2).metrics) == rival


def test_an_error_of_imported_code_is_placed_there():
    for call, words in (
        (lambda: 1 / 0, f"The error is in {__file__}, line"),
        (lambda: latens.load(0), "bug in latens"),
    ):
        with pytest.raises(Exception) as caught:  # noqa: PT011
            call()
        assert words in _place(caught.value)


def test_a_registered_part_is_known_by_name_and_option():
    register_part("likelihood", "test-cauchy", CauchyHead)
    named = VAE(**FEW, likelihood="test-cauchy", settings={"likelihood.gamma": 0.5}).fit(X)
    assert same(named, VAE(**FEW, likelihood=partial(CauchyHead, gamma=0.5)).fit(X))
    assert same(TrainedModelOf(named), named)
    with pytest.raises(ConfigError, match=r"no option 'gama'.*gamma"):
        VAE(**FEW, likelihood="test-cauchy", settings={"likelihood.gama": 0.5}).fit(X)
    register_part("likelihood", "test-cauchy", CauchyHead)  # a cell of a notebook that is run again
    with pytest.raises(ConfigError, match="already"):
        register_part("likelihood", "normal", CauchyHead)
    with pytest.raises(ConfigError, match="is not a name"):
        register_part("likelihood", "a b", CauchyHead)
    with pytest.raises(ConfigError, match=r"no part 'likelyhood'.*likelihood"):
        adopt({}, {"likelyhood": CauchyHead})


def TrainedModelOf(vae):
    """The estimator of the bytes of its model."""
    again = VAE(**FEW)
    again._restore(TrainedModel.from_bytes(vae.model_.with_facts(estimator=vae._facts()).to_bytes()), "test")
    return again


def call(*words):
    return subprocess.run([sys.executable, "-m", "latens.cli.main", *map(str, words)], capture_output=True, text=True)


def test_the_command_imports_parts(tmp_path):
    parts, data, run = tmp_path / "parts.py", tmp_path / "t.csv", tmp_path / "run"
    (tmp_path / "neighbour.py").write_text("from latens.models import AbstractHead as Head\n")
    parts.write_text(
        "import equinox as eqx, jax.numpy as jnp, latens\n"
        "from latens.distributions import StudentT\n"
        "from neighbour import Head\n"
        "class Cauchy(Head):\n"
        "    shape: tuple[int, ...] = eqx.field(static=True)\n"
        "    gamma: float = eqx.field(static=True, default=1.0)\n"
        "    def __call__(self, outputs):\n"
        "        ones = jnp.ones(self.shape)\n"
        "        return StudentT(outputs.reshape(self.shape), ones * jnp.log(self.gamma), 0 * ones)\n"
        "latens.register_part('likelihood', 'cauchy', Cauchy)\n"
    )
    np.savetxt(data, X, delimiter=",", header="a,b,c,d", comments="")

    chosen = ("--set", "likelihood=cauchy", "--set", "likelihood.gamma=0.5", "--steps", 2, "--num-samples", 5)
    fitted = call("fit", data, "--import", parts, *chosen, "--out", run, "--verbose")
    assert fitted.returncode == 0, fitted.stderr
    refused = call("evaluate", run)
    assert refused.returncode == 5
    assert "the likelihood 'cauchy' is not known here" in refused.stderr
    assert "--import FILE.py" in refused.stderr
    measured = call("evaluate", run, "--import", parts, "--num-samples", 5)
    assert measured.returncode == 0
    (line,) = [line for line in measured.stdout.splitlines() if "ELBO" in line]
    assert line in fitted.stdout + fitted.stderr
    parts.write_text("import latens\nlatens.register_part('likelihood', 'normal', 3)\n")
    wrong = call("evaluate", run, "--import", parts)
    assert wrong.returncode == 4
    assert "already" in wrong.stderr
    parts.write_text("1 / 0\n")
    assert "ZeroDivisionError in line 1" in call("evaluate", run, "--import", parts).stderr
