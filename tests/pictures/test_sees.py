"""Every picture has one sentence that says what to see."""

from latens.pictures.draw import PICTURES
from latens.pictures.sees import SEES


def test_every_picture_says_what_to_see() -> None:
    assert {one.family for one in PICTURES.values()} == set(SEES)
    for name, sentence in SEES.items():
        assert sentence.startswith("See "), name
        assert sentence.endswith("."), name
        assert sentence.count(". ") == 0, name
        assert len(sentence.split()) <= 25, name
