"""Every objective with every prior and posterior: it goes together, or is refused before training with the reason."""

import pytest
from training_fixtures import make_data

from latens.config import override
from latens.errors import ConfigError
from latens.fitting import prepare
from latens.recipes import get_recipe
from latens.recipes.part_tables import OBJECTIVES, options_of

POSTERIORS = {
    "normal": {},
    "flow": {"posterior": "iaf"},
    "levels": {"posterior.levels": "2"},
    "deterministic": {"posterior": "deterministic"},
    "vq": {"posterior": "vq", "posterior.code_dim": 3, "posterior.codes": 4},
    "normal, mixture prior": {"prior": "mixture", "prior.components": 3},
    "normal, vamp prior": {"prior": "vamp", "prior.components": 3},
    "experts": {"posterior": "experts"},
}
EXACT = ("normal", "experts")  # the only ones with a KL in closed form
OF_EXPERTS = ("stratified-elbo", "subset-elbo")
BY_UNIT = {"beta-tc": ("flow", "levels"), "dip": ("flow", "levels")}
"""Objectives that need a posterior with one density a unit."""


def outcome(objective: str, parts: str, **settings: object) -> ConfigError | None:
    """None, or why it is refused."""
    config = get_recipe("default").config
    small = {"network.hidden": 4, "posterior.latent_dim": 3, "training.steps": 1}
    try:
        chosen = {**small, "objective": objective, **POSTERIORS[parts], **settings}
        prepare(override(config, chosen), make_data())
    except ConfigError as error:
        return error
    return None


DETERMINISTIC = ("aae", "reconstruction", "regularised", "wae")
"""The objectives that need no density of z."""


@pytest.mark.parametrize("parts", POSTERIORS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_pairing_works_or_is_refused_with_its_reason(objective: str, parts: str) -> None:
    refused = outcome(objective, parts)
    analytic = "kl" in options_of(OBJECTIVES[objective]).__struct_fields__
    if objective == "semi-supervised":
        assert refused is not None  # it needs a model that predicts labels
        assert refused.where == "objective.name"
    elif objective in OF_EXPERTS:
        assert (refused is None) is (parts == "experts")
        assert refused is None or refused.where == "objective.name"
    elif objective == "gan":
        assert (refused is None) is (parts == "deterministic")  # there is no likelihood that a density of z could serve
    elif parts == "deterministic":
        assert (refused is None) is (objective in DETERMINISTIC)
    elif parts == "vq" or objective == "quantised":
        assert (refused is None) is (parts == "vq" and objective == "quantised")
        assert refused is None or "do not go together" in refused.message
    elif parts in BY_UNIT.get(objective, ()):
        assert refused is not None
        assert "factorises over its units" in refused.message
    else:
        assert refused is None
        if analytic and parts not in EXACT:
            refused = outcome(objective, parts, **{"objective.kl": "analytic"})
            assert refused is not None
            assert (refused.where, "objective.kl=sampled" in refused.fix) == ("objective.kl", True)
    if refused is not None:
        assert min(map(len, (refused.message, refused.where, refused.fix))) > 0


@pytest.mark.parametrize("parts", [name for name in POSTERIORS if name not in (*EXACT, "deterministic", "vq")])
def test_free_bits_need_units(parts: str) -> None:
    refused = outcome("elbo", parts, **{"objective.kl": "sampled", "objective.free_bits": 0.1})
    assert refused is not None
    assert (refused.where, refused.message.startswith("free bits count by unit")) == ("objective.free_bits", True)
