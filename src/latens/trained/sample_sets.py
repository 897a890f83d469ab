"""Rows and samples of a model side by side, in one unit, and the metrics that compare them.

Also how far a code moves before the picture that it decodes to, or its class, is another.
"""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Shaped

from latens.config import ClassifierConfig
from latens.data import Dataset
from latens.data.conditions import GIVEN
from latens.data.preparation import DEPTH, log_depth
from latens.errors import UsageError
from latens.evidence.batched import ModelRows, prepared_rows
from latens.evidence.estimate import GROUPS, REPEATS, Estimate, as_rows, jackknife, same_width, subsample
from latens.kinds import kind_of
from latens.latents.codes import decode, encode, new_rows
from latens.predictive.classes import sample_classes
from latens.runtime.compilation import counted
from latens.trained.inputs import is_grey, lacks_prior
from latens.trained.trained_model import TrainedModel
from latens.typing import Key

Features = Callable[[np.ndarray], np.ndarray]
"""From rows (n, *x) to features (n, d)."""

_CELLS = 2**22
"""Distances held at once: 32 MB."""


@counted(num_neighbours=1, repeats=1)
def precision_recall_density_coverage(
    rows: np.ndarray,
    samples: np.ndarray,
    *,
    num_neighbours: int = 5,
    features: Features | None = None,
    repeats: int = REPEATS,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Precision, recall, density and coverage of samples, by balls that reach the k-th nearest neighbour.

    How samples lie among rows. Around each row is a closed ball that just reaches its k-th nearest other row.

    - `precision`: the share of samples inside the ball of any row (1: every sample lies where rows lie);
    - `recall`: the share of rows inside the ball of any sample, these made from samples (1: every row could be one);
    - `density`: the mean over samples of the number of balls around rows that hold it, over k. 1 for samples of the
      same distribution; above 1 where they crowd in the middle. Outliers among the rows count little;
    - `coverage`: the share of rows whose ball holds at least one sample; low where a kind of row is never made.

    For rows and samples of one distribution without ties, whatever it is, E density = 1. The four agree with the
    published programs but for ties, which they count as outside: in data with few levels every distance is tied.

    Args:
        rows: Held-out rows, shape (n, *x).
        samples: Samples of the model of the same columns in comparable units, shape (m, *x).
        num_neighbours: k.
        features: Function that both sets are compared by; None compares the rows themselves.
        repeats: How many parts standard errors come from: quarters of both sets, or larger parts, so that each has 4 k
            rows (NaN where there are none): of fewer every ball holds most others, and all parts look alike. Where
            parts never differ, the error is that of a share of n rows.
        seed: Seed of these parts.

    Returns:
        The four scores by name, with their errors.

    Raises:
        DataError: For too few rows.
        UsageError: For more neighbours than there are.

    Source: Kynkaanniemi et al., Improved precision and recall metric for assessing generative models, 2019, arXiv
    1904.06991; Naeem et al., Reliable fidelity and diversity metrics for generative models, 2020, arXiv 2002.09797.
    """
    rows, samples = featured(rows, samples, features)
    least = min(len(rows), len(samples))
    if not 1 <= num_neighbours < least:
        what = f"{num_neighbours} neighbours among {least} rows."
        raise UsageError(what, where="num_neighbours", fix=f"Use 1 to {least - 1}, or more rows.")

    def statistic(rows: np.ndarray, samples: np.ndarray) -> dict[str, float]:
        return _shares(rows, samples, num_neighbours)

    share = max(0.25, 4 * num_neighbours / least)
    found = subsample(statistic, rows, samples, share=share, repeats=repeats, seed=seed)
    for name, (value, error) in found.items():
        if error == 0.0 and name != "density":
            n = len(samples) if name == "precision" else len(rows)
            inner = (n * value + 0.5) / (n + 1)
            found[name] = value, float(np.sqrt(inner * (1 - inner) / n))
    words = {
        "precision": "share of samples within the ball of any row",
        "recall": "share of rows within the ball of any sample",
        "density": f"mean number of balls of rows around a sample, over {num_neighbours}",
        "coverage": "share of rows with a sample in their ball",
    }
    how = f"; balls reach neighbour {num_neighbours}, {len(samples)} samples against {len(rows)} rows"
    return {
        name: Estimate(*found[name], len(samples), len(rows), unit="" if name == "density" else "share",
                       protocol=what + how, seed=seed)
        for name, what in words.items()
    }  # fmt: skip


def featured(rows: np.ndarray, samples: np.ndarray, features: Features | None) -> tuple[np.ndarray, np.ndarray]:
    """Turn rows and samples into float64 matrices of the same width."""
    if features is not None:
        rows, samples = features(np.asarray(rows)), features(np.asarray(samples))
    rows, samples = as_rows(rows, "rows"), as_rows(samples, "samples")
    same_width(rows, samples)
    return rows, samples


def _shares(rows: np.ndarray, samples: np.ndarray, k: int) -> dict[str, float]:
    radius, own = _radii(rows, k), _radii(samples, k)
    balls, within, covered = np.zeros(len(samples)), np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    for part, distance in distances(rows, samples):
        inside = distance <= radius[part, None]
        balls += inside.sum(0)
        covered[part] = inside.any(1)
        within[part] = (distance <= own).any(1)
    return {
        "precision": float(np.mean(balls > 0)),
        "recall": float(np.mean(within)),
        "density": float(np.mean(balls) / k),
        "coverage": float(np.mean(covered)),
    }


def _radii(rows: np.ndarray, k: int) -> np.ndarray:
    """The distance of each row to its k-th nearest other row."""
    # The nearest of all is the row itself, at distance 0.
    return np.concatenate([np.partition(distance, k, axis=1)[:, k] for _, distance in distances(rows, rows)])


def distances(rows: Shaped[np.ndarray, "n d"], others: Shaped[np.ndarray, "m d"]) -> Iterator[tuple[slice, np.ndarray]]:
    """Compute Euclidean distances from rows to all others, a part at a time, so that memory stays bounded."""
    from scipy.spatial.distance import cdist

    step = max(1, _CELLS // max(1, len(others)))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        yield part, cdist(rows[part], others)


@counted(groups=1)
def frechet_distance(
    rows: np.ndarray, samples: np.ndarray, *, features: Features | None = None, groups: int = GROUPS, seed: int = 0
) -> Estimate:
    r"""The Frechet distance of rows and samples: the distance of two Normals with their means and covariances.

    $|\mu_1-\mu_2|^2 + \mathrm{tr}\left(C_1 + C_2 - 2(C_1^{1/2} C_2 C_1^{1/2})^{1/2}\right)$ of rows and samples.

    The squared 2-Wasserstein distance of the two Normals with their means and covariances, in squared units of the
    features. It sees these moments and nothing else, and is biased upwards in small sets: compare only numbers made
    from as many rows and samples. Comparable with published FIDs only on the features of those (the pool layer of one
    certain Inception network).

    Args:
        rows: Held-out rows, shape (n, *x).
        samples: Samples of the model, shape (m, *x).
        features: Function that both sets are compared by; None compares the rows themselves.
        groups: Groups of the jackknife.
        seed: Seed of these groups.

    Returns:
        The estimate, in squared units of the features.

    Source: Heusel et al., GANs trained by a two time-scale update rule converge to a local Nash equilibrium, 2017,
    arXiv 1706.08500.
    """
    rows, samples = featured(rows, samples, features)
    found = jackknife(lambda a, b: {"value": _frechet(a, b)}, rows, samples, groups=groups, seed=seed)
    protocol = f"squared 2-Wasserstein distance of two Normals, {len(samples)} samples against {len(rows)} rows"
    return Estimate(*found["value"], len(samples), len(rows), unit="squared units", protocol=protocol, seed=seed)


def frechet_of_moments(
    mean: np.ndarray, covariance: np.ndarray, other_mean: np.ndarray, other_covariance: np.ndarray
) -> float:
    """The Frechet distance between two Normals from their moments, their squared 2-Wasserstein distance."""
    # With C = V diag(s) V', the root is symmetric and its square has the eigenvalues wanted; no complex numbers appear.
    value, vector = np.linalg.eigh(covariance)
    root = (vector * np.sqrt(np.maximum(value, 0.0))) @ vector.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ other_covariance @ root), 0.0)).sum()
    shift = float(np.sum((mean - other_mean) ** 2))
    return max(0.0, float(shift + np.trace(covariance) + np.trace(other_covariance) - 2.0 * cross))


def _frechet(rows: np.ndarray, samples: np.ndarray) -> float:
    moments = [(x.mean(0), np.atleast_2d(np.cov(x, rowvar=False))) for x in (rows, samples)]
    return frechet_of_moments(*moments[0], *moments[1])


def classifier_two_sample_test(
    rows: np.ndarray, samples: np.ndarray, *, features: Features | None = None, classifier: Any = None, seed: int = 0
) -> dict[str, Estimate]:
    """Test whether a classifier, trained on one half of both sets, tells samples from rows on the other half."""
    # Of the larger set as many as of the smaller are used, drawn at random. The p-value is exact: if both sets have one
    # distribution, every way to share out the true labels among the held-out half is equally likely, so the number
    # right is hypergeometric (Fisher's exact test, upper tail): Lopez-Paz & Oquab (2017), arXiv 1610.06545.
    from scipy.stats import hypergeom
    from sklearn.neighbors import KNeighborsClassifier

    from latens.errors import DataError

    rows, samples = featured(rows, samples, features)
    n = min(len(rows), len(samples))
    if n < 4:
        raise DataError(f"{n} rows or samples are too few for a test.", where="rows", fix="Give at least four of each.")
    rng = np.random.default_rng(seed)
    rows, samples = (x[rng.permutation(len(x))[:n]] for x in (rows, samples))
    half = n // 2
    train = np.concatenate([rows[:half], samples[:half]])
    test = np.concatenate([rows[half:], samples[half:]])
    known, truth = np.arange(2 * half) >= half, np.arange(2 * (n - half)) >= n - half
    if classifier is None:
        classifier = KNeighborsClassifier(max(1, int(np.sqrt(len(train)))))
    said = np.asarray(classifier.fit(train, known).predict(test)).astype(bool)
    accuracy = float(np.mean(said == truth))
    # Of all held-out rows, half are samples; of those called so, how many are.
    p_value = float(hypergeom.sf(np.sum(said & truth) - 1, len(test), n - half, np.sum(said)))
    name = type(classifier).__name__
    protocol = f"{name} trained on {half} of each, share right of {n - half} others of each; 0.5 where nothing differs"
    error = float(np.sqrt(accuracy * (1.0 - accuracy) / len(test)))
    common: dict[str, Any] = {"num_samples": n, "n": n, "seed": seed}
    return {
        "two_sample_accuracy": Estimate(accuracy, error, unit="accuracy", protocol=protocol, **common),
        "two_sample_p_value": Estimate(
            p_value, float("nan"), unit="probability", protocol=f"exact, of {protocol}", **common
        ),
    }


MOST_FEATURES = 32


@dataclass(frozen=True)
class PrincipalFeatures:
    """Rows by their principal components among training rows, and by how much these leave out."""

    mean: np.ndarray  # of each feature of the rows, shape (D,)
    scale: np.ndarray  # what each is divided by, shape (D,)
    components: np.ndarray  # principal directions, shape (d, D)
    unit: float  # root mean variance of the components, by which all are divided
    rest: bool  # whether a last feature is the length of what the components leave out
    logarithm: bool  # whether x is first transformed to sign(x) log(1 + abs(x)), for counts

    def __call__(self, rows: Shaped[np.ndarray, " n *x"]) -> Shaped[np.ndarray, "n d"]:
        """Compute the features of rows."""
        centred = (_matrix(rows, self.logarithm) - self.mean) / self.scale
        found = centred @ self.components.T
        if self.rest:
            left = np.sqrt(np.maximum(np.sum(centred**2, axis=1) - np.sum(found**2, axis=1), 0.0))
            found = np.concatenate([found, left[:, None]], axis=1)
        return found / self.unit


@counted(most=1)
def principal_features(
    train: np.ndarray, *, standardise: bool = False, logarithm: bool = False, most: int = MOST_FEATURES, seed: int = 0
) -> PrincipalFeatures:
    """Find the first principal components of training rows, in one common unit: distances stay those of the data."""
    # Their variances average 1 over the training rows, so that a kernel of fixed width suits them and a model that gave
    # the mean row only would have a Frechet distance of d. Where rows have more features than components are kept, one
    # feature more is the length of what is left out, so that a sample is far from the rows also where these never vary.
    # A picture moved by one pixel is far away: where that matters, give the features of a classifier's last layer.
    from sklearn.decomposition import PCA

    rows = _matrix(train, logarithm)
    mean = rows.mean(0)
    # The rounding of a mean is no spread: what does not vary keeps its unit.
    varies = np.ptp(rows, axis=0) > 0
    scale = np.where(varies, rows.std(0), 1.0) if standardise else np.ones(rows.shape[1])
    scale = np.where(scale > 0, scale, 1.0)
    centred = (rows - mean) / scale
    count = min(most, rows.shape[1], len(rows) - 1)
    found = PCA(count, random_state=seed).fit(centred)
    unit = float(np.sqrt(found.explained_variance_.mean()))
    return PrincipalFeatures(
        mean, scale, np.asarray(found.components_), unit if unit > 0 else 1.0, count < rows.shape[1], logarithm
    )


def _matrix(rows: np.ndarray, logarithm: bool) -> np.ndarray:
    matrix = as_rows(rows, at_least=1)
    # A Normal on log(1 + x) may fall below 0, that is to a count below 0: as far below as it is above.
    return np.sign(matrix) * np.log1p(np.abs(matrix)) if logarithm else matrix


MOST_ROWS = 1000
"""Of held-out rows, and as many samples; of training rows ten times as many."""


def why_not(trained: TrainedModel, data: Dataset) -> str:
    """Why samples of this model cannot be compared with these rows."""
    if lacks_prior(trained):
        return "an autoencoder has no prior to sample from (`latens refit` fits one)"
    if words := kind_of(data.schema).lacks.get("distances"):
        return words[0]
    if data.mask is not None and not np.all(data.mask):
        return "rows with missing cells have no distances"
    if data.weight is not None:
        return "rows with weights are not compared with samples, which have none"
    return ""


OTHER_DATA = "the model was trained on other data"


def not_its_own(trained: TrainedModel, data: Dataset) -> str:
    """Why samples of this model cannot be compared with these rows in features of its training rows."""
    if not data.count("train") or data.fingerprint != trained.facts.get("fingerprint"):
        return OTHER_DATA
    return why_not(trained, data)


@dataclass(frozen=True)
class SampleSets:
    """What is compared: at most 1000 of the rows at `positions`, 10,000 training rows, and samples."""

    # Everything is in the units of the stored rows, binarised as the model sees them. Of grey pixels under a Bernoulli,
    # whose samples are black and white, the means of p(x | z) stand for samples.

    trained: TrainedModel
    data: Dataset
    positions: np.ndarray  # the positions of the rows to compare with, of shape (n,)
    seed: int  # the seed of everything random

    @property
    def grey(self) -> bool:
        """Whether the pixels are grey under a Bernoulli."""
        return is_grey(self.trained)

    @property
    def what(self) -> str:
        """How samples were made, for the protocol."""
        return "samples are means of p(x | z), because the cells are grey; " if self.grey else ""

    @cached_property
    def rows(self) -> np.ndarray:
        """The rows to compare with, of shape (n, *x)."""
        return self._seen(some(self.positions, MOST_ROWS, self.seed))

    @cached_property
    def train(self) -> np.ndarray:
        """The training rows, of shape (N, *x)."""
        return self._seen(some(self.data.subset("train"), 10 * MOST_ROWS, self.seed))

    @cached_property
    def samples(self) -> np.ndarray:
        """The 1000 samples, of shape (m, *x)."""
        return self.draw(MOST_ROWS, jax.random.fold_in(jax.random.key(self.seed), 1))

    @cached_property
    def features(self) -> PrincipalFeatures:
        """Principal components of the training rows: columns standardised, counts as log(1 + x)."""
        columns = self.data.schema.columns is not None
        logarithm = self.data.schema.cells.logged
        return principal_features(self.train, standardise=columns, logarithm=logarithm, seed=self.seed)

    @cached_property
    def described(self) -> str:
        """The features in words, for the protocol."""
        count = len(self.features.components)
        rest = " and the length of the rest" if self.features.rest else ""
        cells = "standardised columns" if self.data.schema.columns is not None else "cells"
        return f"{self.what}features: {count} principal components of the training rows' {cells}{rest}"

    def draw(self, n: int, key: Key, like: np.ndarray | None = None) -> Shaped[np.ndarray, " n *x"]:
        """Draw samples; a conditional model is asked for the labels of the rows, as often as they occur."""
        # like: positions of rows whose conditions samples have, in turn; None: those of the rows to compare with.
        trained = self.trained
        if isinstance(trained.config, ClassifierConfig):
            drawn = sample_classes(trained.model, n, key=jax.random.split(key)[0])
            return trained.data_units(drawn.x, mean=False)
        values, _ = new_rows(trained.model, n, mean=self.grey, cond=self.conditions(n, like), key=key)
        return trained.data_units(values, mean=self.grey)

    def conditions(self, n: int, like: np.ndarray | None = None) -> dict[str, np.ndarray] | None:
        """The conditions of simulated rows: label, conditions and total, each of one row."""
        trained, data = self.trained, self.data
        reads_labels = bool(trained.preparation.classes) and data.label is not None
        rows = self.positions if like is None else like
        if reads_labels and data.label is not None:
            rows = rows[data.label[rows] >= 0]
        rows = np.resize(rows, n)
        rows = rows if like is not None else np.random.default_rng(self.seed).permutation(rows)
        found = trained.condition(data.label[rows] if reads_labels and data.label is not None else None) or {}
        if trained.schema.conditions and data.cond is not None:
            found[GIVEN] = data.cond[GIVEN][rows]
        if trained.preparation.depth:
            own, place = np.unique(rows, return_inverse=True)
            found[DEPTH] = np.asarray(jax.vmap(log_depth)(np.asarray(data.x[own])))[place]
        return found or None

    def _seen(self, positions: np.ndarray) -> np.ndarray:
        if self.trained.preparation.binarize == "none":
            return np.asarray(self.data.x[positions])
        rows = self.trained.rows(self.data.rows(positions), seed=self.seed)  # the seed that `measured` evaluates with
        return prepared_rows(rows) * self.trained.preparation.divide


def compared(sets: SampleSets) -> dict[str, Estimate]:
    """The metrics of samples against rows: precision and recall, distances, and a classifier that tells them apart."""
    n, options = min(len(sets.rows), len(sets.samples)), {"features": sets.features, "seed": sets.seed}
    found = precision_recall_density_coverage(sets.rows, sets.samples[:n], **options)
    # What rows that the model has seen would score in the place of samples: how near rows of the data lie to others.
    rows = precision_recall_density_coverage(sets.rows, sets.train[: min(n, len(sets.train))], **options)
    found["precision_of_rows"] = dataclasses.replace(
        rows["precision"], protocol=f"training rows for samples: {rows['precision'].protocol}"
    )
    found["frechet_distance"] = frechet_distance(sets.rows, sets.samples, **options)
    found |= classifier_two_sample_test(sets.rows, sets.samples, **options)
    return {
        name: dataclasses.replace(value, protocol=f"{value.protocol}; {sets.described}")
        for name, value in found.items()
    }


def some(positions: Shaped[np.ndarray, " n"], most: int, seed: int) -> np.ndarray:
    """At most so many of the positions, drawn at random, in order."""
    if len(positions) <= most:
        return positions
    return np.sort(np.random.default_rng(seed).permutation(positions)[:most])


MOST = 6.0
"""The farthest that a code is moved: as wide as nearly all of a standard Normal."""

_STEPS, _DIRECTIONS, _ROWS, _CENTRES = 24, 8, 50, 1000


class Reach(NamedTuple):
    """Distances in z, shape (rows, directions), infinite beyond `MOST`; `label` is None without classes."""

    picture: np.ndarray
    label: np.ndarray | None


def reach(
    pictured: Callable[[np.ndarray], np.ndarray],
    codes: np.ndarray,
    labels: np.ndarray | None,
    directions: np.ndarray,
    *,
    rows: int = _ROWS,
    steps: int = _STEPS,
) -> Reach:
    """Move the first codes along unit vectors, up to the first change of what they decode to."""
    # A picture is another once it is half as far from its start as two rows' pictures typically are; its class is that
    # of the nearest mean of the pictures of a class.
    start = pictured(codes)
    pairs = np.sqrt(((start[:rows, None] - start[None, :rows]) ** 2).sum(-1))
    # Above 0, so that a decoder whose picture never changes has no reach that ends.
    half = max(0.5 * float(np.median(pairs[np.triu_indices(len(pairs), 1)])), np.finfo(float).tiny)
    known = np.zeros(0) if labels is None else np.unique(labels[labels >= 0])
    centres = None
    if labels is not None and len(known) > 1:
        centres = np.stack([start[labels == one].mean(0) for one in known])
    own = None if centres is None else _squares(start[:rows], centres).argmin(1)
    at = MOST * np.linspace(0.0, 1.0, steps + 1) ** 2  # finer where most changes are
    picture, other = [], []
    for distance in at:
        moved = codes[:rows, None] + distance * directions
        now = pictured(moved.reshape(-1, codes.shape[1])).reshape(len(moved), len(directions), -1)
        picture.append(np.sqrt(((now - start[:rows, None]) ** 2).sum(-1)) - half)
        if centres is not None and own is not None:
            squares = _squares(now.reshape(-1, now.shape[-1]), centres).reshape(*now.shape[:2], -1)
            mine = np.take_along_axis(squares, own[:, None, None], axis=2)
            rest = np.where(np.arange(len(centres)) == own[:, None, None], np.inf, squares)
            other.append(mine[..., 0] - rest.min(-1))
    return Reach(_first(np.stack(picture), at), _first(np.stack(other), at) if other else None)


def _squares(pictures: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return np.stack([((pictures - one) ** 2).sum(-1) for one in centres], axis=-1)


def _first(level: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Where a level first reaches 0, on a straight line between two steps; infinite where it does not."""
    after = np.argmax(level[1:] >= 0.0, axis=0)  # the step before the change
    low, high = (np.take_along_axis(level, (after + more)[None], axis=0)[0] for more in (0, 1))
    share = -low / np.where(high > low, high - low, 1.0)
    return np.where(
        (level[1:] >= 0.0).any(0), at[after] + (at[after + 1] - at[after]) * np.clip(share, 0.0, 1.0), np.inf
    )


def reach_of(trained: TrainedModel, data: Dataset, positions: np.ndarray, seed: int) -> Reach:
    """The reach of some of the rows at `positions`, at their posterior means, in directions drawn at random."""
    chosen = some(positions, _CENTRES, seed)
    key, model = jax.random.key(seed), trained.model
    codes = encode(ModelRows(model, trained.batch(data, chosen), key, trained.preparation))["mean"]
    size = int(np.prod(codes.shape[1:]))
    directions = np.random.default_rng(seed).normal(size=(_DIRECTIONS, size))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)

    def pictured(z: np.ndarray) -> np.ndarray:
        pictures = decode(model, z.reshape(len(z), *codes.shape[1:]).astype(np.float32))
        return np.asarray(pictures, np.float64).reshape(len(z), -1)

    labels = None if data.label is None else data.label[chosen]
    flat = codes.reshape(len(codes), -1).astype(np.float64)
    first = np.random.default_rng(seed).permutation(len(flat))  # of all classes, where rows are in their order
    return reach(pictured, flat[first], None if labels is None else labels[first], directions)
