"""What a newcomer reads of a model: the share of bits, and the gain a cell."""

import math
from typing import Any

import pytest

from latens.io.terminal import RULE, WIDTH, with_record
from latens.workflow.plain import better, duration


def number(value: float, error: float | None = None, n: int = 198) -> dict[str, Any]:
    return {"value": value, "standard_error": error, "n": n}


DIGITS = {"log_marginal": number(-90.0, 0.9), "bits_per_dimension": number(2.03, 0.02),
          "gain_over_independent": number(10.0, 0.5)}  # fmt: skip
TABLE = {"log_marginal": number(-30.0, 0.3), "gain_over_independent": number(4 * math.log(1.5), 0.04)}


def said(metrics: dict[str, Any], **given: Any) -> str:
    fixed = {"split": "test", "held_out": True, "cells": 64.0, "each": "pixel"}
    return better(metrics, **(fixed | given))


def test_bits_are_those_of_both_models() -> None:
    """90 nats beside 100 are a tenth fewer, and so are 90 bits beside 100; the error is 0.5 of 100."""
    assert said(DIGITS) == "On 198 unseen rows: 10.0 ± 0.5 % fewer bits than guessing pixel by pixel."


def test_densities_are_told_by_cell() -> None:
    """e^(4 ln 1.5) a row of four cells is 1.5 a cell; 0.04 nats a row are 0.01 a cell, of 1.5."""
    words = "On 198 unseen rows: cells 50 ± 2 % more likely than guessing column by column."
    assert said(TABLE, cells=4.0, each="column") == words
    # The unit of a column moves log p(x) and that of the guess alike, so nothing changes.
    moved = TABLE | {"log_marginal": number(-300.0, 0.3)}
    assert said(moved, cells=4.0, each="column") == words


@pytest.mark.parametrize(
    ("size", "error", "words"),
    [(-10.0, 0.5, "12.5 ± 0.6 % MORE bits than guessing pixel by pixel."), (0.9, 0.5, "no better than guessing")],
)
def test_a_worse_model_is_said_to_be_one(size: float, error: float, words: str) -> None:
    assert words in said(DIGITS | {"gain_over_independent": number(size, error)})
    fewer = TABLE | {"gain_over_independent": number(-4 * math.log(1.25), 0.04)}
    assert "cells 20.0 ± 0.8 % LESS likely" in said(fewer, cells=4.0, each="column")


@pytest.mark.parametrize(
    ("split", "held_out", "words"),
    [("train", False, "On 198 training rows:"), ("validation", False, "On 198 validation rows:"),
     ("all", None, "On 198 rows of other data:")],
)  # fmt: skip
def test_rows_are_called_what_they_are(split: str, held_out: bool | None, words: str) -> None:
    assert said(DIGITS, split=split, held_out=held_out).startswith(words)


def test_other_models_are_told_by_their_own_number() -> None:
    accuracy = {"accuracy": number(0.95, 0.016)}
    assert said(accuracy, classes=10) == "On 198 unseen rows: the class is right in 95 ± 2 % (guessing: 10 %)."
    pairs = {"log_marginal": number(-5.0, 0.1), "target_squared_error": number(3.0, 0.1),
             "gain_over_mean_target": number(1.0, 0.1)}  # fmt: skip
    assert said(pairs) == "On 198 unseen rows: targets 25 % closer than their mean."
    assert said({"log_likelihood": number(-30.0, 0.4)}) == ""


def test_times_and_the_rule() -> None:
    assert [duration(s) for s in (0.2, 11.4, 100.0, 720.0, 8640.0)] == ["less than 1 s", "11 s", "2 min", "12 min",
                                                                      "2.4 h"]  # fmt: skip
    assert len(RULE) == WIDTH
    assert with_record(["a", "", "b"], "numbers") == f"a\nb\n{RULE}\nnumbers"
    assert with_record([], "numbers") == "numbers"
