"""Every picture has one sentence that says what to see."""

from latens.model_figures.draw import PICTURES


def test_every_picture_says_what_to_see() -> None:
    said = {one.family: one.sees for one in PICTURES.values()}
    assert len(set(said.values())) > len(said) - 3  # graphs of networks share their sentence
    for name, sentence in said.items():
        assert sentence.startswith("See "), name
        assert sentence.endswith("."), name
        assert sentence.count(". ") == 0, name
        assert len(sentence.split()) <= 25, name
