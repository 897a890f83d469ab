"""Heads: from the outputs of a network to a distribution, of a latent or of the data."""
