"""Numbers of a trained model and a data set. `latens` has the public names."""

__all__: list[str] = []
