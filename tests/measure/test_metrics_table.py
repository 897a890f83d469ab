"""Every number is one row: its fields are filled, and what a command emits has one."""

import re

import pytest
from paths import ROOT

from latens.trained.metric_functions import NEEDS
from latens.trained.metrics import LAST_HEADLINE, MADE, METRICS, metric_of, ranked

WITHOUT_UNIT = {"density"}


@pytest.mark.parametrize("name", METRICS)
def test_every_field_of_a_metric_is_filled(name: str) -> None:
    row = METRICS[name]
    assert row.name == name
    assert row.unit or name in WITHOUT_UNIT
    assert row.words
    assert row.needs
    assert all(name not in names or set(row.needs.split(", ")) <= set(NEEDS) for names in MADE.values())
    assert row.told in ("", "always", *ranked(LAST_HEADLINE))
    assert row.words not in {one.words for one in METRICS.values() if one is not row}


def test_ranks_are_places() -> None:
    assert sorted(row.rank for row in METRICS.values() if row.rank) == list(range(1, len(ranked()) + 1))
    found = ranked(LAST_HEADLINE)
    assert found == ["log_marginal", "cross_entropy_bound", "accuracy", "log_likelihood", "two_sample_accuracy"]


def test_a_number_that_is_counted_has_its_count_in_its_words() -> None:
    assert (metric_of("kl_level_12").words, metric_of("kl_level_12").label) == ("kl level 12", "  level 12")
    with pytest.raises(KeyError):
        metric_of("no_such_number_1")


def test_the_page_names_numbers_that_exist() -> None:
    page = (ROOT / "docs" / "evaluate.md").read_text().partition("## Warnings")[0]
    lists = re.findall(r"^- ((?:`[a-z_0-9]+`(?:, )?)+):", page, re.MULTILINE)
    numbers = [name for cell in lists for name in re.findall(r"`([a-z_0-9]+)`", cell)]
    assert len(numbers) > 30
    assert [name for name in numbers if name not in METRICS and f"{name.rstrip('0123456789')}#" not in METRICS] == []
