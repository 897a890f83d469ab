"""Where a process stands among those that train one model: its number, how many they are, and where they meet.

Needs no jax. Whoever starts the processes says it: the command line, `latens fit --processes N` in the environment of
its children, SLURM's `srun`, or Open MPI's `mpirun`. What surrounds a process of its own is never taken for more: a
batch script of SLURM and any pod of Kubernetes have variables of these too.
"""

import os
import re
import sys
import zlib
from collections.abc import Mapping
from typing import NamedTuple

from latens.errors import ResourceError, UsageError

COORDINATOR, PROCESSES, PROCESS = "LATENS_COORDINATOR", "LATENS_PROCESSES", "LATENS_PROCESS"
"""Variables of the environment with what the three flags say."""

PARENT, CORES = "LATENS_PARENT", "LATENS_CORES"
"""What a command tells the processes that it starts: its own number, and the cores of each."""

THREADS = "PJRT_NPROC"
"""XLA's variable with the number of its threads, by which it cuts its work: last bits depend on it, not on the cores
that the threads run on."""

NUMBERS = ("SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "JOB_COMPLETION_INDEX")
"""Variables with the number of a process, of SLURM, Open MPI, MPICH, and Kubernetes' Indexed Jobs."""

MOST = 1024
"""Processes at the most."""

_FIRST_PORT, _PORTS = 61440, 4096


class Place(NamedTuple):
    """Where a process stands."""

    coordinator: str  # "HOST:PORT" of process 0
    processes: int  # how many there are, 2 or more
    number: int  # this one's number, from 0


def place_of(
    coordinator: str | None, processes: int | None, process: int | None, environ: Mapping[str, str]
) -> Place | None:
    """Find where this process stands."""
    # returns: the place; None where the process is one alone, or is to start the others (`--processes` alone).
    found = _flags(coordinator, processes, process, environ)
    if found is None and coordinator is None and process is None:
        found = _started(environ) or _slurm(environ) or _open_mpi(environ)
        if found is not None and processes not in (None, found.processes):
            what = f"{processes} are asked for, and this is process {found.number} of {found.processes}."
            raise UsageError(what, where="--processes", fix="Leave it out.")
    if found is None or found.processes == 1:
        return None
    if not 0 <= found.number < found.processes <= MOST:
        what = f"there is no process {found.number} of {found.processes}: they are counted from 0."
        raise UsageError(what, where="--process", fix=f"Use 0 to {found.processes - 1}, of {MOST} at the most.")
    if sys.platform == "win32":
        raise ResourceError("Windows has no way for processes to add their sums.", where="--processes",
                            fix="Use one process there, or WSL.")  # fmt: skip
    return found


def _flags(
    coordinator: str | None, processes: int | None, process: int | None, environ: Mapping[str, str]
) -> Place | None:
    if coordinator is None:
        if process is not None:
            raise UsageError("where do the processes meet?", where="--process", fix="Add --coordinator HOST:PORT.")
        return None
    if re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^\s:]+):\d{1,5}", coordinator) is None:
        what = f"{coordinator!r} is not HOST:PORT."
        raise UsageError(what, where="--coordinator", fix="Give the host of process 0 and a free port there.")
    if processes is None:
        raise UsageError("how many processes are there?", where="--coordinator", fix="Add --processes N.")
    number = process if process is not None else _number(environ)
    if number is None:
        what = "which of the processes is this one?"
        raise UsageError(what, where="--coordinator", fix="Add --process I, counted from 0.")
    return Place(coordinator, processes, number)


def _number(environ: Mapping[str, str]) -> int | None:
    found = (whole(environ, name) for name in NUMBERS)
    return next((number for number in found if number is not None), None)


def whole(environ: Mapping[str, str], name: str) -> int | None:
    """A variable of the environment as a whole number."""
    text = environ.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else None


def _started(environ: Mapping[str, str]) -> Place | None:
    count, number = whole(environ, PROCESSES), whole(environ, PROCESS)
    if COORDINATOR not in environ or count is None or number is None:
        return None
    return Place(environ[COORDINATOR], count, number)


def _slurm(environ: Mapping[str, str]) -> Place | None:
    """A task of `srun`; a batch script has no step's list of nodes."""
    count, number = whole(environ, "SLURM_STEP_NUM_TASKS"), whole(environ, "SLURM_PROCID")
    nodes, job = environ.get("SLURM_STEP_NODELIST", ""), whole(environ, "SLURM_JOB_ID")
    if not nodes or count is None or count < 2 or number is None or job is None:
        return None
    # Two steps of a job at a time must not meet at the same port.
    port = _FIRST_PORT + (job + 97 * (whole(environ, "SLURM_STEP_ID") or 0)) % _PORTS
    return Place(f"{first_host(nodes)}:{port}", count, number)


def first_host(nodes: str) -> str:
    """The first host of a list as SLURM writes it.

    Args:
        nodes: Such as "node[003-007,011],gpu1".

    Returns:
        Its name.

    Examples:
        >>> first_host("node[003-007,011],gpu1"), first_host("a,b")
        ('node003', 'a')
    """
    found = re.match(r"([^\[,]*)(?:\[(\d+)[^\]]*\])?([^,]*)", nodes)
    return "".join(part or "" for part in found.groups()) if found else nodes


def _open_mpi(environ: Mapping[str, str]) -> Place | None:
    count, number = whole(environ, "OMPI_COMM_WORLD_SIZE"), whole(environ, "OMPI_COMM_WORLD_RANK")
    if count is None or count < 2 or number is None:
        return None
    daemon = environ.get("OMPI_MCA_orte_hnp_uri", "")  # of Open MPI 4: "3457875968.0;tcp://10.0.0.1,10.1.0.1:34911"
    host = re.search(r"tcp://([^,:/]+)", daemon)
    name = daemon or environ.get("PMIX_NAMESPACE", "")
    if host is None and whole(environ, "OMPI_COMM_WORLD_LOCAL_SIZE") != count:
        what = f"mpirun started {count} processes on several machines, and does not say where they can meet."
        fix = "Add --coordinator HOST:PORT with the host of process 0, and --processes N."
        raise UsageError(what, where="Open MPI", fix=fix)
    where = host[1] if host is not None else "127.0.0.1"
    return Place(f"{where}:{_FIRST_PORT + zlib.crc32(name.encode()) % _PORTS}", count, number)


def cores() -> list[int]:
    """The cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def threads() -> int:
    """The threads that XLA has in this process: one for each core, unless the environment says otherwise."""
    return whole(os.environ, THREADS) or len(cores())
