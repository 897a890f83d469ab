"""Several processes that train one model, by `jax.distributed`: all compute, process 0 writes.

Between two chunks of steps every process does the same. What looks at a clock, a signal or a disk happens in process 0
or is gathered once a chunk. Where a process dies, JAX ends the others and the scheduler starts the job again.
"""

import os

import jax
import numpy as np

from latens.errors import ConfigError, ResourceError, UsageError

HEARTBEAT = "LATENS_HEARTBEAT_SECONDS"
"""Variable of the environment: how long a process may be silent before JAX ends the job. 100 where it is not set."""

_BYTES = 256
_ours = _alone = False


def join(coordinator: str | None = None, processes: int | None = None, process: int | None = None) -> None:
    """Meet the other processes, before anything is computed."""
    # Whatever is None is told by SLURM, Open MPI, Kubernetes or the variable JAX_COORDINATOR_ADDRESS.
    global _ours
    text = os.environ.get(HEARTBEAT, "100")
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"{text!r} is not a whole number of seconds from 1.", where=HEARTBEAT, fix="Leave it unset.")
    try:
        jax.distributed.initialize(coordinator, processes, process, heartbeat_timeout_seconds=int(text))
    except (ValueError, TypeError) as error:
        fix = "Add --coordinator HOST:PORT --num-processes N --process-id I, or start it by srun or mpirun."
        raise UsageError(f"{str(error).rstrip('.')}.", where="--distributed", fix=fix) from None
    except RuntimeError as error:
        fix = "Start all processes at about the same time, with the host of process 0 and a free port there."
        what = f"the processes did not meet: {str(error).splitlines()[0][:300].rstrip('.')}."
        raise ResourceError(what, where="--distributed", fix=fix) from None
    _ours = True


def processes() -> int:
    """How many processes train together."""
    return 1 if _alone else jax.process_count()


def number() -> int:
    """The number of this process, from 0."""
    return 0 if _alone else jax.process_index()


def shards() -> int:
    """How many shards give each device of all processes one: a power of two."""
    return 1 << (len(jax.devices()) - 1).bit_length()


def leads() -> bool:
    """Whether this process writes the run folder."""
    return jax.process_index() == 0


def gather(text: str) -> list[str]:
    """Give every process the texts of all, in their order; nobody goes on before everybody came."""
    if processes() == 1:
        return [text]
    from jax.experimental.multihost_utils import process_allgather

    own = np.zeros(_BYTES, np.uint8)
    encoded = np.frombuffer(text.encode()[:_BYTES], np.uint8)
    own[: len(encoded)] = encoded
    return [bytes(each).rstrip(b"\0").decode(errors="replace") for each in process_allgather(own)]


def of_lead(values: dict[str, float]) -> dict[str, float]:
    """Give every process the numbers of process 0, by names that all have."""
    if processes() == 1:
        return values
    from jax.experimental.multihost_utils import process_allgather

    bits = np.array(list(values.values()), np.float64).view(np.uint32)  # JAX would make single precision of doubles
    told = np.ascontiguousarray(process_allgather(bits)[0]).view(np.float64)
    return dict(zip(values, told.tolist(), strict=True))


def same(name: str, value: str) -> None:
    """Refuse processes of which one has another value than process 0."""
    found = gather(value)
    other = next((k for k, each in enumerate(found) if each != found[0]), None)
    if other is not None:
        what = f"{name} is {found[0]!r} in process 0 and {found[other]!r} in process {other}."
        raise ConfigError(what, where="--distributed", fix="Start all processes alike, on the same data and machines.")


def of_others(error: Exception) -> ResourceError | None:
    """An error of XLA in words, where several processes train and another one's end is its likely cause."""
    if processes() == 1:
        return None
    what = f"the processes of this training no longer compute together: {str(error).splitlines()[0][:300].rstrip('.')}."
    fix = "Mend what ended another process, and start all of them again with `latens resume RUN`."
    return ResourceError(what, where="--distributed", fix=fix)


def part() -> None:
    """Wait for the others and go on alone: what follows the training is the work of one process."""
    global _alone
    if processes() > 1 and _ours:
        jax.distributed.shutdown()
        _alone = True
