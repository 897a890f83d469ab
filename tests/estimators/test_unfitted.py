"""Every method of every estimator says that it is not fitted, as scikit-learn's do."""

import re
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from latens import VAE, Autoencoder, GenerativeClassifier
from latens.errors import LatensError

NEEDS_NO_FIT = {
    "fit", "fit_transform", "get_metadata_routing", "get_params", "load", "partial_fit", "set_fit_request",
    "set_inverse_transform_request", "set_output", "set_params", "set_predict_proba_request", "set_predict_request",
    "set_score_request", "set_transform_request",
}  # fmt: skip
X = np.zeros((4, 3))
ARGUMENTS = {
    "save": ("never.safetensors",),
    "inverse_transform": (X,),
    "score": (X, np.zeros(4)),
    "interpolate": (X, X),
}
NONE_NEEDED = ("sample", "prior_predictive", "get_feature_names_out")


@pytest.mark.parametrize("half", [False, True], ids=["new", "after a fit that was refused"])
@pytest.mark.parametrize("estimator", [VAE(), VAE(recipe="m2"), Autoencoder(), GenerativeClassifier()], ids=str)
def test_every_method_says_that_it_is_not_fitted(estimator: Any, half: bool) -> None:
    estimator = type(estimator)(**estimator.get_params())
    if half:
        wrong = {"density": "none"} if isinstance(estimator, GenerativeClassifier) else {"likelihood": "bernoulli"}
        with pytest.raises(LatensError):
            estimator.set_params(**wrong).fit(X + 5.5, np.arange(4) % 2)
        assert not hasattr(estimator, "n_features_in_")  # a fit that fails leaves nothing behind
    names = [n for n in dir(estimator) if not n.startswith("_") and not n.endswith("_") and n not in NEEDS_NO_FIT]
    names = [n for n in names if not re.fullmatch(r"set_\w+_request", n)]  # scikit-learn's own
    methods = [n for n in names if callable(getattr(estimator, n, None))]
    checked = 0
    for name in methods:
        arguments = ARGUMENTS.get(name, () if name in NONE_NEEDED else (X,))
        with pytest.raises(NotFittedError):
            getattr(estimator, name)(*arguments)
        checked += 1
    assert checked >= 6, methods


def test_three_parameters_are_the_vaes_alone_and_reach_its_configuration() -> None:
    config = VAE(beta=0.5, prior="mixture", posterior="full-normal")._configure(0)
    assert config.objective.options["beta"] == 0.5
    assert (config.prior.kind, config.posterior.kind) == ("mixture", "full-normal")
    own = {"prior", "posterior", "beta"}
    assert set(VAE().get_params()) - set(Autoencoder().get_params()) == own
    for name in own:
        with pytest.raises(TypeError, match=name):
            Autoencoder(**{name: None})  # pyright: ignore[reportArgumentType]
