"""From a trained model to its pictures: which there are, and that they show the model's numbers."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from picture_fixtures import BITS, HISTORY, LEVELS, columns, data_of, model_of, pictured, trained_bits
from test_planes_and_columns import tiles

from latens import figures, latents
from latens.callbacks.plots import PlotsCallback
from latens.config import override
from latens.data import Column, Preparation, Schema, load
from latens.data.row_fields import evenly_spaced
from latens.errors import UsageError
from latens.figures import training_curves_table
from latens.figures.style import figure_of
from latens.fitting import prepare, train
from latens.model_figures.draw import FIRST, draw_pictures, draw_training, history_arrays, kept_step, save_pictures
from latens.model_figures.latent_pictures import WIDE, draw_latent, draw_traversals, view_of
from latens.model_figures.source import Source
from latens.model_figures.table_pictures import draw_reconstructions
from latens.models import BernoulliHead, CategoricalHead, DeterministicHead, NormalHead
from latens.objectives import ELBO
from latens.recipes import get_recipe
from latens.trained.trained_model import TrainedModel
from latens.training import Budget, Settings, Stage, fit, make_optimizer


def floats(table, *names):
    return np.array([table[name] for name in names], float).T


# --- numbers and rows ---


def test_events_come_back_in_the_units_of_the_stored_rows():
    def units(preparation, values, mean):
        return TrainedModel(None, LEVELS, preparation).data_units(np.array(values), mean=mean).tolist()

    assert units(Preparation(integer=True), [0, 16], False) == [0, 16]
    assert units(Preparation(divide=16.0), [0.25, 1.0], True) == [4.0, 16.0]
    assert units(Preparation(divide=16.0, binarize="threshold"), [0.0, 1.0], False) == [0.0, 16.0]
    noisy = Preparation(divide=17.0, dequantize=True)
    assert units(noisy, [3.0 / 17, 3.9 / 17, 16.9 / 17], False) == [3.0, 3.0, 16.0]
    np.testing.assert_allclose(units(noisy, [3.5 / 17, 0.5], True), [3.0, 8.0], rtol=1e-6)


def test_rows_are_taken_evenly():
    assert evenly_spaced(np.arange(10, 20), 4).tolist() == [10, 13, 16, 19]
    assert evenly_spaced(np.arange(3), 4).tolist() == [0, 1, 2]


# --- which pictures there are ---


@pytest.fixture
def no_files(monkeypatch):
    """Pictures are drawn, but not rendered: only their names come back."""
    monkeypatch.setattr(figures, "save", lambda axes, stem, table: [stem])


@pytest.mark.parametrize(
    ("trained", "data", "history", "expected"),
    [
        (
            trained_bits(),
            data_of(BITS),
            HISTORY,
            "training reconstructions samples manifold-linear manifold-percentile latent units",
        ),
        (trained_bits(units=3), data_of(BITS), [], "reconstructions samples latent units"),
        (trained_bits(units=1), data_of(BITS, labels=False), [], "reconstructions samples units"),
        (trained_bits(), None, [{"step": 3, "epoch": 1.0}], "samples manifold-linear manifold-percentile"),
        (trained_bits(posterior=DeterministicHead((2,))), data_of(BITS), [], "reconstructions latent"),
        (
            TrainedModel(model_of(NormalHead((3,))), Schema((3,), "real"), Preparation()),
            data_of(Schema((3,), "real", columns=(Column("a"), Column("b"), Column("c")))),
            HISTORY,
            "training latent units marginals",
        ),
    ],
    ids=["image", "three-units", "one-unit", "without-data", "autoencoder", "table"],
)
def test_every_picture_that_applies(no_files, tmp_path, trained, data, history, expected):
    written = save_pictures(draw_pictures(trained, data, history, only=FIRST), tmp_path)
    assert [path.name for path in written] == expected.split()


def test_pictures_show_the_numbers_of_the_model(tmp_path):
    trained = TrainedModel(
        model_of(CategoricalHead((8, 8), 17)), LEVELS, Preparation(integer=True), facts={"best_step": 10}
    )
    data = data_of(LEVELS)
    drawn = draw_pictures(trained, data, HISTORY, seed=3, only=FIRST)
    written, shown = save_pictures(drawn, tmp_path / "figures"), {name: axes for name, axes, _ in drawn}
    names = ["training", "latent", "units"]
    expected = {f"{name}.csv" for name in names} | {f"{name}.{kind}" for name in shown for kind in ("png", "svg")}
    assert {path.name for path in written} == expected
    table = {name: columns(tmp_path / "figures" / f"{name}.csv") for name in names}

    test = data.subset("test")
    codes = latents.encode(trained.rows(data, test))
    np.testing.assert_allclose(floats(table["latent"], "latent_0", "latent_1"), codes["mean"], rtol=1e-6)
    assert floats(table["latent"], "label")[:, 0].tolist() == (test % 3).tolist()
    np.testing.assert_allclose(
        np.sort(floats(table["units"], "kl")[:, 0])[::-1], np.sort(codes["kl"].mean(0, dtype=np.float64))[::-1]
    )
    assert floats(table["training"], "epoch", "validation_elbo").tolist() == [[1, -94], [2, -93], [3, -92]]

    rows = pictured(shown["reconstructions"])  # twelve in a line
    np.testing.assert_allclose(rows[:12], data.x[test].reshape(12, 64) / 16)
    levels = jnp.arange(17.0)

    def expected_mean(z):
        logits = trained.model.decoder.network(jnp.asarray(z, jnp.float32)).reshape(64, 17)
        return jax.nn.softmax(logits) @ levels / 16

    means = jax.vmap(expected_mean)(codes["mean"])
    np.testing.assert_allclose(rows[12:24], means, atol=2e-6)
    for name, grid in (("linear", figures.linear_grid(21)), ("percentile", figures.percentile_grid(21))):
        expected = jax.vmap(expected_mean)(grid.reshape(-1, 2))
        np.testing.assert_allclose(pictured(shown[f"manifold-{name}"], 21), expected, atol=2e-6)
    means, draws = map(pictured, shown["samples"])  # what one looks at first has no noise of its pixels
    assert len(draws) == len(means) == 25
    assert np.all(draws * 16 == np.round(draws * 16))
    # Both were made from the same z: draws scatter around their own means.
    np.testing.assert_allclose((draws - means).mean(), 0, atol=5 * draws.std() / np.sqrt(draws.size))


def test_a_thresholded_model_is_shown_what_it_saw():
    preparation = Preparation(divide=16.0, binarize="threshold", threshold=0.5)
    trained, data = TrainedModel(model_of(BernoulliHead((8, 8)), units=3), LEVELS, preparation), data_of(LEVELS)
    axes, _ = draw_reconstructions(Source(trained, data, 0))
    np.testing.assert_array_equal(pictured(axes)[:12], (data.x[data.subset("test")] > 8).reshape(12, 64))


def test_many_units_are_shown_on_their_principal_axes():
    trained, data = trained_bits(units=5), data_of(BITS, n=130)
    axes, table = draw_latent(Source(trained, data, 0))
    # 12 test rows are few: all 130 are shown, and the title says so.
    batch, key = trained.batch(data), jax.random.key(0)
    codes = latents.encode(trained.rows(batch, key=key))
    assert axes.get_title("left") == "Posterior means of 130 rows of every split"
    noise = np.exp(0.5 * np.asarray(codes["log_variance"], np.float64)).mean(0)
    mean = codes["mean"] / noise  # in posterior standard deviations
    values, vectors = np.linalg.eigh(np.cov(mean.T))
    for i, ax in enumerate((axes.get_xlabel(), axes.get_ylabel())):
        share = 100 * values[::-1][i] / values.sum()
        assert ax == f"principal axis {i + 1}: {share:.0f} % of the variance"
        vector = vectors[:, ::-1][:, i]
        vector = vector * np.sign(vector[np.abs(vector).argmax()])
        np.testing.assert_allclose(table[f"principal_{i + 1}"], (mean - mean.mean(0)) @ vector, atol=1e-6)
    assert view_of(np.array([*np.ndindex(20, 20), (999, 0)]))[2] == 1  # one far away


def test_the_step_that_is_kept_is_the_best_or_the_last():
    trained = replace(trained_bits(), facts={"best_step": 7, "steps": 9})
    assert kept_step(trained) == 7
    assert kept_step(replace(trained, config=get_recipe("tiao").config)) == 9  # which keeps the last weights
    assert kept_step(replace(trained, facts={"best_step": 0, "steps": 9})) == 9
    assert kept_step(trained_bits()) is None


# --- training curves ---


def test_the_kept_step_is_marked():
    history = [
        {"step": 10 * (i + 1), "epoch": (i + 1) / 7, "train_elbo": -50.0 + 0.1 * i, "validation_elbo": -60.0 + 0.1 * i}
        for i in range(40)
    ]
    trained = replace(trained_bits(), facts={"best_step": 250})
    axes, _ = draw_training(Source(trained, None, history=history))
    assert axes[0].get_title("right") == "kept epoch 3.57: validation \N{MINUS SIGN}57.60"
    figure_of(axes).clear()


def test_records_with_gaps_become_columns():
    table = training_curves_table(history_arrays([{"epoch": 1.0, "train_kl": 2.0, "event": "epoch"}, {"epoch": 2.0}]))
    np.testing.assert_array_equal(table["train_kl"], [2.0, np.nan])


# --- during training ---


def test_pictures_during_training_come_at_the_start_and_at_multiples_and_show_the_model_of_that_step(tmp_path):
    data = data_of(BITS)
    callback = PlotsCallback(tmp_path / "figures", data, 5, 7, preparation=Preparation())
    models = {}

    def keep(event):
        models[event.snapshot.loop.step] = event.model()

    fit(
        model_of(BernoulliHead((5, 4))),
        data,
        [Stage(ELBO(), make_optimizer(learning_rate=0.05), Budget(steps=17))],
        preparation=Preparation(),
        settings=Settings(batch_size=7, chunk_steps=3, stop_every=5, seed=1),
        callbacks=[callback, keep],
    )
    steps = [0, 5, 10, 15]
    expected = {f"{kind}-{step:010d}.png" for kind in ("samples", "reconstructions") for step in steps}
    assert {path.name for path in (tmp_path / "figures").iterdir()} == expected
    assert set(models) >= {0, 5, 10, 15}
    z = latents.sample_prior(models[5], 16, key=jax.random.split(jax.random.key(7), 3)[0])
    x = data.x[data.subset("validation")]
    for step in steps:
        model = models[step]
        means = jax.nn.sigmoid(jax.vmap(model.decoder.network)(jnp.asarray(z))).reshape(16, 5, 4)
        found = tiles(tmp_path / "figures" / f"samples-{step:010d}.png", (5, 4), across=4, scale=23)
        # Half a unit of rounding, and a last bit where another program computed the mean.
        np.testing.assert_allclose(np.stack(found)[..., 0], 255 * means, atol=0.501)
        found = tiles(tmp_path / "figures" / f"reconstructions-{step:010d}.png", (5, 4), across=8, scale=23)
        np.testing.assert_array_equal(np.stack(found[:8])[..., 0], 255 * x)
        codes = jax.vmap(model.encoder.network)(jnp.asarray(x, jnp.float32).reshape(8, 20))[:, :2]
        means = jax.nn.sigmoid(jax.vmap(model.decoder.network)(codes)).reshape(8, 5, 4)
        np.testing.assert_allclose(np.stack(found[8:])[..., 0], 255 * means, atol=0.501)
    with pytest.raises(UsageError, match="must be 1 or more, not 0"):
        PlotsCallback(tmp_path, data, 0, 7, preparation=Preparation())


def test_a_code_of_an_autoencoder_goes_over_its_own_range():
    chosen = {"training.steps": 5, "network.hidden": (8,), "posterior.latent_dim": 2}
    data = load("digits")
    trained, _ = train(prepare(override(get_recipe("autoencoder").config, chosen), data))
    source = Source(trained, data, 0)
    axes, _ = draw_traversals(source)
    unit, mean = source.posteriors.order[0], source.posteriors.mean
    low, high = np.percentile(mean[:, unit], (1.0, 99.0))
    assert f"code {unit}: {low:.3g} to {high:.3g}" == axes.get_yticklabels()[0].get_text()
    light = data.x[source.posteriors.positions].sum((1, 2))
    ends = np.tile(mean[np.argsort(light, kind="stable")[len(light) // 2]], (2, 1))
    ends[:, unit] = low, high
    first = source.decoded_images(ends).reshape(2, -1)
    assert np.allclose(pictured(axes)[[0, WIDE - 1]], np.clip(first, 0.0, 1.0), atol=1e-6)
    assert "percentile" in axes.get_title(loc="left")
