"""Whether a model overfits: one answer from the curves, the kept step and the measured gap."""

import itertools
from typing import Any

from latens.report.warnings import warnings_of
from latens.workflow.overfit import Overfit, fall
from latens.workflow.overfit import overfit as answered


def overfit(**given: Any) -> str:
    return answered(**given).line


def number(value: float, error: float | None = None, n: int = 198) -> dict[str, Any]:
    return {"value": value, "standard_error": error, "n": n}


def epochs(*values: float, train: float = -100.0) -> list[dict[str, Any]]:
    return [{"step": 10 * k, "validation_elbo": v, "train_elbo": train} for k, v in enumerate(values, start=1)]


GIVEN: dict[str, Any] = {"steps": 30, "because": "budget", "kept_last": False, "again": False, "metrics": {}}


def test_overfitting_is_told_from_what_is_kept() -> None:
    """Validation best at step 20 of 30: kept, that is no overfitting; the last one kept, it is."""
    history = epochs(-101.0, -99.0, -120.0)
    after = "Overfit: no. Step 20 of 30 is kept; after it validation rows lost."
    assert overfit(**GIVEN | {"best_step": 20, "history": history}) == after
    level = epochs(-110.0, -99.0, -99.1)  # 0.1 of 11 nats is noise
    assert "no. Step 20 of 30 was best" in overfit(**GIVEN | {"best_step": 20, "history": level})
    assert "no. Step 20 was best" in overfit(**GIVEN | {"best_step": 20, "history": level, "kept_last": True})
    assert "yes. Step 20" in overfit(**GIVEN | {"best_step": 20, "history": history, "kept_last": True})
    rising = overfit(**GIVEN | {"best_step": 30, "history": epochs(-101.0, -100.0, -99.0)})
    assert rising == "Overfit: no. Validation rows gained to the end, so longer may be better."
    assert "unknown" in overfit(**GIVEN | {"best_step": None, "history": []})
    assert "unknown" in overfit(**GIVEN | {"best_step": 30, "history": [], "again": True})
    assert overfit(**GIVEN | {"best_step": None, "history": [], "steps": 0}) == ""


def test_training_rows_far_above_validation_rows_are_overfitted_in_part() -> None:
    """A gain of 10 on held-out rows and 11 nats apart: more than half of the 21 is lost; 9 apart: less."""
    metrics = {"gain_over_independent": number(10.0, 0.5)}
    apart = lambda size: overfit(  # noqa: E731
        **GIVEN | {"best_step": 30, "history": epochs(-100.0 - size, train=-100.0), "metrics": metrics}
    )
    assert apart(11.0).startswith("Overfit: in part. Training rows do 11.0 nats better")
    assert apart(9.0).startswith("Overfit: no")


def test_hidden_cells_of_training_rows_are_no_overfitting() -> None:
    """Training rows with an eighth of 28 nats hidden look 3.5 nats better; whole, they are 0.1 better."""
    metrics, history = {"gain_over_independent": number(2.3, 0.1)}, epochs(-28.0, train=-24.5)
    given = GIVEN | {"best_step": 30, "history": history, "metrics": metrics}
    assert overfit(**given).startswith("Overfit: in part. Training rows do 3.5 nats better than validation")
    assert overfit(**given, apart=number(0.1, 0.2)).startswith("Overfit: no")
    # 2.4 of 4.7 are lost, just more than half: not within an error of 0.2, and surely with one of 0.01.
    assert overfit(**given, apart=number(2.4, 0.2)).startswith("Overfit: no")
    assert "2.4 nats better than held-out rows" in overfit(**given, apart=number(2.4, 0.01))


def test_the_measured_gap_decides_where_it_was_measured() -> None:
    metrics = {"gain_over_independent": number(10.0, 0.5), "generalisation_gap": number(15.0, 0.5)}
    assert overfit(**GIVEN | {"best_step": 30, "history": [], "metrics": metrics}).startswith("Overfit: yes.")
    metrics["generalisation_gap"] = number(2.0, 0.5)
    assert overfit(**GIVEN | {"best_step": 30, "history": [], "metrics": metrics}).startswith("Overfit: no.")


def curves(train: list[float], validation: list[float]) -> list[dict[str, Any]]:
    return [
        {"event": "epoch", "step": 10 * k, "train_elbo": a, "validation_elbo": b}
        for k, (a, b) in enumerate(zip(train, validation), 1)
    ]


TURNED = curves([-50, -30, -25, -20], [-52, -40, -38, -39])


def test_a_fall_is_told_with_its_numbers() -> None:
    """-38 at step 30 to -39; 1 of the 14 nats gained. Noise below 2 % is none, nor a training that fell as well."""
    words = "After step 30 the ELBO of validation rows fell by 1.00 nats, while that of training rows rose by 5.00."
    assert fall(TURNED, 30) == words
    assert fall(curves([-50, -30, -25, -20], [-52, -40, -38, -38.2]), 30) == ""
    assert fall(curves([-50, -30, -25, -20], [-52, -40, -38, -38.3]), 30) != ""
    assert fall(curves([-50, -30, -25, -26], [-52, -40, -38, -39]), 30) == ""
    assert fall(curves([-50, -20], [-40, -50]), 10) == ""
    assert fall([{"event": "epoch", "step": 1, "train_elbo": -3.0}] * 5, 1) == ""
    # What validates may be another bound than the ELBO: the fall is told from the step that it chose.
    assert "fell by 0.50 nats" in fall(curves([-50, -30, -25, -20], [-52, -40, -39.0, -39.5]), 30)
    assert fall(TURNED, 40) == ""
    # A training by IWAE stops by it, whatever the ELBO does.
    rising = zip(TURNED, (-52, -40, -38, -37))
    assert fall([one | {"train_iwae": one["train_elbo"], "validation_iwae": b} for one, b in rising], 30) == ""
    turned = [one | {"train_iwae": one["train_elbo"], "validation_iwae": one["validation_elbo"]} for one in TURNED]
    assert fall(turned, 30) == words.replace("ELBO", "IWAE")


GAPS = ({}, {"gain_over_independent": number(10.0, 0.5), "generalisation_gap": number(2.0, 0.5)},
        {"gain_over_independent": number(10.0, 0.5), "generalisation_gap": number(15.0, 0.5)})  # fmt: skip
HISTORIES = (TURNED, curves([-50, -30, -25, -20], [-52, -40, -39, -38]), [])
WAYS = list(itertools.product(GAPS, HISTORIES, (None, 30, 40), (False, True), (False, True)))


def test_the_answer_and_the_warnings_never_disagree() -> None:
    """Whatever a run says of itself: a warning of overfitting stands exactly where the answer is yes or in part."""
    stored = [{"name": "overfitting", "message": "training rows are 9 nats more probable; use more rows"}]
    for metrics, history, best, last, again in WAYS:
        given = {"metrics": metrics, "history": history, "best_step": best, "kept_last": last, "again": again}
        fit = answered(**GIVEN | given)
        for before in ([], stored):
            named = [one.name for one in warnings_of(before, [], fit)]
            assert named == (["overfitting"] if fit.answer in ("yes", "in part") else []), given
        assert len(fit.line) <= 80


def test_a_run_without_an_answer_keeps_its_warning() -> None:
    stored = [{"name": "overfitting", "message": "training rows are 9 nats more probable; use more rows"}]
    assert [one.name for one in warnings_of(stored, [])] == ["overfitting"]
    found = warnings_of([], [], Overfit("yes", "The last is kept.", "It fell."))
    assert [(one.title, one.found) for one in found] == [("Overfitting", "The last is kept. It fell.")]
