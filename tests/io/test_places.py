"""Which of several processes this one is, by its flags or by the variables of what started it."""

import pytest

from latens.errors import ResourceError, UsageError
from latens.io.places import Place, first_host, place_of

SLURM = {
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_PROCID": "3",
    "SLURM_STEP_NODELIST": "node[003-007,011],gpu1",
    "SLURM_JOB_ID": "4100",
    "SLURM_STEP_ID": "2",
}
OPEN_MPI = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "1"}
STARTED = {"LATENS_COORDINATOR": "127.0.0.1:5000", "LATENS_PROCESSES": "2", "LATENS_PROCESS": "1"}


@pytest.mark.parametrize(
    ("flags", "environ", "place"),
    [
        ((None, None, None), {}, None),
        ((None, 4, None), {}, None),  # it is to start them
        ((None, 2, None), STARTED, Place("127.0.0.1:5000", 2, 1)),
        (("a:1", 4, 2), {}, Place("a:1", 4, 2)),
        (("[::1]:9", 4, None), {"JOB_COMPLETION_INDEX": "3"}, Place("[::1]:9", 4, 3)),
        (("a:1", 4, None), {"SLURM_PROCID": "1"}, Place("a:1", 4, 1)),
        (("a:1", 1, 0), {}, None),
        ((None, None, None), SLURM, Place(f"node003:{61440 + (4100 + 194) % 4096}", 8, 3)),
        ((None, 8, None), SLURM, Place(f"node003:{61440 + (4100 + 194) % 4096}", 8, 3)),
        ((None, None, None), SLURM | {"SLURM_STEP_NUM_TASKS": "1"}, None),
        ((None, None, None), {k: v for k, v in SLURM.items() if k != "SLURM_STEP_NODELIST"}, None),  # a batch script
        ((None, None, None), {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "1"}, None),
        ((None, None, None), OPEN_MPI | {"OMPI_COMM_WORLD_SIZE": "1"}, None),
    ],
)
def test_the_place_of_a_process(flags: tuple, environ: dict, place: Place | None) -> None:
    assert place_of(*flags, environ) == place


def test_open_mpi_meets_at_its_daemon_or_on_its_one_machine() -> None:
    fourth = OPEN_MPI | {"OMPI_MCA_orte_hnp_uri": "3457875968.0;tcp://10.0.0.1,10.1.0.1:34911"}
    found = place_of(None, None, None, fourth)
    assert found is not None
    assert (found.coordinator.split(":")[0], found.processes, found.number) == ("10.0.0.1", 4, 1)
    fifth = OPEN_MPI | {"OMPI_COMM_WORLD_LOCAL_SIZE": "4", "PMIX_NAMESPACE": "prterun-host-7@1"}
    here = [place_of(None, None, None, fifth | {"OMPI_COMM_WORLD_RANK": str(rank)}) for rank in range(4)]
    assert len({place.coordinator for place in here if place}) == 1
    assert [place.number for place in here if place] == [0, 1, 2, 3]
    other = place_of(None, None, None, fifth | {"PMIX_NAMESPACE": "prterun-host-8@1"})
    assert other is not None
    assert here[0] is not None
    assert other.coordinator != here[0].coordinator


@pytest.mark.parametrize(
    ("flags", "environ", "where", "what"),
    [
        ((None, None, 1), {}, "--process", "where do the processes meet"),
        (("a:1", None, 1), {}, "--coordinator", "how many processes"),
        (("a:1", 4, None), {}, "--coordinator", "which of the processes"),
        (("nowhere", 4, 1), {}, "--coordinator", "'nowhere' is not HOST:PORT"),
        (("a:1", 4, 4), {}, "--process", "no process 4 of 4"),
        ((None, 4, None), SLURM, "--processes", "4 are asked for, and this is process 3 of 8"),
        ((None, None, None), OPEN_MPI | {"OMPI_COMM_WORLD_LOCAL_SIZE": "2"}, "Open MPI", "on several machines"),
    ],
)
def test_what_is_not_a_place_is_refused(flags: tuple, environ: dict, where: str, what: str) -> None:
    with pytest.raises(UsageError) as refused:
        place_of(*flags, environ)
    assert refused.value.where == where
    assert what in refused.value.message
    assert refused.value.fix


def test_windows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    assert place_of(None, None, None, {}) is None
    with pytest.raises(ResourceError, match="Windows has no way for processes"):
        place_of("a:1", 2, 0, {})


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("a", "a"), ("a,b", "a"), ("n[1-3]", "n1"), ("n[01,05]-ib,m", "n01-ib"), ("n[007-009,11],x[1-2]", "n007")],
)
def test_the_first_host_of_a_list(nodes: str, first: str) -> None:
    assert first_host(nodes) == first
