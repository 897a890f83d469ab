"""All rows train once more, for as many steps as were best before: `--set final=all`."""

import numpy as np
import pytest
from training_fixtures import assert_same_bits, make_model, run, stage

import latens
from latens.config import override
from latens.errors import ConfigError
from latens.fitting import Experiment, prepare
from latens.recipes import get_recipe
from latens.training import Budget, Interrupted, Pause, Stage


def stages() -> list[Stage]:
    """A stage that validates after every epoch of six steps, and one of all rows."""
    first = stage(Budget(epochs=3))
    return [first, Stage(first.objective, first.optimizer, Budget(epochs=3), lambda _, data: make_model(), again=True)]


def test_the_second_time_all_rows_train_for_the_best_step() -> None:
    seen = []
    found = run(stages=stages(), callbacks=[lambda e: seen.append(e.snapshot.loop) if e.kind == "stage-end" else None])
    best = seen[0].best_step
    assert best > 0
    assert (found.snapshot.loop.total, found.snapshot.loop.step) == (18 + best, best)
    # 100 rows in batches of 16 make 7 steps; the 90 training rows made 6.
    epochs = [record["step"] for record in found.history if record["step"] > 18]
    assert epochs[0] == 18 + min(7, best)
    assert not any("validation" in name for record in found.history for name in record if record["step"] > 18)


@pytest.mark.parametrize("step", [4, 20, 22])
def test_it_resumes_bit_for_bit(step: int) -> None:
    def stop(event):
        return Pause("asked") if event.kind == "boundary" and event.snapshot.loop.total >= step else None

    whole = run(stages=stages())
    with pytest.raises(Interrupted) as stopped:
        run(stages=stages(), callbacks=[stop])
    snapshot = stopped.value.snapshot
    rest = run(stages=stages(), resume=(snapshot.loop.stage, lambda state, best: snapshot))
    assert_same_bits(whole.snapshot.state, rest.snapshot.state)
    assert_same_bits(whole.model, rest.model)
    assert rest.snapshot.loop.best_step == whole.snapshot.loop.best_step


def made(settings: dict, rows: int = 60) -> Experiment:
    x = np.random.default_rng(0).normal(size=(rows, 3)).astype(np.float32)
    config = override(get_recipe("default").config, {"training.steps": 4, "network.hidden": [4], **settings})
    return prepare(config, latens.read(x))


def test_a_recipe_trains_again_on_all_rows() -> None:
    experiment = made({"final": "all"})
    trained, result = latens.fitting.train(experiment)
    everyone = experiment.data.count("train") + len(experiment.data.subset("validation"))
    assert (trained.facts["rows"], trained.facts["again"]) == (everyone, 4)
    assert (result.snapshot.loop.step, trained.facts["steps"], trained.facts["best_step"]) == (4, 8, 0)


def test_where_no_rows_of_their_own_validate_it_is_refused() -> None:
    with pytest.raises(ConfigError, match="no rows of their own validate"):
        made({"final": "all", "data.validation": "none"})
