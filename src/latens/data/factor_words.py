"""Factors of equations as people write them."""

import numpy as np


def times_words(factor: float) -> str:
    """A factor before what it multiplies, nothing for 1."""
    return "" if factor == 1.0 else f"1/{1.0 / factor:.0f} * " if factor == 1.0 / 60.0 else f"{factor_words(factor)} * "


def divisor(factor: float) -> str:
    """What a factor divides by where this has fewer digits, as 2.54; "" elsewhere."""
    over = f"{1.0 / factor:.4g}" if factor else ""
    short = (
        over
        and np.isclose(1.0 / float(over), factor, rtol=1e-12)
        and not np.isclose(float(f"{factor:.4g}"), factor, rtol=1e-9)
    )
    return over if short else ""


def factor_words(factor: float) -> str:
    """A factor as people write it, a tax of 7 % that is contained as 7/107."""
    tax = round(100.0 * factor / (1.0 - factor)) if 0.0 < factor < 1.0 else 0
    whole = tax and np.isclose(factor, tax / (100 + tax), rtol=1e-12) and not np.isclose(factor, float(f"{factor:.3g}"))
    return f"{tax}/{100 + tax}" if whole else f"{factor:g}"
