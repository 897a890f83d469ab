"""What is decided of rows of text: the size of a batch follows from how long they are."""

import pytest

from latens import read
from latens.recipes import get_recipe
from latens.trained import prepare


@pytest.mark.parametrize(("rows", "length", "size"), [(1300, 4, 128), (1300, 95, 64), (300, 95, 32), (300, 400, 8)])
def test_batches_of_long_texts_have_fewer_rows(rows: int, length: int, size: int) -> None:
    data = read([" ".join(["a", "b"] * (length // 2)) + f" {number % 7}" for number in range(rows)], pieces="words")
    plan = prepare(get_recipe("text").config, data)
    assert plan.config.training.batch_size == size
    assert any(f"batches of {size}," in reason and "tokens on average" in reason for reason in plan.reasons)
