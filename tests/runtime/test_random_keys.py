"""The salts of random keys: each in the register once, and no two that meet share a number."""

import ast
from functools import cache

import jax
import numpy as np
import pytest
from paths import SOURCE
from training_fixtures import make_data, make_model, run

from latens.errors import ConfigError
from latens.evidence.batched import ModelRows, prepared_rows
from latens.latents import decode, sample_prior
from latens.runtime import random_keys

REGISTER = {name: value for name, value in vars(random_keys).items() if name.isupper()}


@cache
def folds() -> list[tuple[str, str]]:
    """The folded key and the number of every call of `fold_in` and its like in the package, as they are written."""
    names = ("fold_in", "folded", "of_seed")
    sources = [text for path in SOURCE.rglob("*.py") if any(name in (text := path.read_text()) for name in names)]
    nodes = [(text, node) for text in sources for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    calls = [(text, node) for text, node in nodes if ast.unparse(node.func).endswith(names) and len(node.args) == 2]
    found = []
    for text, node in calls:
        key = "jax.random.key(" if ast.unparse(node.func).endswith("of_seed") else ast.unparse(node.args[0])
        found.append((key, ast.get_source_segment(text, node.args[1]) or ""))
    return found


def salts(of_seeds: bool) -> set[str]:
    """The names in the register that are folded into the key of a seed, made on the spot, or into any other key."""
    names = {(name.removeprefix("random_keys."), k.startswith(("jax.random.key(", "seed_key("))) for k, name in folds()}
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


def test_keys_made_on_the_host_are_those_of_jax() -> None:
    for seed in (0, 5, 2**31, 2**32 + 5, -1, -(2**33), 2**63 - 1):
        for salts in ((), (3,), (2**31, 7), (random_keys.VALIDATION, 1)):
            expected = jax.random.key(seed)
            for salt in salts:
                expected = jax.random.fold_in(expected, salt)
            assert random_keys.of_seed(seed, *salts) == expected
    parts = jax.random.split(jax.random.key(9), 3)
    for number, part in enumerate(parts):
        assert random_keys.folded(jax.random.key(9), number) == part
    with jax.default_prng_impl("rbg"):
        assert random_keys.of_seed(4, 2) == jax.random.fold_in(jax.random.key(4), 2)


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
            lambda: prepared_rows(ModelRows(None, batch, key)),
            lambda: sample_prior(model, 3, key=key),
            lambda: decode(model, np.zeros((3, 2)), key=key),
        ):
            with pytest.raises(ConfigError, match=message):
                refused()
