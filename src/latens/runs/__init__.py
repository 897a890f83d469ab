"""The run folder: what it holds, and who may write into it."""
