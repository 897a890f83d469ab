"""Which worker a process is, by its flags or by the variables of what started it."""

import pytest

from latens.errors import UsageError
from latens.io.workers import Worker, worker_of

STEP = {"SLURM_STEP_NODELIST": "node1", "SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "3"}
ARRAY = {"SLURM_ARRAY_TASK_ID": "9", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "5"}
ARRAY |= {"SLURM_ARRAY_TASK_STEP": "2"}


@pytest.mark.parametrize(
    ("worker", "workers", "environ", "found"),
    [
        (None, None, {}, None),
        (None, 4, {}, None),  # it is to start them
        ("2/5", None, {}, Worker(2, 5)),
        ("2/5", 5, STEP, Worker(2, 5)),
        (None, 2, {"LATENS_WORKER": "1/2"}, Worker(1, 2)),
        (None, None, STEP, Worker(3, 8)),
        (None, None, STEP | {"SLURM_STEP_NUM_TASKS": "1"}, None),
        (None, None, {k: v for k, v in STEP.items() if k != "SLURM_STEP_NODELIST"}, None),  # a batch script
        (None, None, {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "4"}, Worker(1, 4)),
        (None, None, {"PMI_RANK": "0", "PMI_SIZE": "2"}, Worker(0, 2)),
        (None, None, ARRAY, None),  # it may be of many models
        ("auto", None, ARRAY, Worker(2, 4)),
        ("auto", None, ARRAY | STEP, Worker(2 * 8 + 3, 32)),
        ("auto", None, STEP, Worker(3, 8)),
        ("auto", 3, {"JOB_COMPLETION_INDEX": "2"}, Worker(2, 3)),
    ],
)
def test_the_number_of_a_worker(
    worker: str | None, workers: int | None, environ: dict[str, str], found: Worker | None
) -> None:
    assert worker_of(worker, workers, environ) == found


@pytest.mark.parametrize(
    ("worker", "workers", "environ", "what"),
    [
        ("2", None, {}, "'2' is not I/N"),
        ("-1/2", None, {}, "'-1/2' is not I/N"),
        ("2/2", None, {}, "there is no worker 2 of 2"),
        ("0/1025", None, {}, "there is no worker 0 of 1025"),
        ("0/4", 2, {}, "2 are asked for, and this is worker 0 of 4"),
        (None, 2, STEP, "2 are asked for, and this is worker 3 of 8"),
        ("auto", None, {}, "nothing says which worker this is"),
        ("auto", None, {"JOB_COMPLETION_INDEX": "2"}, "how many pods are there"),
    ],
)
def test_what_is_no_worker_is_refused(
    worker: str | None, workers: int | None, environ: dict[str, str], what: str
) -> None:
    with pytest.raises(UsageError, match=what):
        worker_of(worker, workers, environ)


def test_workers_share_out_all_parts() -> None:
    shares = [list(Worker(number, 3).parts(8)) for number in range(3)]
    assert shares == [[0, 3, 6], [1, 4, 7], [2, 5]]
