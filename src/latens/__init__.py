"""Variational autoencoders for people who want to use them."""

__version__ = "0.1.0"
