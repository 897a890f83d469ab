"""Which parts of the work are this process's, among workers that do not speak with one another. Needs no jax.

Workers are started by the command itself, by `srun` or `mpirun`, or by a scheduler that numbers its jobs. An array of
jobs may as well be of many models, so the number of a job counts only where it is asked for.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from latens.errors import UsageError
from latens.io.places import MOST, whole

WORKER = "LATENS_WORKER"
"""What a command tells the workers that it starts: "I/N"."""

AUTO = "auto"


@dataclass(frozen=True)
class Worker:
    """One of several workers."""

    number: int  # this one's number, from 0
    count: int  # how many there are

    def parts(self, total: int) -> Iterator[int]:
        """Give the parts of this worker: every `count`-th."""
        yield from range(self.number, total, self.count)


def worker_of(worker: str | None, workers: int | None, environ: Mapping[str, str]) -> Worker | None:
    """Find which worker this process is."""
    # returns: the worker; None where this process is one alone, or is to start the others.
    if WORKER in environ:
        return _read(environ[WORKER])
    found = _task(environ) if worker is None else _job(environ, workers) if worker == AUTO else _read(worker)
    if found is not None and workers not in (None, found.count):
        what = f"{workers} are asked for, and this is worker {found.number} of {found.count}."
        raise UsageError(what, where="--workers", fix="Leave it out.")
    return found


def _read(text: str) -> Worker:
    number, _, count = text.partition("/")
    if not (number.isascii() and number.isdigit() and count.isascii() and count.isdigit()):
        fix = "Give the number of this worker and how many there are, as 0/4; or auto for those of a scheduler."
        raise UsageError(f"{text[:100]!r} is not I/N.", where="--worker", fix=fix)
    return _checked(Worker(int(number), int(count)))


def _checked(worker: Worker) -> Worker:
    if not 0 <= worker.number < worker.count <= MOST:
        what = f"there is no worker {worker.number} of {worker.count}: they are counted from 0."
        raise UsageError(what, where="--worker", fix=f"Use 0 to N - 1 for N workers, of {MOST} at the most.")
    return worker


def _task(environ: Mapping[str, str]) -> Worker | None:
    """A task of `srun` or `mpirun` where there are several; a batch script of SLURM is none: it has no step."""
    step = (("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),) if environ.get("SLURM_STEP_NODELIST") else ()
    for number, count in (*step, ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"), ("PMI_RANK", "PMI_SIZE")):
        mine, total = whole(environ, number), whole(environ, count)
        if mine is not None and total is not None and total > 1:
            return _checked(Worker(mine, total))
    return None


def _job(environ: Mapping[str, str], workers: int | None) -> Worker:
    """A job of an array of SLURM's (each may have several tasks), a pod of an Indexed Job, or a task."""
    task = _task(environ) or Worker(0, 1)
    number, count = whole(environ, "SLURM_ARRAY_TASK_ID"), whole(environ, "SLURM_ARRAY_TASK_COUNT")
    if number is not None and count is not None:
        first, step = whole(environ, "SLURM_ARRAY_TASK_MIN") or 0, whole(environ, "SLURM_ARRAY_TASK_STEP") or 1
        return _checked(Worker((number - first) // step * task.count + task.number, count * task.count))
    if (number := whole(environ, "JOB_COMPLETION_INDEX")) is not None:
        if workers is None:
            raise UsageError("how many pods are there?", where="--worker auto", fix="Add --workers N.")
        return _checked(Worker(number, workers))
    if task.count > 1:
        return task
    what = "nothing says which worker this is."
    fix = "Looked for: SLURM_ARRAY_TASK_ID, SLURM_PROCID, OMPI_COMM_WORLD_RANK, PMI_RANK, JOB_COMPLETION_INDEX. "
    raise UsageError(what, where="--worker auto", fix=f"{fix}Or give --worker I/N.")
