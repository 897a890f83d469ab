"""What the latents say: codes, numbers of them, priors fitted to them. `latens.evaluation` has the public names."""

__all__: list[str] = []
