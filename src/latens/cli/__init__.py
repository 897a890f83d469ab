"""The command line. Nothing of it is public but the command `latens`."""

__all__: list[str] = []
