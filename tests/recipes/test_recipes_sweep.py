"""Every recipe from the command: train, evaluate, sample, reload, resume. And no two recipes are the same."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cli_fixtures import Result, process

from latens.config import VAEConfig, to_json
from latens.data import load
from latens.latents import decode, encode
from latens.recipes import RECIPES
from latens.recipes.custom_parts import OWN
from latens.trained.trained_model import TrainedModel

pytest_plugins = ("cli_fixtures",)

TRAINED = [name for name, recipe in RECIPES.items() if isinstance(recipe.config, VAEConfig)]
"""Those of arrays; the recipe of mixed tables has tests of its own."""
ALIKE = (
    *("autoencoder", "capacity", "ciwae", "dip-vae-ii", "exemplar-prior", "fast-forward-2d", "iwae-5", "kl-warmup"),
    *("laplace-vae", "notebook-normal", "piwae", "planar-flow", "rae-l2"),
    *("factor-analysis", "logistic-factor-analysis"),
    *("sigmoid-belief-network"),
    *("mopoe", "vq-vae-ema", "mlq-vae", "renyi"),
    *("dreg", "student-t-vae"),
    *("cells"),
)
"""Recipes that differ from one in the quick suite by an option or a density with tests of its own: in `make long`."""
SWEPT = [pytest.param(name, marks=pytest.mark.long) if name in ALIKE else name for name in TRAINED]
NO_PRIOR = ("autoencoder", "mlq-autoencoder", "rae-gp", "rae-l2")
PROCESSES = ("iwae", "vamp-prior", "conv-vae")
"""Trained by processes of their own, as a user would."""


def flags(name: str) -> list[str]:
    network = RECIPES[name].config.network
    small = ["--set", "network.hidden=32"] if network.kind == "dense" and network.hidden is None else []
    small += ["--set", "network=conv"] if network.map else []
    options = RECIPES[name].config.objective.options
    few = ["--set", "objective.num_samples=4"] if options.get("num_samples", 0) > 10 else []
    few += ["--set", "optimizer.warmup_steps=0"] if RECIPES[name].config.optimizer.schedule == "cosine" else []
    few += ["--set", "objective.num_averages=2"] if "num_averages" in options else []
    return ["--epochs", "2", "--num-samples", "3", *small, *few]


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Path]:
    """The folder into which every program goes that JAX lowers meanwhile."""
    folder = tmp_path / "programs"
    jax.config.update("jax_dump_ir_to", str(folder))
    yield folder
    jax.config.update("jax_dump_ir_to", "")


def waiting(folder: Path) -> list[str]:
    """Programs with an operation that waits for XLA's threads inside of one of them: LAPACK on several matrices at once
    (jaxlib 0.10.0 to 0.11.0), and Fourier transforms. Two of them at a time can wait for each other for ever."""
    found = []
    for path in folder.glob("*.mlir"):
        for line in path.read_text().splitlines():
            shapes = re.findall(r"tensor<((?:\d+x)+)[fc]\d", line) if "custom_call @lapack" in line else []
            if "stablehlo.fft" in line or any(shape.count("x") > 2 for shape in shapes):
                found.append(f"{path.name}: {line.strip()}")
    return found


def test_a_program_that_waits_is_found(programs: Path) -> None:
    for function in (jax.vmap(jnp.linalg.cholesky), jax.vmap(lambda matrix: matrix @ matrix), jnp.fft.fft):
        jax.jit(lambda x, f=function: f(x))(jnp.ones((2, 3, 3)))
    jax.jit(lambda x: jnp.linalg.cholesky(x))(jnp.ones((3, 3)))
    assert len(waiting(programs)) == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", SWEPT)
def test_a_recipe_from_data_to_reloaded_model(
    latens: Callable[..., Result], tmp_path: Path, programs: Path, name: str
) -> None:
    folder = tmp_path / "run"
    rows: str | Path = "digits"
    if RECIPES[name].config.likelihood.family == "tokens":
        rows = tmp_path / "rows.txt"
        rows.write_text("".join(f"{one}\n" for one in ("abc", "ba", "cab", "b", "aabca") * 12))
    words = ["fit", rows, "--recipe", name, *flags(name), "--out", folder]
    if name in PROCESSES:
        done = process("import sys; from latens.cli.main import main; sys.exit(main(sys.argv[1:]))", *words, "--json")
        assert done.returncode == 0, done.stderr
        value = json.loads(done.stdout)
    else:
        result = latens(*words, "--json")
        assert result.code == 0, result.err
        value = result.json
    numbers = [metric["value"] for metric in value["metrics"].values()]
    assert np.isfinite(numbers).all()
    assert len(numbers) >= 1
    # The same numbers from the file, to the last bit of what was reported.
    again = latens("evaluate", folder, "--num-samples", 3, "--json").json["metrics"]
    assert {n: m["value"] for n, m in again.items()} == {n: m["value"] for n, m in value["metrics"].items()}
    sampled = latens("sample", folder, "-n", 3, "--out", tmp_path / "s.npz")
    assert sampled.code == (4 if name in NO_PRIOR else 0), sampled.err
    one, two = (TrainedModel.load(folder / "model.safetensors") for _ in range(2))
    batch, key = one.batch(load(rows, schema=one.schema), np.arange(5)), jax.random.key(0)
    codes = [encode(m.rows(batch, key=key))["mean"] for m in (one, two)]
    assert codes[0].tobytes() == codes[1].tobytes()
    cond = one.condition(one.in_turn(5))
    assert decode(one.model, codes[0], cond=cond).tobytes() == decode(two.model, codes[1], cond=cond).tobytes()
    finished = latens("resume", folder, "--json")
    assert (finished.code, finished.json["state"]) == (0, "done")
    assert waiting(programs) == []


def test_no_two_recipes_are_the_same() -> None:
    seen: dict[str, str] = {}
    for name, recipe in RECIPES.items():
        if ("model", name) in OWN:  # of another test
            continue
        config = {key: value for key, value in to_json(recipe.config).items() if key != "recipe"}
        text = json.dumps(config, sort_keys=True)
        assert text not in seen, f"{name} is {seen.get(text)}"
        seen[text] = name
    assert len(seen) >= 50


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_says_where_it_is_from_and_when_to_use_it(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe.name == name
    assert 10 <= len(recipe.summary) <= 200
    assert recipe.use_when[0].islower()
    assert any(character.isdigit() for character in recipe.source) or "MLQ" in recipe.source
