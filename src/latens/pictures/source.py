"""Rows and draws that pictures need, in the data's own units, with fixed keys."""

import jax
import numpy as np

from latens import evaluation
from latens.config import VAEConfig
from latens.data import Dataset
from latens.data.batches import Batch
from latens.distributions import StandardNormal
from latens.evaluation.batched import prepared_rows
from latens.models import BayesClassifier, DeterministicHead
from latens.parts.posteriors import posterior_of
from latens.pictures.classes import MOST_CLASSES
from latens.pictures.images import image_shape, shown
from latens.workflow.trained import TrainedModel


class Source:
    """A trained model and its data, as pictures ask for them: in the data's own units, with fixed keys."""

    def __init__(self, trained: TrainedModel, data: Dataset | None, seed: int) -> None:
        self.trained, self.data, self.schema = trained, data, trained.schema
        self.is_image = image_shape(trained.schema) is not None
        keys = jax.random.split(jax.random.key(seed), 3)
        self.prior_key, self.event_key, self.row_key = keys[0], keys[1], keys[2]
        self.is_classifier = isinstance(trained.model, BayesClassifier)
        head = getattr(getattr(trained.model, "encoder", None), "head", None)
        self.has_prior = not isinstance(head, DeterministicHead)  # an autoencoder's codes follow no prior
        config = trained.config
        self.support = posterior_of(config.posterior).support if isinstance(config, VAEConfig) else "vector"
        self.standard_normal = isinstance(getattr(trained.model, "prior_part", None), StandardNormal)
        real = data is not None and trained.schema.kind == "real"
        self.limits = (float(data.x.min()), float(data.x.max())) if real and data is not None else None

    def held_out(self, most: int, *names: str) -> tuple[np.ndarray, str]:
        """At most `most` rows, evenly spaced, of the first split named that has any, and its name."""
        assert self.data is not None
        name = next((name for name in names if len(self.data.subset(name))), "train")
        return evenly(self.data.subset(name), most), name

    def originals(self, batch: Batch) -> np.ndarray:
        """The rows as stored; binarised ones as the model saw them."""
        preparation = self.trained.preparation
        if preparation.binarize == "none":
            return np.asarray(batch.x)
        return prepared_rows(batch, preparation=preparation, key=self.row_key) * preparation.divide

    def reconstructions(self, batch: Batch) -> np.ndarray:
        model, preparation = self.trained.model, self.trained.preparation
        values = evaluation.reconstruct(model, batch, preparation=preparation, key=self.row_key)
        return self.trained.data_units(values, mean=True)

    def latents(self, n: int, codes: np.ndarray | None = None) -> np.ndarray:
        """Draws from the prior; of a conditional model every class in turn, unless others are named."""
        return evaluation.sample_prior(self.trained.model, n, key=self.prior_key, cond=self.cond(n, codes))

    def decoded(self, z: np.ndarray, codes: np.ndarray | None = None, *, mean: bool = True) -> np.ndarray:
        values = evaluation.decode(self.trained.model, z, key=self.event_key, mean=mean, cond=self.cond(len(z), codes))
        return self.trained.data_units(values, mean=mean)

    def cond(self, n: int, codes: np.ndarray | None) -> dict[str, np.ndarray] | None:
        # In turn, so that the columns of a picture are classes.
        return self.trained.condition(self.trained.in_turn(n, most=MOST_CLASSES) if codes is None else codes)

    def samples(self, n: int) -> np.ndarray:
        """Draws of whole rows."""
        if not self.is_classifier:
            codes = None
            if self.trained.preparation.classes and self.data is not None and self.data.label is not None:
                codes = np.resize(self.data.label[self.data.label >= 0], n)  # as often as in the data
            return self.decoded(self.latents(n, codes), codes, mean=False)
        rows = evaluation.sample_classes(self.trained.model, n, key=self.prior_key).x
        return self.trained.data_units(rows, mean=False)

    def images(self, values: np.ndarray) -> np.ndarray:
        return shown(self.schema, values, self.limits)


def evenly(positions: np.ndarray, most: int) -> np.ndarray:
    """At most `most` of the positions, evenly spaced, in order: sorted data must not show one class only."""
    if len(positions) <= most:
        return positions
    return positions[np.linspace(0, len(positions) - 1, most).round().astype(np.int64)]
