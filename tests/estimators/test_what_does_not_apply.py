"""Cells that do not apply, in Python: left empty by `VAE.impute`, and by `VAEImputer` where it is asked to."""

import numpy as np
import pandas as pd
import pytest

from latens import VAE, VAEImputer
from latens.errors import ConfigError

STEPS = {"training.steps": 2, "start": "none", "network.hidden": [4], "posterior.latent_dim": 2}


def parcels(rows: int = 400) -> pd.DataFrame:
    """Parcels of which the damaged ones have a claim, and some weights are not known."""
    rng = np.random.default_rng(0)
    damaged = rng.random(rows) < 0.4
    frame = pd.DataFrame({"damaged": np.where(damaged, "yes", "no"), "weight": rng.gamma(3.0, 2.0, rows).round(1)})
    frame["claim"] = np.where(damaged, rng.gamma(4.0, 20.0, rows).round(2), np.nan)
    frame.loc[:9, "weight"] = np.nan
    frame.loc[np.flatnonzero(damaged)[:5], "claim"] = np.nan
    return frame


def test_impute_leaves_what_does_not_apply_empty() -> None:
    frame = parcels()
    no = (frame["damaged"] == "no").to_numpy()
    vae = VAE(settings=STEPS, random_state=0).fit(frame)
    for made in (vae.impute(frame, num_samples=5), *vae.impute(frame, n_draws=2, num_samples=5)):
        np.testing.assert_array_equal(made["claim"].isna(), no)
        assert made["weight"].notna().all()
    assert vae.impute(frame, num_samples=5, inapplicable="fill").notna().all(axis=None)
    with pytest.raises(ConfigError, match="inapplicable: must be one of 'keep', 'fill', and is 'empty'"):
        vae.impute(frame, inapplicable="empty")


def test_the_imputer_fills_it_unless_it_is_asked_not_to() -> None:
    frame = parcels()
    no = (frame["damaged"] == "no").to_numpy()
    for word in ("fill", "keep"):
        full = VAEImputer(settings=STEPS, copula="none", num_samples=5, inapplicable=word, random_state=0)
        for made in (full.fit_transform(frame), *full.draws(frame, 2)):
            np.testing.assert_array_equal(made["claim"].isna(), no if word == "keep" else np.zeros(400, bool))
            assert made["weight"].notna().all()
    with pytest.raises(ConfigError, match="inapplicable: must be one of 'keep', 'fill'"):
        full.set_params(inapplicable=True).transform(frame)
