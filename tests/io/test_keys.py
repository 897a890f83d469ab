"""The salts of random keys: each in the register once, and no two that meet share a number."""

import ast
from functools import cache

from paths import SOURCE

from latens.io import keys

REGISTER = {name: value for name, value in vars(keys).items() if name.isupper()}


@cache
def folds() -> list[tuple[str, str]]:
    """The folded key and the number of every call of `fold_in` in the package, as they are written."""
    sources = [text for path in SOURCE.rglob("*.py") if "fold_in" in (text := path.read_text())]
    nodes = [(text, node) for text in sources for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    calls = [(text, node.args) for text, node in nodes if ast.unparse(node.func).endswith("fold_in")]
    return [(ast.unparse(key), ast.get_source_segment(text, number) or "") for text, (key, number) in calls]


def salts(of_seeds: bool) -> set[str]:
    """The names in the register that are folded into the key of a seed, made on the spot, or into any other key."""
    names = {(name.removeprefix("keys."), key.startswith("jax.random.key(")) for key, name in folds()}
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
