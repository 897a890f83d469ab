"""What the latents tell and do. `latens.evaluation` has the public names."""

__all__: list[str] = []
