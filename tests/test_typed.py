"""What editors and static checkers see: typed arguments, public names, docstrings that name every argument."""

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import latens
from latens import VAE, Autoencoder, GenerativeClassifier

ROOT = Path(latens.__file__).parents[1]
SCRIPT = """
import jax
import numpy as np

import latens
from latens import VAE, Autoencoder, GenerativeClassifier

x = np.zeros((100, 4), np.float32)
vae = VAE(latent_dim=2, hidden=(32,), epochs=3.5, settings={"optimizer.schedule": "cosine"}, random_state=0).fit(x)
codes: np.ndarray = vae.transform(x)
rows = vae.sample(5) + vae.prior_predictive(5, mean=True) + vae.reconstruct(x)[:5]
number: float = vae.score(x) + float(vae.score_samples(x).mean())
filled = vae.impute(x, n_draws=2)
again = VAE.load(vae.save("vae.safetensors"))
print(vae.model_.encode(x), latens.load("pretrained:digits-2d").sample(3))
plain = Autoencoder(2, encoder=None).fit(x)
bayes = GenerativeClassifier("mixture", random_state=np.random.RandomState(0)).fit(x, [0, 1] * 50)
print(bayes.predict_proba(x), plain.history_, again.latent_dim_, vae.reasons_, bayes.classes_)

data = latens.read(x)
opened = latens.load("vae.safetensors")
key = jax.random.key(0)
found = latens.evidence.log_marginal(opened.rows(x, key=key), num_samples=10)
print(latens.recipes.get_recipe("default").name, data.schema, found)
"""
WRONG = {
    'VAE(latent_dim="two")': "latent_dim",
    'Autoencoder(hidden="wide", learning_rate="fast")': "hidden, learning_rate",
    "GenerativeClassifier(n_components=2.5)": "n_components",
    "VAE(laten_dim=2)": "laten_dim",
}


@pytest.mark.slow
def test_a_users_script_is_checked_strictly(tmp_path: Path) -> None:
    pytest.importorskip("pyright")
    (tmp_path / "right.py").write_text(SCRIPT)
    (tmp_path / "wrong.py").write_text("from latens import VAE, Autoencoder, GenerativeClassifier\n" + "\n".join(WRONG))
    config = {"typeCheckingMode": "strict", "include": ["right.py", "wrong.py"], "extraPaths": [str(ROOT)]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({**config, "reportUnusedExpression": False}))
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "CI": "1"})
    found = json.loads(done.stdout)["generalDiagnostics"]
    assert [each for each in found if each["file"].endswith("right.py")] == []
    lines: dict[int, list[str]] = {}
    for each in found:
        name = re.search(r'(?:to|named) (?:parameter )?"(\w+)"', each["message"])
        assert name, each["message"]
        lines.setdefault(each["range"]["start"]["line"], []).append(name[1])
    assert {line: ", ".join(names) for line, names in lines.items()} == dict(enumerate(WRONG.values(), 1))


def test_public_names_are_listed_and_nothing_else() -> None:
    assert dir(latens) == sorted([*latens.__all__, "__version__"])
    assert sorted(latens.__all__) == sorted(latens._HOME)
    assert {"VAE", "fit", "load", "read"} <= set(dir(latens))
    everything: dict = {}
    exec("from latens import *", everything)
    assert set(latens.__all__) == set(everything) - {"__builtins__"}
    assert (Path(latens.__file__).parent / "py.typed").exists()


@pytest.mark.parametrize("kind", [VAE, Autoencoder, GenerativeClassifier])
def test_docstrings_name_every_argument(kind: type) -> None:
    section = re.search(r"\nArgs:\n(.*?)(\n\n|\Z)", inspect.getdoc(kind) or "", re.DOTALL)
    assert section
    named = re.findall(r"^    (\w+): ", section[1], re.MULTILINE)
    assert named == list(inspect.signature(kind).parameters)
    hints = inspect.get_annotations(kind.__init__)
    assert sorted(hints) == sorted([*named, "return"])
    assert kind(**dict.fromkeys(named, "anything")).get_params(deep=False) == dict.fromkeys(named, "anything")
