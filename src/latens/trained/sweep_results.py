"""What an Optuna study of trainings found: its trials against each other, with intervals over seeds."""

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from latens.data import Dataset
from latens.data.row_fields import MEASURED, every_nth
from latens.errors import ConfigError, RunFolderError
from latens.evidence.estimate import Estimate
from latens.io.atomic import as_path
from latens.trained.experiment import as_split
from latens.trained.paired import Contest, Run, estimate_of, per_row, ranked, scored
from latens.trained.trained_model import TrainedModel

if TYPE_CHECKING:
    from optuna import Study  # pyright: ignore[reportMissingImports]

TRIAL = "trial-{:04d}"
"""The folder of a trial."""


def optuna() -> ModuleType:
    """Import Optuna."""
    try:
        import optuna as module  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ConfigError("Optuna is not installed.", where="latens sweep", fix="pip install 'latens[sweep]'") from None
    module.logging.set_verbosity(module.logging.ERROR)
    return module


def study_of(folder: Path, **options: Any) -> "Study":
    """Open the study in a folder's journal; with options of `optuna.create_study` it is made where there is none."""
    storages, journal = optuna().storages, folder / "journal.log"
    if not options and not journal.is_file():
        fix = "`latens sweep DATA --set OPTION=A,B --trials N --out FOLDER` makes one."
        raise RunFolderError("there is no sweep.", where=str(folder), fix=fix)
    storage = storages.JournalStorage(storages.journal.JournalFileBackend(str(journal)))
    given = {"study_name": "latens", "direction": "maximize", "load_if_exists": True}
    return optuna().create_study(storage=storage, **given, **options)


def load_sweep(folder: str | Path) -> Contest:
    """Read the trials of a sweep that came to their end, from its folder, also while others are trained.

    Args:
        folder: The folder that `latens sweep --out FOLDER` wrote.

    Returns:
        The trials, best first; `.table()` writes them.

    Raises:
        ConfigError: Optuna is not installed, or trials are measured by other numbers than the rest.
        RunFolderError: There is no sweep, or none of its trials came to its end.
    """
    path = as_path(folder, "folder")
    done = [trial for trial in study_of(path).trials if trial.state.name == "COMPLETE"]
    kinds = {tuple(trial.user_attrs["metric"]) for trial in done}
    if len(kinds) != 1:
        what = "its trials have numbers of several kinds." if kinds else "no trial of the sweep came to its end."
        fix = "Let trials differ in neither data.* nor the kind of likelihood." if kinds else "Let it train on."
        raise (ConfigError if kinds else RunFolderError)(what, where=str(path), fix=fix)
    found: dict[str, dict[int, Run]] = {}
    for trial in done:
        seeds = trial.user_attrs["seeds"]
        found[TRIAL.format(trial.number)] = {int(seed): Run(Estimate(**fields)) for seed, fields in seeds.items()}
    options = {TRIAL.format(trial.number): dict(sorted(trial.params.items())) for trial in done}
    metric, unit, _, protocol = next(iter(kinds))
    return Contest(metric, unit, protocol, ranked(found, options))


def measured(run: Path, data: Dataset, num_samples: int) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Measure a run on the validation rows, as `latens evaluate` measures test rows."""
    # returns: what the number is (metric, unit, density, protocol), and the fields of its estimate.
    trained = TrainedModel.load(run / "model.safetensors")
    assert trained.config is not None
    data = as_split(trained.config, data)
    positions = every_nth(data.subset("validation"), MEASURED)
    found = per_row(trained, data, positions, num_samples, 0)
    weight = None if data.weight is None else data.weight[scored(data, positions, found)]
    return (found.name, found.unit, found.what, found.protocol), vars(estimate_of(found, weight, 0))
