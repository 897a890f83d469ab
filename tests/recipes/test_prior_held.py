"""What of a mixture as prior no gradient reaches is said before training, and stays as it was."""

import equinox as eqx
import jax
import numpy as np
import pytest

from latens.config import override
from latens.data import load, prepare_batch
from latens.recipes import get_recipe
from latens.trained.experiment import Experiment, _slope, prepare

ROWS = load(np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32))
SMALL = {"network.hidden": [4], "posterior.latent_dim": 2, "training.steps": 2, "prior.kind": "mixture"}
SAID = {
    "elbo": "",
    "wae": "the weights of the mixture stay equal",
    "info-vae": "the weights of the mixture are trained by the KL alone",
    "aae": "the mixture stays as it was drawn",
}


def of(objective: str, prior: str = "mixture", **options: object) -> Experiment:
    given = {**SMALL, "prior.kind": prior, "objective.name": objective} | {
        f"objective.{n}": v for n, v in options.items()
    }
    return prepare(override(get_recipe("default").config, given), ROWS)


def said(experiment: Experiment) -> list[str]:
    return [reason for reason in experiment.reasons if reason.startswith("prior: ")]


def test_what_is_not_trained_is_said() -> None:
    """Before, nothing was said, and the weights of the mixture stayed as they were."""
    assert said(of("wae")) == [
        "prior: the weights of the mixture stay equal, as wae compares draws of it, which have no gradient by it; "
        "use --set objective=elbo, or `latens refit RUN --prior mixture` afterwards"
    ]
    assert said(of("aae"))[0].startswith("prior: the mixture stays as it was drawn, as aae compares draws of it")
    assert said(of("wae", "standard-normal")) == said(of("elbo")) == []


@pytest.mark.parametrize("objective", SAID)
def test_what_is_said_not_to_be_trained_has_no_gradient(objective: str) -> None:
    experiment = of(objective)
    assert len(said(experiment)) == bool(SAID[objective])
    assert all(reason.startswith(f"prior: {SAID[objective]}, as {objective} compares") for reason in said(experiment))
    batch = prepare_batch(experiment.preparation, ROWS.rows(np.arange(20)), key=None)
    objects = experiment.new_model(), experiment.stages()[-1].objective
    slope = eqx.filter_jit(_slope)(*objects, batch, jax.random.key(1), False)[0].prior_part
    logits, loc = (float(np.abs(getattr(slope, name)).max()) for name in ("logits", "loc"))
    assert (logits > 1e-6) == (objective in ("elbo", "info-vae"))
    assert (loc > 1e-6) == (SAID[objective] != "the mixture stays as it was drawn")
