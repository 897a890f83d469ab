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
    """A trained model and its data, as pictures ask for them: in the units of the data, with fixed keys.

    Args:
        trained: The model.
        data: Its data, or None.
        seed: Seed of all samples.
    """

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
        """Choose rows, evenly spaced, of the first split that has any.

        Args:
            most: At most so many rows.
            *names: Names of splits in the order of preference; training rows where none has rows.

        Returns:
            Positions of the rows, and the name of the split.
        """
        assert self.data is not None
        name = next((name for name in names if len(self.data.subset(name))), "train")
        return evenly(self.data.subset(name), most), name

    def originals(self, batch: Batch) -> np.ndarray:
        """Give the rows as stored; binarised ones as the model saw them.

        Args:
            batch: The rows.

        Returns:
            Rows, led by n.
        """
        preparation = self.trained.preparation
        if preparation.binarize == "none":
            return np.asarray(batch.x)
        return prepared_rows(batch, preparation=preparation, key=self.row_key) * preparation.divide

    def reconstructions(self, batch: Batch) -> np.ndarray:
        """Reconstruct rows by the mean of p(x|z), in the units of the data.

        Args:
            batch: The rows.

        Returns:
            Reconstructions, led by n.
        """
        model, preparation = self.trained.model, self.trained.preparation
        values = evaluation.reconstruct(model, batch, preparation=preparation, key=self.row_key)
        return self.trained.data_units(values, mean=True)

    def latents(self, n: int, codes: np.ndarray | None = None) -> np.ndarray:
        """Sample latents from the prior; of a conditional model every class in turn, unless others are named.

        Args:
            n: Number of samples.
            codes: Classes of a conditional model, shape (n,); None takes them in turn.

        Returns:
            Latents, led by n.
        """
        return evaluation.sample_prior(self.trained.model, n, key=self.prior_key, cond=self.cond(n, codes))

    def decoded(self, z: np.ndarray, codes: np.ndarray | None = None, *, mean: bool = True) -> np.ndarray:
        """Decode latents, in the units of the data.

        Args:
            z: Latents, led by n.
            codes: Classes of a conditional model, shape (n,); None takes them in turn.
            mean: Whether to give the means of p(x|z), or else samples.

        Returns:
            Rows, led by n.
        """
        values = evaluation.decode(self.trained.model, z, key=self.event_key, mean=mean, cond=self.cond(len(z), codes))
        return self.trained.data_units(values, mean=mean)

    def cond(self, n: int, codes: np.ndarray | None) -> dict[str, np.ndarray] | None:
        # In turn, so that the columns of a picture are classes.
        """Make the condition of n rows of a conditional model.

        Args:
            n: Number of rows.
            codes: Classes, shape (n,); None takes them in turn.

        Returns:
            The condition; None for models without one.
        """
        return self.trained.condition(self.trained.in_turn(n, most=MOST_CLASSES) if codes is None else codes)

    def samples(self, n: int) -> np.ndarray:
        """Sample whole rows from the model, in the units of the data.

        Args:
            n: Number of rows.

        Returns:
            Rows, led by n.
        """
        if not self.is_classifier:
            codes = None
            if self.trained.preparation.classes and self.data is not None and self.data.label is not None:
                codes = np.resize(self.data.label[self.data.label >= 0], n)  # as often as in the data
            return self.decoded(self.latents(n, codes), codes, mean=False)
        rows = evaluation.sample_classes(self.trained.model, n, key=self.prior_key).x
        return self.trained.data_units(rows, mean=False)

    def images(self, values: np.ndarray) -> np.ndarray:
        """Turn rows in the units of the data into images on the scale 0 to 1.

        Args:
            values: Rows, led by n.

        Returns:
            Images, shape (n, H, W) or (n, H, W, C).
        """
        return shown(self.schema, values, self.limits)


def evenly(positions: np.ndarray, most: int) -> np.ndarray:
    """Choose positions evenly spaced, in order: sorted data must not show one class only.

    Args:
        positions: Positions, shape (n,).
        most: At most so many are kept.

    Returns:
        The positions kept.
    """
    if len(positions) <= most:
        return positions
    return positions[np.linspace(0, len(positions) - 1, most).round().astype(np.int64)]
