"""The memory of a training, told before it starts, and refused where the machine has much less."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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
    experiment = prepared()
    cells, (width, _) = 256 * 256 * 3, experiment.config.network.hidden
    weights = (2 * cells + 2 * width + 4 * 32) * width + 2 * cells
    assert seen[0][0] == pytest.approx(4 * 10 * weights, rel=0.01)
    assert seen[0][1] > 32 * cells * 4 * 2
    assert any(reason.startswith("about 1.") and "GB of memory" in reason for reason in experiment.reasons)


def test_what_the_machine_lacks_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 2**29)
    with pytest.raises(ResourceError, match=r"about 1\.\d GB of memory .* and 0\.5 GB are free") as refused:
        prepared()
    assert refused.value.exit_code == 7
    monkeypatch.setattr(memory, "free_memory", lambda: None)
    prepared()
    monkeypatch.setattr(memory, "free_memory", lambda: 2**29)
    small = np.eye(64, dtype=np.uint8).repeat(4, axis=0)
    reasons = prepare(get_recipe("default").config, load(small, name="small")).reasons
    assert not any("memory" in reason for reason in reasons)


@pytest.mark.parametrize(
    ("shape", "width"), [((16,), 128), ((784,), 500), ((64, 64), 500), ((180, 180), 500), ((256, 256, 3), 85)]
)
def test_default_widths_are_bounded_by_the_weights_of_a_layer(shape, width):
    assert default_hidden("dense", shape) == (width, width)
    assert np.prod(shape) * width <= max(2**24, 64 * np.prod(shape))
