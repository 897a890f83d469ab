"""Types and shapes are checked at run time, whenever a function is called first."""

import os

import jax.numpy as jnp
import numpy as np
import pytest
from beartype.roar import BeartypeCallHintParamViolation
from jaxtyping import Float, TypeCheckError, jaxtyped
from shape_checks import at_first_call, shaped_alone

from latens.distributions.special import weighted_excess


def half(x: float) -> float:
    return x / 2


def test_every_call_is_checked() -> None:
    checked = at_first_call(half)
    for _ in range(2):
        with pytest.raises(BeartypeCallHintParamViolation):
            checked("3")
        assert checked(3) == 1.5  # an int is a float


@pytest.mark.more
@pytest.mark.skipif(os.environ.get("LATENS_CHECK_SHAPES", "0") == "0", reason="shapes are not checked in this run")
def test_functions_of_latens_are_checked() -> None:
    one = jnp.ones(3)
    assert weighted_excess(one, one, one).shape == (3,)
    with pytest.raises(TypeCheckError):
        weighted_excess(one, one, jnp.zeros(3, int))


def kept(rows: dict[str, Float[np.ndarray, " n"]]) -> int:
    return len(rows)


def named(x: "Float[np.ndarray, ' n']") -> int:
    return len(x)


def test_functions_with_a_shape_alone_are_wrapped() -> None:
    decorated = shaped_alone(jaxtyped)(typechecker=at_first_call)
    assert decorated(half) is half
    for function in (kept, named):
        assert decorated(function) is not function
    with pytest.raises(TypeCheckError):
        decorated(kept)({"a": np.zeros((2, 2))})
