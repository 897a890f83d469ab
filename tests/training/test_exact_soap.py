"""SOAP on a matrix of two rows, with bases that are known without an eigenvalue solver."""

import jax.numpy as jnp
import numpy as np
from checks import close

from latens.training.soap import Side, back, turned

ANGLE = 0.3
LEFT = np.array([[np.cos(ANGLE), -np.sin(ANGLE)], [np.sin(ANGLE), np.cos(ANGLE)]])
RIGHT = np.eye(3)[[2, 0, 1]]
ARRAY = np.arange(6.0).reshape(2, 3)


def side(basis):
    return Side(jnp.zeros(basis.shape), jnp.asarray(basis))


def test_an_array_is_turned_into_its_bases_and_back():
    both = (side(LEFT), side(RIGHT))
    close(turned(jnp.asarray(ARRAY), both), LEFT.T @ ARRAY @ RIGHT)
    close(back(jnp.asarray(ARRAY), both), LEFT @ ARRAY @ RIGHT.T)
    close(back(turned(jnp.asarray(ARRAY), both), both), ARRAY)
    close(turned(jnp.asarray(ARRAY), (side(LEFT), None)), LEFT.T @ ARRAY)
    close(back(jnp.asarray(ARRAY), (None, side(RIGHT))), ARRAY @ RIGHT.T)
    close(turned(jnp.asarray(ARRAY), (None, None)), ARRAY)
