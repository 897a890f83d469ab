"""Kinds of rows, a folder each: how they are read and checked, their schema, and how they are written."""
