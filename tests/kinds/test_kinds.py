"""A kind of rows is an object: it declares what may be said once, for Python and for the command."""

import runpy

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from paths import ROOT

import latens
from latens.cli.arguments import subparsers
from latens.distributions import NegativeBinomial
from latens.errors import UsageError
from latens.kinds import FLAGS, KINDS, OPTIONS, Kind

RNG = np.random.default_rng(0)
FRAME = pl.DataFrame(
    {"a": RNG.normal(size=120).round(2), "b": RNG.choice(["x", "y"], 120), "c": RNG.integers(0, 9, 120)}
)
LONG = pl.DataFrame({"id": np.repeat(np.arange(30), 4), "t": np.tile(np.arange(4), 30), "v": RNG.normal(size=120)})


def test_every_option_is_of_one_kind_or_of_all() -> None:
    own = [name for kind in (Kind, *KINDS) for name in kind.options()]
    assert sorted(own) == sorted(OPTIONS)
    assert len(FLAGS) == len(OPTIONS)


def test_every_option_is_a_flag_of_the_commands_that_read_rows() -> None:
    commands = subparsers()
    for name in ("fit", "check", "evaluate", "encode"):
        known = set(commands[name]._option_string_actions)
        training = name in ("fit", "check")
        wanted = {f"--{flag.replace('_', '-')}" for flag, one in FLAGS.items() if training or not OPTIONS[one].training}
        assert wanted <= known, name


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (latens.Table(FRAME, label="b"), {"label": "b", "typed": True}),
        (latens.Steps(LONG, sequence="id", time="t"), {"sequence": "id", "time": "t"}),
        (latens.Numbers(FRAME.select("a", "c"), counts=False), {"counts": False}),
        (latens.Text(["abc", "abd", "ab"] * 20), {"pieces": "characters"}),
        (latens.Pictures(RNG.integers(0, 255, (60, 8, 8)).astype(np.uint8)), {}),
    ],
)
def test_a_named_kind_is_what_its_options_say(kind: Kind, options: dict) -> None:
    found, same = latens.read(kind), latens.read(kind.source, **options)
    assert (found.fingerprint, found.schema) == (same.fingerprint, same.schema)


def test_an_estimator_takes_lines_of_text() -> None:
    kind = latens.Text(["abc", "abd", "ab"] * 20)
    vae = latens.VAE(epochs=1, random_state=0).fit(kind)
    assert len(vae.transform(kind)) == len(latens.read(kind))
    assert len(vae.sample(3)) == 3


def test_new_rows_may_lack_the_label() -> None:
    vae = latens.VAE(epochs=1, random_state=0).fit(latens.Table(FRAME, label="b"))
    without = latens.Table(FRAME.drop("b"), label="b")
    assert np.array_equal(vae.transform(without), vae.transform(latens.Table(FRAME, label="b")))


def test_what_no_kind_knows_is_refused() -> None:
    with pytest.raises(UsageError, match=r"there is no option 'labl'.*'label'"):
        latens.read(FRAME, labl="b")
    with pytest.raises(UsageError, match=r"'label' is given in addition to a kind of rows.*latens\.Table"):
        latens.read(latens.Table(FRAME), label="b")
    with pytest.raises(TypeError):
        latens.Pictures("photos", pieces="words")  # type: ignore[call-arg]


def test_directions_on_a_circle_are_one_file() -> None:
    """`examples/angles.py`: a kind, its likelihood, and a density that does not know where a turn begins."""
    stats = pytest.importorskip("scipy.stats")
    assert (ROOT / "examples" / "angles.py").read_text().count("\n") <= 120
    made = runpy.run_path(str(ROOT / "examples" / "angles.py"))
    angles, given = made["Angles"], made["winds"](300)
    found = latens.read(angles(given))
    np.testing.assert_allclose(np.cos(np.deg2rad(found.x)), np.cos(np.deg2rad(given)), atol=1e-5)
    assert np.abs(found.x).max() <= 180
    hours = latens.read(angles(np.array([[23.0], [1.0], [25.0], [0.5]]), turn=24.0))
    assert hours.x[:, 0].tolist() == [-1.0, 1.0, 1.0, 0.5]
    one = made["VonMises"](jnp.array([0.3]), jnp.log(jnp.array([2.5])))
    assert float(one.log_prob(jnp.array([2.0]))) == pytest.approx(stats.vonmises.logpdf(2.0, 2.5, 0.3), abs=1e-5)
    vae = latens.VAE(2, likelihood=made["VonMisesHead"], epochs=1, random_state=0).fit(angles(given))
    scores = vae.score_samples(angles(given[:20]))
    np.testing.assert_allclose(vae.score_samples(angles(given[:20] + 360)), scores, rtol=1e-4)
    assert np.abs(vae.sample(50)).max() <= 180.001


def test_bags_of_words_are_one_file() -> None:
    """`examples/bag_of_words.py`: a kind that counts words, its likelihood, and bags drawn from it."""
    stats = pytest.importorskip("scipy.stats")
    assert (ROOT / "examples" / "bag_of_words.py").read_text().count("\n") <= 120
    made = runpy.run_path(str(ROOT / "examples" / "bag_of_words.py"))
    bags, words, lines = made["Bags"], made["WORDS"], made["texts"](200)[0]
    found = latens.read(bags([*lines, "wind wind unknown salt"], vocabulary=words))
    assert found.schema.kind == "counts"
    assert tuple(one.name for one in found.schema.columns or ()) == words
    last = dict(zip(words, np.asarray(found.x)[-1].tolist()))
    assert {word: n for word, n in last.items() if n} == {"wind": 2, "salt": 1}
    logits, event = jnp.log(jnp.array([0.2, 0.5, 0.3])), np.array([2.0, 0.0, 3.0])
    one = made["BagOfWords"](logits, NegativeBinomial(jnp.log(jnp.array([4.0])), jnp.log(jnp.array([2.0]))))
    expected = stats.multinomial.logpmf(event, 5, [0.2, 0.5, 0.3]) + stats.nbinom.logpmf(5, 2.0, 2.0 / 6.0)
    assert float(one.log_prob(jnp.asarray(event))) == pytest.approx(expected, abs=1e-4)
    drawn = np.asarray(jax.vmap(lambda key: one.sample(key=key))(jax.random.split(jax.random.key(0), 4000)))
    error = 5 * drawn.std(axis=0) / np.sqrt(4000)
    assert (np.abs(drawn.mean(axis=0) - np.asarray(one.mean())) < error).all()
    vae = latens.VAE(2, likelihood="bag-of-words", epochs=1, random_state=0).fit(bags(lines, vocabulary=words))
    drawn = vae.sample(20)
    assert drawn.shape == (20, len(words))
    assert (drawn == np.floor(drawn)).all()
    assert np.isfinite(vae.score_samples(bags(lines[:5], vocabulary=words))).all()
