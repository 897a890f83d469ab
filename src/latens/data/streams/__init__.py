"""Data that stay on disk: blocks of rows, found in one pass, read in windows while a model trains."""
