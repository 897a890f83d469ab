"""Figures of a trained model: each row of `draw.PICTURES` draws one from its rows, latents or samples."""
