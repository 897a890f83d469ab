"""Models against each other in Python, by numbers that follow by hand; tables for papers."""

import numpy as np
import pytest

import latens
from latens.errors import ConfigError, UsageError
from latens.trained.paired import Contest, PairedRows, Run, estimate_of, ranked

X = np.random.default_rng(0).normal(size=(60, 3))


def runs(*each: list[float]) -> dict[int, Run]:
    found = {}
    for seed, values in enumerate(each):
        rows = PairedRows("elbo", np.array(values), 1, "", "")
        found[seed] = Run(estimate_of(rows, None), rows)
    return found


def test_differences_are_paired_by_seed() -> None:
    # Means of seeds: a 1, 3 and b 2, 6. Gaps -1, -3: mean -2, standard error 1, t of one degree of freedom 12.7062.
    given = {"a": runs([0.0, 2.0], [3.0, 3.0]), "b": runs([2.0, 2.0], [5.0, 7.0])}
    found = Contest("elbo", "nats", "", ranked(given))
    best, other = found.models
    assert (best.name, other.name, best.difference) == ("b", "a", None)
    assert other.mean.value == 2.0
    assert other.difference is not None
    assert (other.difference.value, other.difference.over) == (-2.0, "seeds")
    assert other.difference.low == pytest.approx(-14.7062, abs=1e-4)
    assert found.table().splitlines()[1].startswith("b      4")
    assert found.to_json()["best"] == "b"


def test_one_seed_is_paired_by_rows() -> None:
    a, b = (latens.VAE(n, hidden=(4,), steps=3, random_state=0).fit(X) for n in (1, 2))
    found = latens.trained.compare({"a": a, "b": b}, X[:20], num_samples=5)
    gap = found.models[1].difference
    assert gap is not None
    assert gap.over == "rows"
    means = {each.name: each.mean.value for each in found.models}
    assert gap.value == pytest.approx(means[found.models[1].name] - means[found.models[0].name], abs=1e-6)
    alike = latens.trained.compare({"a": a, "again": a.model_}, X[:20], num_samples=5).models[1].difference
    assert alike is not None
    assert alike.value == alike.low == alike.high == 0.0  # the same draws for all
    gappy = np.where(np.random.default_rng(1).random(X.shape) < 0.2, np.nan, X)
    value = a.model_.evaluate(gappy, num_samples=200).value["metrics"]["log_marginal"]["value"]
    models = latens.trained.compare({"a": a, "b": b}, gappy, num_samples=200).models
    assert [value, *(one.mean.value for one in models if one.name == "a")] == pytest.approx([a.score(gappy)] * 2, 0.01)
    for given in ({"a": a}, {"a": a, "b": []}, [a, b]):
        with pytest.raises(UsageError):
            latens.trained.compare(given, X)
    with pytest.raises(ConfigError, match="not a fitted model"):
        latens.trained.compare({"a": a, "b": latens.VAE(2)}, X)
