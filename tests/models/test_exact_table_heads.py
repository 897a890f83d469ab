"""The heads of a mixed table on a few columns, by hand."""

import jax.numpy as jnp
import numpy as np
from checks import close
from scipy.special import expit, ndtri, softmax

from latens.kinds.tables.columns import ColumnType
from latens.models.heads.table import ATOMS, OrdinalHead, SegmentsHead, atoms_of, basis_of, middles_of

GRADES = ColumnType("ordinal", ("low", "mid", "high"), shares=(0.2, 0.5, 0.3))
# Six cells that stand apart, of other shares; the wide segment and the rare cell do not.
SHARES = (0.05, 0.2, 0.1, 0.3, 0.03, 0.15, 0.16, 0.01)
NUMBER = ColumnType("number", (), 0.0, 1.0, (0, 1, 2, 3, 4, 5, 6, 9), 10, SHARES, "int")


def test_an_ordinal_moves_with_its_first_output_and_widens_with_the_next():
    head, odds = OrdinalHead([GRADES]), np.log([0.2 / 0.8, 0.7 / 0.3])
    assert head.num_outputs == 2
    for location, wider in ((0.0, 0.0), (1.3, 0.0), (-0.4, 0.6)):
        cuts = np.array([odds[0], odds[0] + (odds[1] - odds[0]) * np.exp(wider)])
        expected = np.diff(np.concatenate([[0.0], expit(cuts - location), [1.0]]))
        found = head(jnp.array([location, wider]))
        close(jnp.exp(found.log_shares())[0], expected)
        close(found.mean(), [expected @ np.arange(3)])


def test_a_logit_is_added_to_the_log_share():
    head = SegmentsHead([NUMBER])
    made = head(jnp.arange(8.0) / 4)
    close(jnp.exp(made.log_shares())[0], softmax(np.log(SHARES) + np.arange(8) / 4))
    assert made.ordered
    assert made.widths.tolist() == [[1, 1, 1, 1, 1, 1, 3, 1]]


def test_the_cells_that_most_rows_share_stand_apart():
    assert ATOMS == 4
    assert atoms_of(NUMBER) == [3, 1, 5, 2]
    np.testing.assert_array_equal(basis_of(NUMBER)[-4:], np.eye(8)[[3, 1, 5, 2]])


def test_the_functions_along_a_grid_are_at_the_middles_of_the_shares():
    middles = ndtri(np.cumsum(SHARES) - np.array(SHARES) / 2)
    np.testing.assert_allclose(middles_of(NUMBER), middles)
    basis = basis_of(NUMBER)
    np.testing.assert_allclose(basis[0], middles / 2)
    np.testing.assert_allclose(basis[1], middles**2 / 8)
    np.testing.assert_allclose(basis[2:18].sum(axis=0), 1.0)  # the hats share out each place
    sure = ColumnType("number", (), 0.0, 1.0, (0, 1), 2, (1.0 - 1e-9, 1e-9), "int")
    np.testing.assert_allclose(middles_of(sure), [0.0, 4.0], atol=1e-8)  # not beyond 4
