"""What an estimator shows of its model: the ELBO in parts, paths through the latents, rate and distortion."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from sklearn.utils.validation import check_is_fitted

from latens import evaluation
from latens.errors import UsageError
from latens.estimators.autoencoder import Autoencoder
from latens.evaluation.evidence.rate_distortion import RateDistortion, rate_distortion_curve, rate_distortion_point
from latens.io.process import check_count
from latens.typing import checked_later


class Parts(NamedTuple):
    """The ELBO of rows and what it is made of, each float64 of shape (n,), in nats."""

    elbo: np.ndarray
    log_likelihood: np.ndarray
    kl: np.ndarray


DRAWS, TABLE_DRAWS = 100, 1000
"""Draws of z for each row where nobody says how many; the error of p(x) falls with their root."""


class Looks(Autoencoder):
    """The methods of `VAE` that look at a trained model."""

    def _draws(self, asked: int | None = None) -> int:
        """The draws of z for each row: as many as are asked for, or as suit the rows."""
        usual = TABLE_DRAWS if self.model_.schema.types is not None else DRAWS
        count = self.num_samples if asked is None else asked
        return check_count(usual if count is None else count, "num_samples")

    def elbo(self, X: Any, y: Any = None, *, num_samples: int | None = None, unknown: str = "error") -> Parts:
        r"""Estimate the ELBO of every row, and its two parts.

        $\mathrm{ELBO} = E_q\log p(x|z) - \mathrm{KL}(q(z|x)\|p(z))$, from the same draws of q(z | x): the parts add up
        exactly. What `log p(x)` is, `score_samples` says.

        Args:
            X: Rows, shape (n, columns), or (n, ...) for pictures, as `fit` saw them.
            y: Labels, shape (n,), or one for all rows, where the recipe is conditional; ignored elsewhere.
            num_samples: Draws of z for each row, from 1. None: those of the estimator.
            unknown: As for `score_samples`.

        Returns:
            `elbo`, `log_likelihood` and `kl`, each of shape (n,), in nats: elbo = log_likelihood - kl.

        Raises:
            UsageError: The model is conditional, and `y` is missing or names an unknown class.
            DivergedError: Rows lie so far from the training rows that their ELBO is not a number.

        Source: Kingma & Welling (2014), equation 3.
        """
        check_is_fitted(self)
        count = self._draws(num_samples)
        rows = self.model_.rows(self._batch(X, y, unknown), key=jax.random.key(self.seed_))
        found = evaluation.elbo_parts(rows, num_samples=count)
        elbo, log_likelihood = (
            np.asarray(evaluation.finite(found[name], name), np.float64) for name in ("elbo", "log_likelihood")
        )
        return Parts(elbo, log_likelihood, log_likelihood - elbo)

    @checked_later
    def interpolate(self, a: Any, b: Any, steps: int = 8, *, path: str = "spherical", y: Any = None) -> Any:
        """Decode what lies between two rows.

        Args:
            a: The first row, shape (1, columns) or (1, ...), as `fit` saw rows; or its codes, shape (latent_dim_,).
            b: The last row, alike.
            steps: Rows of the path, both ends among them, from 2.
            path: "spherical" keeps the length of codes as it changes evenly; "linear" is the straight line.
            y: The label of the path, where the recipe is conditional; ignored elsewhere.

        Returns:
            The means of p(x | z) along the path, `steps` rows as `inverse_transform` gives them.

        Raises:
            UsageError: The path is not known, or has fewer than 2 steps.
            DataError: A row does not fit the model.
        """
        check_is_fitted(self)
        between = _path(path)
        if check_count(steps, "steps") < 2:
            raise UsageError("a path has two ends, and 1 step was asked for.", where="steps", fix="Ask for 2 or more.")
        return self.inverse_transform(between(self._code(a, y), self._code(b, y), steps), y)

    @checked_later
    def morph(self, stops: Any, steps: int = 8, *, path: str = "spherical", y: Any = None) -> Any:
        """Decode a way through several rows and back to the first.

        Args:
            stops: Rows, shape (n, columns) or (n, ...), from 2 on, as `fit` saw them.
            steps: Rows from one stop to the next, from 1.
            path: As for `interpolate`.
            y: The label of the way, where the recipe is conditional; ignored elsewhere.

        Returns:
            The means of p(x | z), n times `steps` rows as `inverse_transform` gives them; each stop is followed by
            what lies before the next one.

        Raises:
            UsageError: As for `interpolate`, or there are fewer than 2 stops.
        """
        check_is_fitted(self)
        between = _path(path)
        codes, steps = self.transform(stops, None if y is None else [y] * len(stops)), check_count(steps, "steps")
        if len(codes) < 2:
            raise UsageError("a morph needs two stops or more.", where="stops", fix="Give more rows.")
        ways = [between(start, end, steps + 1)[:-1] for start, end in zip(codes, np.roll(codes, -1, axis=0))]
        return self.inverse_transform(np.concatenate(ways), y)

    @checked_later
    def traverse(
        self,
        row: Any = None,
        *,
        units: Sequence[int] | None = None,
        values: Sequence[float] | None = None,
        y: Any = None,
    ) -> dict[int, Any]:
        """Decode what each latent unit changes, the others as of one row.

        Args:
            row: The row, shape (1, columns) or (1, ...), or its codes, shape (latent_dim_,). None: the codes 0.
            units: The units that are moved, from 0 on. None: all.
            values: What each unit is set to. None: 7 values from -3 to 3.
            y: The label, where the recipe is conditional; ignored elsewhere.

        Returns:
            For each unit the means of p(x | z), a row for each value, as `inverse_transform` gives them.

        Raises:
            UsageError: There is no such unit.
            DataError: The row does not fit the model.
        """
        check_is_fitted(self)
        middle = np.zeros(self.latent_dim_, np.float32) if row is None else self._code(row, y)
        wanted = range(self.latent_dim_) if units is None else units
        strange = next((unit for unit in wanted if unit not in range(self.latent_dim_)), None)
        if strange is not None:
            fix = f"Units are 0 to {self.latent_dim_ - 1}."
            raise UsageError(f"there is no latent unit {strange!r}.", where="units", fix=fix)
        moved = np.linspace(-3.0, 3.0, 7) if values is None else np.asarray(values, np.float32)
        found = {}
        for unit in wanted:
            codes = np.tile(middle, (len(moved), 1))
            codes[:, unit] = moved
            found[int(unit)] = self.inverse_transform(codes, y)
        return found

    def rate_distortion(
        self, X: Any, y: Any = None, *, betas: Sequence[float] = (), num_samples: int = 16
    ) -> list[RateDistortion]:
        r"""Find the nats that the code of a row spends, and those that are missing.

        Rate $\mathrm{KL}(q(z|x)\|p(z))$ and distortion $-E_q\log p(x|z)$, whose sum is minus the ELBO.

        Args:
            X: Rows, shape (n, columns), or (n, ...) for pictures, as `fit` saw them.
            y: Labels, shape (n,), or one for all rows, where the recipe is conditional; ignored elsewhere.
            betas: Weights of the rate, above 0: for each a point of the curve that the decoder could reach.
            num_samples: Draws of z for each row, from 1.

        Returns:
            The point of the model, and one for each of `betas`; means over rows with their errors, in nats.

        Raises:
            ConfigError: A curve is asked for, and the posterior is not of a location-scale family.
            UsageError: A beta is not above 0.

        Source: Alemi et al. (2018), arXiv 1711.00464.
        """
        check_is_fitted(self)
        rows = self.model_.rows(self._batch(X, y), key=jax.random.key(self.seed_))
        points = [rate_distortion_point(rows, num_samples=num_samples)]
        return points + (rate_distortion_curve(rows, list(betas), num_samples=num_samples) if len(betas) else [])

    def _code(self, row: Any, y: Any) -> np.ndarray:
        """The code of one row, or the codes that were given in its place."""
        if np.ndim(row) == 1 and np.shape(row) == (self.latent_dim_,) and np.asarray(row).dtype.kind in "iuf":
            return np.asarray(row, np.float32)
        return self.transform(row, y)[0]


def _path(name: str) -> Callable[[np.ndarray, np.ndarray, int], np.ndarray]:
    """The path through codes of this name."""
    from latens.figures.paths import linear_path, spherical_path  # with matplotlib

    kinds = {"spherical": spherical_path, "linear": linear_path}
    if name not in kinds:
        raise UsageError(f"there is no path {name!r}.", where="path", fix=f"Use one of: {', '.join(kinds)}.")
    return kinds[name]
