"""Rows and draws that pictures need, in the data's own units, with fixed keys."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import Shaped

from latens.config import VAEConfig
from latens.data import Dataset, prepare_batch
from latens.data.dataset import Batch
from latens.data.row_fields import MEASURED, evenly_spaced, every_nth
from latens.distributions import StandardNormal
from latens.evidence.batched import ModelRows, prepared_rows
from latens.figures.style import Made as Made
from latens.kinds import kind_of
from latens.latents.codes import Principal, decode, encode, principal, reconstruct, sample_prior, unit_noise
from latens.model_figures.image_scale import shown
from latens.models import BayesClassifier
from latens.predictive.classes import sample_classes
from latens.predictive.conditional_samples import Information, column_information
from latens.trained.trained_model import TrainedModel

MOST_CLASSES = 20
"""Classes that a picture shows."""

FEW_POINTS = 100
"""Held-out rows below which the latent space is shown by rows of every split."""

FEW_ROWS = 1000
"""Rows of a picture that draws or decodes every one of them."""


class Plane(NamedTuple):
    """How the latent plane is drawn."""

    cells: int = 21  # points along each side; an odd number shows the middle of the prior
    # "linear" (even in z) or "percentile" (even in percentiles of the prior); None draws both
    spacing: Literal["linear", "percentile"] | None = None
    percentiles: tuple[float, float] = (0.05, 0.95)  # probabilities at the edges of the grid of percentiles


class Source:
    """A trained model and its data, as pictures ask for them: in the units of the data, with fixed keys."""

    # `history`: The "epoch" records of training.

    def __init__(
        self,
        trained: TrainedModel,
        data: Dataset | None,
        seed: int = 0,
        *,
        history: Sequence[dict[str, Any]] = (),
        plane: Plane = Plane(),  # noqa: B008 - immutable
    ) -> None:
        self.trained, self.data, self.schema = trained, data, trained.schema
        self.history, self.plane = history, plane
        self.looks = kind_of(trained.schema).looks(trained.schema)
        keys = jax.random.split(jax.random.key(seed), 3)
        self.prior_key, self.event_key, self.row_key = keys[0], keys[1], keys[2]
        self.is_classifier = isinstance(trained.model, BayesClassifier)
        self.has_prior = not trained.is_point  # an autoencoder's codes follow no prior
        config = trained.config
        self.support = trained.parts.posterior.support if isinstance(config, VAEConfig) else "vector"
        self.standard_normal = isinstance(getattr(trained.model, "prior_part", None), StandardNormal)
        self._new_rows: dict[int, np.ndarray] = {}
        self._information: dict[int, Information] = {}
        real = data is not None and trained.schema.cells.real
        self.planes: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # grids and their images, by points a side
        self.limits = (float(data.x.min()), float(data.x.max())) if real and data is not None else None

    @property
    def rows_called(self) -> str:
        """What rows are called."""
        return "cells" if self.trained.preparation.depth else "rows"

    def held_out(self, most: int, *names: str) -> tuple[np.ndarray, str]:
        """Choose rows, evenly spaced, of the first split that has any."""
        assert self.data is not None
        name = next((name for name in names if len(self.data.subset(name))), "train")
        return evenly_spaced(self.data.subset(name), most), name

    def originals(self, batch: Batch) -> np.ndarray:
        """Give the rows as stored; binarised ones as the model saw them."""
        if self.trained.preparation.binarize == "none":
            return np.asarray(batch.x)
        return prepared_rows(self.rows(batch)) * self.trained.preparation.divide

    def reconstructions(self, batch: Batch) -> np.ndarray:
        """Reconstruct rows by the mean of p(x|z), in the units of the data."""
        return self.trained.data_units(reconstruct(self.rows(batch), mean="seen"), mean=True)

    def rows(self, batch: Batch) -> ModelRows:
        """Rows beside the model, with the noise of every picture."""
        return self.trained.rows(batch, key=self.row_key)

    def latents(self, n: int, codes: Shaped[np.ndarray, " n"] | None = None) -> np.ndarray:
        """Sample latents from the prior; of a conditional model every class in turn, unless others are named."""
        return sample_prior(self.trained.model, n, key=self.prior_key, cond=self.cond(n, codes))

    def decoded(self, z: np.ndarray, codes: Shaped[np.ndarray, " n"] | None = None, *, mean: bool = True) -> np.ndarray:
        """Decode latents, in the units of the data."""
        how = "seen" if mean else False
        values = decode(self.trained.model, z, key=self.event_key, mean=how, cond=self.cond(len(z), codes))
        return self.trained.data_units(values, mean=mean)

    def cond(self, n: int, codes: Shaped[np.ndarray, " n"] | None) -> dict[str, np.ndarray] | None:
        """Make the condition of n rows of a conditional model."""
        # In turn, so that the columns of a picture are classes.
        return self.trained.condition(self.trained.in_turn(n, most=MOST_CLASSES) if codes is None else codes)

    def samples(self, n: int) -> np.ndarray:
        """Sample whole rows from the model, in the units of the data."""
        if self.data is not None and (self.trained.preparation.depth or self.schema.conditions):
            return self._samples_like(n)
        if "mixed columns" in self.looks and not self.is_classifier and not self.trained.preparation.classes:
            return self.new_rows(n)
        if not self.is_classifier:
            codes = None
            if self.trained.preparation.classes and self.data is not None and self.data.label is not None:
                codes = np.resize(self.data.label[self.data.label >= 0], n)  # as often as in the data
            return self.decoded(self.latents(n, codes), codes, mean=False)
        rows = sample_classes(self.trained.model, n, key=self.prior_key).x
        return self.trained.data_units(rows, mean=False)

    def _samples_like(self, n: int) -> np.ndarray:
        """Sample rows of the totals and conditions that held-out rows have: at one total no two counts go together."""
        batch = self.trained.batch(self.data, np.resize(self.held_out(n, "test", "validation")[0], n))  # type: ignore[arg-type]
        cond = prepare_batch(self.trained.preparation, batch, key=self.row_key).cond
        model = self.trained.model
        z = sample_prior(model, n, key=self.prior_key, cond=cond)
        return self.trained.data_units(decode(model, z, key=self.event_key, mean=False, cond=cond), mean=False)

    def decoded_images(
        self, z: Shaped[np.ndarray, "n units"], label: Shaped[np.ndarray, "n C"] | None = None
    ) -> np.ndarray:
        """Decode latent points to images: the means of p(x|z)."""
        cond = None if label is None else {"label": label.astype(np.float32)}
        z = z.reshape(len(z), *self.trained.latent_shape).astype(np.float32)
        return self.images(self.trained.data_units(decode(self.trained.model, z, cond=cond, mean="seen"), mean=True))

    @cached_property
    def posteriors(self) -> "Posteriors":
        """The posteriors of the held-out rows that the run is measured on: every KL in a picture is of these."""
        positions, split = self.held_out(len(self.data) if self.data is not None else 0, "test", "validation")
        return Posteriors(self, every_nth(positions, MEASURED), split)

    @cached_property
    def principal(self) -> Principal:
        """The principal axes of the posterior means of held-out rows; of rows of every split where these are few."""
        assert self.data is not None
        code = self.posteriors
        few = len(code.positions) < FEW_POINTS < len(self.data)
        code = Posteriors(self, evenly_spaced(np.arange(len(self.data)), MEASURED)) if few else code
        return principal(code.mean, code.noise)

    def information(self, columns: int) -> Information:
        """The mutual information of the first columns under the model, once for both themes."""
        if columns not in self._information:
            self._information[columns] = column_information(self.trained.model, columns, repeats=4, key=self.event_key)
        return self._information[columns]

    def new_rows(self, n: int) -> np.ndarray:
        """Sample rows that keep the rules of the data, as `latens sample` does."""
        if n not in self._new_rows:
            self._new_rows[n] = self.trained.sample(n)
        return self._new_rows[n]

    @cached_property
    def few(self) -> "Posteriors":
        """The posteriors of at most 1000 held-out rows, for pictures that draw or decode each of them."""
        return Posteriors(self, *self.held_out(FEW_ROWS, "test", "validation"))

    def images(self, values: np.ndarray) -> np.ndarray:
        """Turn rows in the units of the data into images on the scale 0 to 1."""
        return shown(self.schema, values, self.limits)


class Posteriors:
    """The posteriors of some rows: means, log-variances and KL by unit where they exist, units by what they carry."""

    # `positions`: Positions of the rows in the data, shape (n,).

    def __init__(self, source: Source, positions: np.ndarray, split: str = "") -> None:
        assert source.data is not None
        batch = source.trained.batch(source.data, positions)
        found = encode(source.rows(batch))
        self.positions, self.batch, self.split = positions, batch, split
        self.mean = found["mean"].reshape(len(positions), -1)
        self.log_variance = None if "log_variance" not in found else found["log_variance"].reshape(self.mean.shape)
        by_unit = "kl" in found and found["kl"].size == self.mean.size
        self.kl = found["kl"].reshape(self.mean.shape).mean(0, dtype=np.float64) if by_unit else None
        self.noise = unit_noise(self.mean, self.log_variance)
        self.order = np.argsort(-(self.mean.std(0) / self.noise if self.kl is None else self.kl), kind="stable")
        self.first: Any = tuple(sorted(self.order[:2].tolist()))  # the two units that a plane shows
        self.label = None if source.data.label is None else source.data.label[positions]
        self.classes = None if self.label is None else source.data.schema.classes
