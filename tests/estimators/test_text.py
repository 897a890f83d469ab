"""A list of strings in the scikit-learn door: fit, codes, samples, files, and what is refused."""

import numpy as np
import pytest

from latens import VAE
from latens.errors import ConfigError, DataError, UsageError

TEXTS = ["emma", "olivia", "ava", "li", "zoe", "liv"] * 10


@pytest.fixture(scope="module")
def vae() -> VAE:
    settings = {"network.hidden": 6, "likelihood.width": 6}
    return VAE(latent_dim=2, recipe="text", steps=2, batch_size=20, random_state=0, settings=settings).fit(TEXTS)


def test_strings_go_in_and_out(vae: VAE) -> None:
    assert vae.model_.schema.tokens.pieces == "characters"
    codes = vae.transform(TEXTS[:6])
    assert codes.shape == (6, 2)
    assert np.array_equal(vae.transform(np.array(TEXTS[:6])), codes)
    assert len({row.tobytes() for row in codes}) == 6
    drawn = vae.sample(5, random_state=1)
    assert (len(drawn), {type(one) for one in drawn}) == (5, {str})
    assert drawn == vae.sample(5, random_state=1)
    assert set("".join(drawn)) <= set("".join(TEXTS))
    assert [type(one) for one in vae.posterior_predictive(TEXTS[:2])] == [str, str]
    again = vae.score_samples([*TEXTS[:3]])
    assert np.allclose(again, vae.score_samples(TEXTS[:3][::-1])[::-1], rtol=1e-5)
    assert (again < 0).all()


def test_what_strings_cannot_do_is_refused(vae: VAE) -> None:
    with pytest.raises(DataError, match="X, row 1: character 1 is 'x', which the vocabulary"):
        vae.transform(["emma", "xavier"])
    with pytest.warns(UserWarning, match="1 of 2 rows hold pieces that no training row had"):
        assert vae.transform(["emma", "xavier"], unknown="skip").shape == (1, 2)
    assert vae.transform(["emma", "xavier"], unknown="missing").shape == (2, 2)
    with pytest.raises(ConfigError, match="rows of text have no gaps to fill in"):
        vae.impute(["emma"])
    with pytest.raises(DataError, match="row 0: is a sequence of length 0"):
        VAE(steps=1).fit(["", "a"])
    with pytest.raises(UsageError, match="there are no pieces 'letters'"):
        VAE(steps=1, settings={"pieces": "letters"}).fit(TEXTS)
    numbers = VAE(latent_dim=1, steps=1, random_state=0).fit(np.eye(4))
    with pytest.raises(DataError, match="holds text; the model was trained on numbers"):
        numbers.transform(["a", "b"])


def test_a_file_holds_the_vocabulary(vae: VAE, tmp_path) -> None:
    again = VAE.load(vae.save(tmp_path / "names.safetensors"))
    assert again.model_.schema == vae.model_.schema
    assert np.array_equal(again.transform(TEXTS[:3]), vae.transform(TEXTS[:3]))
