"""The commands, one family a file; each is imported only when it is typed."""
