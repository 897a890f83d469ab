"""log p(x) with its error, and rivals without latents. `latens.evaluation` has the public names."""

__all__: list[str] = []
