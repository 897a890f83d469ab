"""Every metric on a few rows, with its error: as recorded."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from asked import at
from records import meets_record
from tables import MU, X, batch_of, linear_gaussian

from latens import evidence, latents
from latens.evidence import ModelRows
from latens.evidence.annealing import resampled
from latens.evidence.estimate import jackknife, subsample
from latens.latents.disentanglement import information_matrix
from latens.latents.fit_prior import aggregated_moments
from latens.trained import sample_sets

KEY = jax.random.key(0)
rng = np.random.default_rng(0)
ROWS, SAMPLES, HELD = rng.normal(size=(40, 3)), rng.normal(size=(36, 3)) * 1.2 + 0.1, rng.normal(size=(30, 3))
FACTORS = np.stack([np.arange(60) % 3, np.arange(60) // 20], axis=1)
CODES = np.stack([FACTORS[:, 0], FACTORS[:, 1] ** 1.5, FACTORS.sum(axis=1), np.zeros(60)], axis=1)
CODES = CODES + 0.3 * rng.normal(size=(60, 4)) * [1, 1, 1, 0]
LABEL = FACTORS[:, 0]


def numbers(found):
    """All numbers of a result; of an estimate its value, its error and its number of rows."""
    if isinstance(found, evidence.Estimate):
        error = found.standard_error
        return [float(found.value), -1.0 if error is None else float(error), float(found.n)]
    if isinstance(found, dict):
        return {name: numbers(one) for name, one in found.items()}
    if dataclasses.is_dataclass(found):
        return {field.name: numbers(getattr(found, field.name)) for field in dataclasses.fields(found)}
    if hasattr(found, "_fields"):
        return {name: numbers(getattr(found, name)) for name in found._fields}
    if isinstance(found, list | tuple):
        return [numbers(one) for one in found]
    return found if isinstance(found, bool | int | float | np.ndarray | np.generic | jax.Array) else 0


def test_metrics_of_samples_are_as_recorded():
    principal = sample_sets.principal_features(ROWS, most=2)
    found = {
        "frechet": sample_sets.frechet_distance(ROWS, SAMPLES),
        "quality": sample_sets.precision_recall_density_coverage(ROWS, SAMPLES, num_neighbours=3, repeats=5),
        "features": [principal(SAMPLES), principal(ROWS)],
        "two samples": sample_sets.classifier_two_sample_test(ROWS, SAMPLES),
        "jackknife": jackknife(lambda a, b: {"d": float(a.mean() - b.std())}, ROWS, SAMPLES, groups=5),
        "subsample": subsample(lambda a: {"d": float(a.max())}, ROWS, repeats=6),
    }
    for name, one in found.items():
        meets_record(f"metric {name}", numbers(one))


def test_metrics_of_codes_are_as_recorded():
    weight = np.arange(60) % 4 * 1.0
    found = {
        "matrix": information_matrix(CODES, FACTORS, bins=5),
        "mig": latents.mig(CODES, FACTORS, bins=5, seed=0),
        "active": latents.active_units(CODES, weight=weight),
        "matched": latents.matched(LABEL, FACTORS[:, 1], weight=weight),
    }
    for name, one in found.items():
        meets_record(f"metric {name}", numbers(one))


BATCH = batch_of(np.stack([X, -X, MU]))
FEW = {"num_temperatures": 6, "num_leapfrog": 2, "num_samples": 4}
EVIDENCE = {
    "annealed": lambda m: at(evidence.annealed_importance_sampling, m, BATCH, chains_at_once=3, key=KEY, **FEW),
    "refined": lambda m: at(evidence.refine, m, BATCH, steps=4, num_samples=3, num_evaluation_samples=16, key=KEY),
    "gaps": lambda m: evidence.inference_gaps(ModelRows(m, BATCH, key=KEY), num_samples=20, steps=4, draws_per_step=3),
    "gaps of full Normals": lambda m: evidence.inference_gaps(
        ModelRows(m, BATCH, key=KEY), family="full", num_samples=20, steps=4, draws_per_step=3,
    ),
    "bounds": lambda m: [evidence.elbo_parts(ModelRows(m, BATCH, key=KEY), num_samples=5)],
    "split": lambda m: [latents.kl_split(ModelRows(m, BATCH, key=KEY), num_samples=3)],
    "moments": lambda m: aggregated_moments(ModelRows(m, BATCH, key=KEY), num_draws=3),
    "resampled": lambda m: resampled(jnp.arange(8), jnp.log(1.0 + jnp.arange(8)), key=KEY),
}  # fmt: skip


@pytest.mark.parametrize("name", EVIDENCE)
def test_evidence_of_a_linear_model_is_as_recorded(name):
    meets_record(f"evidence {name}", numbers(EVIDENCE[name](linear_gaussian("prior"))))
