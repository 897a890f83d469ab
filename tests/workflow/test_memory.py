"""The memory of a training, told before it starts, and refused where the machine has much less."""

import dataclasses
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from latens.config import override
from latens.data import load
from latens.errors import ResourceError
from latens.networks import default_hidden
from latens.recipes import get_recipe
from latens.workflow import memory
from latens.workflow.experiment import prepare

PICTURES = np.zeros((200, 256, 256, 3), np.uint8)
PICTURES[:, :, ::2] = np.arange(200, dtype=np.uint8)[:, None, None, None]


def prepared(**settings):
    return prepare(override(get_recipe("default").config, settings), load(PICTURES, name="pictures"))


def test_a_program_holds_what_is_alive_at_once():
    """x + sin x of n floats: its sine and the sum are 8 n bytes; a thousand sines one after another too."""

    def one(x):
        return x + jnp.sin(x)

    def many(x):
        for _ in range(1000):
            x = jnp.sin(x)
        return x

    x = jax.ShapeDtypeStruct((50,), jnp.float32)
    for function in (one, many, jax.jit(one)):
        assert memory._peak(jax.make_jaxpr(function)(x).jaxpr, set()) == 8 * 50
    assert memory._peak(jax.make_jaxpr(one)(x).jaxpr, {(50,)}) == 0


def test_weights_count_with_their_copies(monkeypatch):
    """Six numbers a weight, and twice those of AdamW without momentum (the averaged squares, and z): 10 P floats."""
    monkeypatch.setattr(memory, "NOTED", 0)
    seen = []
    monkeypatch.setattr(
        "latens.workflow.experiment.stage_memory", lambda *of: seen.append(memory.stage_memory(*of)) or seen[-1]
    )
    experiment = prepared(**{"network.kind": "dense"})
    cells, (width, _) = 256 * 256 * 3, experiment.config.network.hidden
    weights = (2 * cells + 2 * width + 4 * 32) * width + 2 * cells
    assert seen[0][0] == pytest.approx(4 * 10 * weights, rel=0.01)
    assert seen[0][1] > 32 * cells * 4 * 2
    told = f"about {(sum(seen[0]) + memory.OF_PROGRAM) / 2**30:.1f} GB of memory"
    assert any(reason.startswith(told) for reason in experiment.reasons)


def test_what_the_machine_lacks_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 2**29)
    with pytest.raises(ResourceError, match=r"about 2\.\d GB of memory .* and 0\.5 GB are free") as refused:
        prepared()
    assert refused.value.exit_code == 7
    monkeypatch.setattr(memory, "free_memory", lambda: None)
    prepared()
    monkeypatch.setattr(memory, "free_memory", lambda: 2**29)
    small = np.eye(64, dtype=np.uint8).repeat(4, axis=0)
    reasons = prepare(get_recipe("default").config, load(small, name="small")).reasons
    assert not any("memory" in reason for reason in reasons)


@pytest.mark.parametrize("objective", ["iwae", "elbo", "wae"])
def test_the_remedy_names_the_number_that_takes_the_memory(monkeypatch, objective):
    """A hundred million draws were answered by --batch-size 8."""
    monkeypatch.setattr(memory, "free_memory", lambda: 2**32)
    data = load(np.eye(64, dtype=np.uint8).repeat(4, axis=0), name="small")
    option, config = "objective.num_samples", get_recipe("default").config
    config = override(config, {"objective": objective, "training.batch_size": 64})
    if objective == "wae":  # of which a batch is large, and nothing else
        option, config = "--batch-size", override(config, {"training.batch_size": 256, "network.hidden": 8})
        monkeypatch.setattr(memory, "free_memory", lambda: 1000)
        monkeypatch.setattr(memory, "NOTED", 1000)
    else:
        config = override(config, {option: 10**8})
    with pytest.raises(ResourceError) as refused:
        prepare(config, data)
    assert option in refused.value.fix
    if objective != "wae":
        few = int(refused.value.fix.split("=")[1].split()[0])
        prepare(override(config, {option: few}), data)


@pytest.mark.parametrize(
    ("rows", "side", "size"), [(1250, 16, 128), (1250, 256, 32), (200, 256, 32), (200, 512, 8), (1250, 512, 8)]
)
@pytest.mark.parametrize("recipe", ["default", "conv-vae"])
def test_a_batch_holds_at_most_eight_million_values(recipe, rows, side, size):
    """Unless its size was given; convolutions that the default chose take small ones."""
    usual = 32 if rows < 1000 or recipe == "default" else 128
    size = min(size, usual)
    few = load(np.random.default_rng(0).integers(0, 256, (4, side, side, 3)).astype(np.uint8), name="few")
    many = dataclasses.replace(
        few,
        x=np.broadcast_to(few.x[:1], (rows, *few.x.shape[1:])),
        row_id=np.arange(rows, dtype=np.uint32),
        names=np.arange(rows),
        split=np.zeros(rows, np.uint8),
    )
    found = get_recipe(recipe)
    config = override(found.config, {"likelihood.family": "normal"})
    resolved, reasons = found.resolve(config, many)
    assert resolved.training.batch_size == size
    assert (f"of {3 * side**2:,} values" in " ".join(reasons)) == (size < usual)
    given, _ = found.resolve(override(config, {"training.batch_size": 100}), many)
    assert given.training.batch_size == 100


@pytest.mark.long
@pytest.mark.parametrize("recipe", ["default", "conv-vae"])
def test_a_training_takes_what_was_told(tmp_path, recipe):
    """The peak of `fit` and `evaluate` of 200 smooth pictures of 256 x 256 x 3: at most 1.5 times what `fit` said."""
    noise = np.random.default_rng(0).normal(size=(200, 32, 32, 3))
    smooth = np.stack([ndimage.zoom(ndimage.gaussian_filter(one, (2, 2, 0)), (8, 8, 1), order=1) for one in noise])
    low, high = smooth.min((1, 2, 3), keepdims=True), smooth.max((1, 2, 3), keepdims=True)
    np.save(tmp_path / "x.npy", (255 * (smooth - low) / (high - low)).astype(np.uint8))
    data, run = str(tmp_path / "x.npy"), str(tmp_path / "run")
    told = prepare(get_recipe(recipe).config, load(np.load(data), name="x")).reasons
    (said,) = [float(found[1]) for reason in told if (found := re.match(r"about ([\d.]+) GB of memory", reason))]
    for words in (
        ["fit", data, "--recipe", recipe, "--steps", "5", "--out", run],
        ["evaluate", run, "--num-samples", "20"],
    ):
        code = "import sys; from latens.cli.main import main; sys.exit(main(sys.argv[1:]))"
        # The peak of a child begins with that of the process that made it: a small one makes this one.
        small = (
            "import os, subprocess, sys; child = subprocess.Popen(sys.argv[1:], stdout=2); "
            "_, status, used = os.wait4(child.pid, 0); print(status, used.ru_maxrss)"
        )
        done = subprocess.run(
            [sys.executable, "-c", small, sys.executable, "-c", code, *words],
            capture_output=True,
            text=True,
            check=True,
        )
        status, kilobytes = map(int, done.stdout.split())
        peak = kilobytes / 2**20
        print(f"{recipe} {words[0]}: {peak:.2f} GB, said {said}")
        assert status == 0, done.stderr
        assert peak <= min(1.5 * said, 4.0)


@pytest.mark.parametrize(
    ("shape", "width"), [((16,), 128), ((784,), 500), ((64, 64), 500), ((180, 180), 500), ((256, 256, 3), 85)]
)
def test_default_widths_are_bounded_by_the_weights_of_a_layer(shape, width):
    assert default_hidden("dense", shape) == (width, width)
    assert np.prod(shape) * width <= max(2**24, 64 * np.prod(shape))
