"""What the estimators of one task share: models of rows with gaps, of an array or of a frame with any columns."""

from collections.abc import Mapping
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils import Tags

from latens.config import VAEConfig
from latens.estimators.base import given_settings
from latens.estimators.vae import VAE


class RowsEstimator(BaseEstimator):
    """An estimator that trains one `VAE` or several."""

    columns: Mapping[str, Any] | None
    recipe: str | VAEConfig
    settings: Mapping[str, Any] | None

    def _new(
        self, seed: int, usual: Mapping[str, Any] | None = None, *, typed: bool = False, recipe: VAEConfig | None = None
    ) -> VAE:
        """A `VAE` that is not fitted yet; settings of the user come before the usual ones of a task."""
        settings = {**(usual or {}), **given_settings(self.settings)}
        settings["columns"] = {} if typed and self.columns is None else self.columns
        made = VAE(recipe=recipe or self.recipe, settings=settings, random_state=seed)
        vars(made)["_asked"] = [*self.get_params(deep=False)]  # what a remedy may name
        return made

    def __sklearn_is_fitted__(self) -> bool:
        """Whether a fit has come to its end."""
        return hasattr(self, "model_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
