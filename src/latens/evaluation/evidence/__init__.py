"""Estimates of log p(x). `latens.evaluation` has the public names."""

__all__: list[str] = []
