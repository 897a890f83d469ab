"""Readers of files and objects, one for each format."""
