"""The salts of random keys: each in the register once, and no two that meet share a number."""

import ast
from functools import cache

import jax
import numpy as np
import pytest
from paths import SOURCE
from training_fixtures import make_data, make_model, run

from latens.errors import ConfigError
from latens.evaluation import decode, sample_prior
from latens.evaluation.batched import Rows, prepared_rows
from latens.io import keys

REGISTER = {name: value for name, value in vars(keys).items() if name.isupper()}
PERMUTED = np.array([2, 0, 3, 1])


@cache
def folds() -> list[tuple[str, str]]:
    """The folded key and the number of every call of `fold_in` in the package, as they are written."""
    sources = [text for path in SOURCE.rglob("*.py") if "fold_in" in (text := path.read_text())]
    nodes = [(text, node) for text in sources for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    calls = [(text, node.args) for text, node in nodes if ast.unparse(node.func).endswith("fold_in")]
    return [(ast.unparse(key), ast.get_source_segment(text, number) or "") for text, (key, number) in calls]


def salts(of_seeds: bool) -> set[str]:
    """The names in the register that are folded into the key of a seed, made on the spot, or into any other key."""
    names = {(name.removeprefix("keys."), key.startswith(("jax.random.key(", "seed_key("))) for key, name in folds()}
    return {name for name, seed in names if name in REGISTER and seed is of_seeds}


def test_no_salt_stands_outside_the_register() -> None:
    assert len(folds()) > 80
    assert [number for _, number in folds() if "0x" in number.lower()] == []
    assert salts(of_seeds=True) | salts(of_seeds=False) == set(REGISTER)


def test_salts_of_keys_that_meet_are_distinct() -> None:
    seeds, others = salts(of_seeds=True), salts(of_seeds=False)
    assert seeds & others == set()
    for group in (seeds, others):
        assert len({REGISTER[name] for name in group}) == len(group) >= 7
    shared = [(one, two) for one in others for two in seeds if REGISTER[one] == REGISTER[two]]
    assert shared == [("LABEL_NETWORK_DROPOUT", "CLASSIFIER_SAMPLES")]  # both are published with this number


SETTINGS = {
    "rbg": (jax.default_prng_impl, "rbg", r"generator 'rbg'.*unset JAX_DEFAULT_PRNG_IMPL"),
    "unsafe_rbg": (jax.default_prng_impl, "unsafe_rbg", r"generator 'unsafe_rbg'.*unset JAX_DEFAULT_PRNG_IMPL"),
    "old Threefry": (jax.threefry_partitionable, False, r"unset JAX_THREEFRY_PARTITIONABLE"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_under_which_noise_would_be_other_noise_are_refused(name: str) -> None:
    """In training, in every evaluation of rows, and where latents are sampled and decoded."""
    setting, value, message = SETTINGS[name]
    batch, model = make_data().rows(np.arange(4)), make_model()
    with setting(value):
        key = jax.random.key(0)
        for refused in (
            run,
            lambda: prepared_rows(Rows(None, batch, key)),
            lambda: sample_prior(model, 3, key=key),
            lambda: decode(model, np.zeros((3, 2)), key=key),
        ):
            with pytest.raises(ConfigError, match=message):
                refused()


@pytest.mark.parametrize("kind", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_why_a_generator_is_refused(kind: str) -> None:
    """The noise of rows by their ids, permuted: Threefry's is that of the row, the others' that of the place."""
    key = jax.random.key(0, impl=kind)
    noise = jax.jit(jax.vmap(lambda row_id: jax.random.normal(jax.random.fold_in(key, row_id))))
    same = np.array_equal(noise(PERMUTED), np.asarray(noise(np.arange(4)))[PERMUTED])
    assert same is (kind == "threefry2x32")
