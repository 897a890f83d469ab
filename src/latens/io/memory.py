"""How much memory the machine has left."""

from pathlib import Path


def free_memory() -> int | None:
    """The memory that a process can have without swapping.

    Returns:
        Bytes; None where the system does not tell.
    """
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None
