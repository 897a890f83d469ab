"""Models against each other in Python: paired over rows, and over seeds where each has several."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from latens.data import Dataset
from latens.data import load as load_data
from latens.errors import ConfigError, UsageError
from latens.io.process import check_count
from latens.runs.sweep import Job
from latens.typing import checked_later
from latens.workflow.compare import Rows, estimate_of, per_row, refuse_other_kinds, scored
from latens.workflow.inputs import model_file
from latens.workflow.sweep import Swept, SweptRun, settled
from latens.workflow.trained import TrainedModel


@checked_later
def compare(models: Mapping[str, Any], data: Any, *, num_samples: int = 100, seed: int = 0) -> Swept:
    r"""Compare models on the same rows, and on the same seeds where each was trained with several.

    The number of a model is the mean over rows of log p(x), or of what stands for it (`latens compare`). Models are
    paired row by row: what is hard for all of them cancels. With several seeds the difference of two is
    $\bar d \pm t_{n-1} s_d / \sqrt n$ of the n differences of the seeds; with one seed, of those of the rows.

    Args:
        models: Name -> a fitted estimator, a `TrainedModel`, a run folder or a file; or a list of them, one of each
            seed, in the same order of seeds for all names.
        data: Rows that no model has seen: a `Dataset`, or what `load_data` takes, as an array of shape (n, columns).
        num_samples: Draws of z for each row, from 1.
        seed: Seed of these draws, which all models share.

    Returns:
        The models, best first, with `.table("text")`, `.table("markdown")` and `.table("latex")`, and `.settings`.

    Raises:
        ConfigError: The numbers of two models cannot be subtracted: their likelihoods are of another kind.
        DataError: The rows are not those of a model.
        UsageError: There are fewer than two models.

    Examples:
        >>> import latens
        >>> X = np.random.default_rng(0).normal(size=(60, 4))
        >>> small, large = (latens.VAE(n, steps=5, random_state=0).fit(X[:40]) for n in (1, 2))
        >>> found = latens.compare({"small": small, "large": large}, X[40:], num_samples=5)
        >>> [each.difference is None for each in found.settings]
        [True, False]
    """
    if not isinstance(models, Mapping) or len(models) < 2:
        what = "a comparison needs two models or more, by name."
        raise UsageError(what, where="models", fix='Give for example {"small": vae, "large": other}.')
    count = check_count(num_samples, "num_samples")
    found: dict[str, list[SweptRun]] = {}
    read: Dataset | None = data if isinstance(data, Dataset) else None
    seen: list[tuple[str, TrainedModel, Rows]] = []
    for k, (name, given) in enumerate(models.items()):
        each = list(given) if isinstance(given, list | tuple) else [given]
        if not each:
            raise UsageError(f"there is no model {name!r}.", where="models", fix="Give one for each seed.")
        found[name] = []
        for number, one in enumerate(each):
            trained = _opened(one)
            if read is None or (read is not data and read.schema != trained.schema):
                read = load_data(data, schema=trained.schema)
            rows = read
            positions = np.arange(len(rows))
            numbers = per_row(trained, rows, positions, count, seed)
            weight = None if rows.weight is None else rows.weight[scored(rows, positions, numbers)]
            job = Job(k, number, None, Path(str(name), str(number)), Path())
            found[name].append(SweptRun(job, "", estimate_of(numbers, weight, seed), numbers, weight))
            seen.append((str(name), trained, numbers))
    refuse_other_kinds(seen)
    return settled(found)


def _opened(given: Any) -> TrainedModel:
    """The model itself of whatever stands for one."""
    if isinstance(given, str | Path):
        return TrainedModel.load(model_file(str(given)))
    trained = getattr(given, "model_", given)
    if not isinstance(trained, TrainedModel):
        what = f"a {type(given).__name__} is not a fitted model."
        raise ConfigError(what, where="models", fix="Fit it first, or give the path of a run or a model file.")
    return trained
