"""The kind of the cells of an array follows from the likelihood that is named."""

import numpy as np
import pytest

import latens
from latens import VAE
from latens.errors import DataError, ResourceError

FEW = {"steps": 10, "random_state": 0}
RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("likelihood", "X", "kind"),
    [
        ("poisson", RNG.poisson(3.0, (60, 3)), "counts"),
        ("negative-binomial", RNG.poisson(3.0, (60, 3)).astype(float), "counts"),
        ("continuous-bernoulli", RNG.beta(2.0, 3.0, (60, 3)), "unit"),
        ("bernoulli", RNG.beta(2.0, 3.0, (60, 3)), "unit"),
        ("categorical", RNG.integers(0, 5, (60, 3)), "levels"),
        ("normal", RNG.poisson(3.0, (60, 3)), "real"),
        ("auto", RNG.poisson(3.0, (60, 3)), "real"),
    ],
)
def test_a_likelihood_that_is_named_says_what_the_cells_are(likelihood, X, kind):
    model = VAE(2, likelihood=likelihood, **FEW).fit(X)
    assert model.model_.schema.kind == kind
    assert np.all(np.isfinite(model.score_samples(X[:3])))


def test_numbers_beyond_double_precision_are_refused_in_words():
    model = VAE(2, **FEW).fit(RNG.normal(size=(60, 2)))
    with pytest.raises(DataError, match="double precision"):
        model.transform([[10**400, 0]])
    with pytest.raises(ResourceError, match="rows take"):
        model.sample(10**400)


def test_conditions_of_a_frame_of_numbers_are_given_to_samples():
    import pandas as pd

    dose = RNG.choice([1.0, 2.0], 300)
    frame = pd.DataFrame({"a": RNG.normal(size=300) + 9 * dose, "b": RNG.normal(size=300), "dose": dose})
    model = VAE(2, recipe="conditional-vae", steps=200, random_state=0).fit(latens.Numbers(frame, condition=["dose"]))
    low, high = (np.mean(model.sample(200, given={"dose": one})[:, 0]) for one in (1.0, 2.0))
    assert high - low > 4
