"""The named parts of a configuration, a table for each."""
