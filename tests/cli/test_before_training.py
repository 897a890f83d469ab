"""What is said before a training on pictures: plain lines first, and no more than can be read."""

from types import SimpleNamespace

import numpy as np

from latens.cli.training import MOST_LINES, before_training
from latens.data import load

TECHNICAL = ["convolutions of 8 channels", "likelihood: categorical, because", "batches of 32", "weight decay 0.05",
             "gradients of a norm above 100 are clipped", "networks that begin at", "16 latent units"]  # fmt: skip
PLAIN = ["40 training pictures are few", "up to 4 minutes"]


def lines(reasons, shape=(4, 8, 8)):
    data = load(np.random.default_rng(0).integers(0, 17, shape).astype(np.uint8), name="x")
    return before_training(SimpleNamespace(reasons=reasons, data=data))


def test_many_lines_of_pictures_leave_technical_ones_to_the_log():
    assert lines([*TECHNICAL, *PLAIN]) == [*PLAIN, "7 choices that were made for you: log.txt of the run"]


def test_few_lines_and_those_of_tables_are_all_said():
    few = [*TECHNICAL, *PLAIN][:MOST_LINES]
    assert lines(few) == few
    assert lines([*TECHNICAL, *PLAIN], (4, 9)) == [*TECHNICAL, *PLAIN]
    assert lines(["batches of 32", *PLAIN * 5]) == ["batches of 32", *PLAIN * 5]  # one line saves none
