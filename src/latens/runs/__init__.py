"""Run folders: what a training writes, and what goes on from it."""
