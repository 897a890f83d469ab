"""Samples against rows. `latens.evaluation` has the public names."""

__all__: list[str] = []
