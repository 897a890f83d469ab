"""A batch in a fixed number of shards, whose gradients are added in one order wherever each is computed.

Every shard goes through the same loop body, and the sums are added by one binary tree: its lower levels on the device
that has the shards, its upper ones by exchange with device `number ^ 2**level`, as a + b has the bits of b + a. So any
number of devices that divides the number of shards, of one process or of many, gives the same bits.

Of several processes, by `jax.distributed`, all compute and process 0 writes. Between two chunks of steps every process
does the same. What looks at a clock, a signal or a disk happens in process 0 or is gathered once a chunk. Where a
process dies, JAX ends the others and the scheduler starts the job again.
"""

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from latens.errors import ConfigError, ResourceError, UsageError
from latens.objectives import AbstractObjective
from latens.objectives.base import coupling
from latens.runtime.programs import less_work
from latens.typing import AnyArray, Array, Int, PyTree

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


LEAST_ROWS = 8
"""Rows of a shard at the least: below them a step is all overhead."""

_AXIS = "shards"
_WHERE = "training.shards"


def check_shards(shards: int, batch_size: int, objective: AbstractObjective | None) -> None:
    """Refuse a number of shards that a batch, an objective or this machine's devices cannot have."""
    if shards == 1 and processes() == 1:
        return
    if processes() != jax.process_count():
        what = "the processes of this training have parted, and this one is alone."
        raise ConfigError(what, where=_WHERE, fix="Train once in a process, or with training.shards=1.")
    if shards % processes():
        count = processes()
        what = f"{count} processes do not divide {shards} shard{'s' * (shards > 1)}."
        nearest = 1 << (count - 1).bit_length()
        raise ConfigError(what, where=_WHERE, fix=f"Use --set training.shards={nearest}, or other processes.")
    if shards < 1 or shards & (shards - 1):
        below = 1 << (max(shards, 1).bit_length() - 1)
        what = f"the number of shards must be a power of two, not {shards}."
        raise ConfigError(what, where=_WHERE, fix=f"Use {below} or {2 * below}.")
    if batch_size % shards:
        what = f"{shards} shards do not divide a batch of {batch_size} rows."
        fix = f"Use --set training.batch_size={max(1, batch_size // shards) * shards}, or fewer shards."
        raise ConfigError(what, where=_WHERE, fix=fix)
    if batch_size // shards < LEAST_ROWS:
        what = f"{shards} shards of a batch of {batch_size} rows have {batch_size // shards} each."
        fix = f"Use --set training.batch_size={shards * LEAST_ROWS} or more, or fewer shards."
        raise ConfigError(what, where=_WHERE, fix=fix)
    if objective is not None and (because := _whole_batch(objective)):
        what = f"{type(objective).__name__} cannot be trained in shards: {because}."
        raise ConfigError(what, where=_WHERE, fix="Use --set training.shards=1, or another objective.")
    count = len(devices_of(shards))
    if shards % count:
        what = f"{count} devices do not divide {shards} shards."
        powers = 1 << (min(shards, count).bit_length() - 1)
        fix = f"Use {powers} devices or processes (CUDA_VISIBLE_DEVICES says which GPUs JAX sees)."
        raise ConfigError(what, where=_WHERE, fix=fix)


def _whole_batch(objective: AbstractObjective) -> str:
    if type(objective).after_update is not AbstractObjective.after_update:
        return coupling(objective) or "what it moves after a step is moved by a whole batch"
    return coupling(objective) or ""


def devices_of(shards: int) -> tuple[Any, ...]:
    """The devices that share the work of a step: all that JAX sees, of every process, in the order of processes."""
    if shards == 1:
        return tuple(jax.local_devices()[:1])
    return tuple(sorted(jax.devices(), key=lambda device: (device.process_index, device.id)))


def summed(one: Callable[[PyTree], PyTree], batch: PyTree, own: int, devices: int, once: Int[Array, ""]) -> PyTree:
    """Add what a function gives for every shard of a batch."""
    parts = jax.tree.map(lambda leaf: leaf.reshape(own, -1, *leaf.shape[1:]), batch)
    part = lambda index: jax.tree.map(lambda leaf: leaf[index], parts)  # noqa: E731
    shapes = jax.eval_shape(lambda: one(part(0)))
    zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)

    def shard(_: Array, rows: PyTree, value: PyTree) -> tuple[PyTree, PyTree]:
        return jax.tree.map(jnp.zeros_like, rows), one(rows)

    def below(level: int, first: Array) -> PyTree:
        """The sum of 2**level shards: that of the first half of them and that of the second."""
        if level == 0:
            return alone(shard, once, part(first), zeros)[1]

        def add(half: Array, value: PyTree) -> PyTree:
            new = below(level - 1, first + half * (1 << (level - 1)))
            return jax.tree.map(lambda old, leaf: jnp.where(half == 0, leaf, old + leaf), value, new)

        return jax.lax.fori_loop(0, 2 * once, add, zeros)

    value = below(own.bit_length() - 1, jnp.zeros((), jnp.int32))
    if devices == 1:
        return value
    vector, restored = ravel_pytree(value)
    for level in range(devices.bit_length() - 1):
        pairs = [(number, number ^ (1 << level)) for number in range(devices)]
        vector = vector + jax.lax.ppermute(vector, _AXIS, pairs)
    return restored(vector)


def alone(body: Callable[..., tuple], once: Int[Array, ""], *carried: PyTree) -> tuple:
    """Compute something where the compiler cannot fuse it with what stands around, which would change its last bits."""
    # It is the body of a loop that is taken once. What is to be computed in it has to depend on what it is given: the
    # compiler may move the rest out of the loop.
    return jax.lax.fori_loop(0, once, lambda index, trees: body(index, *trees), carried)


def step_options(shards: int, model: PyTree = None) -> dict[str, Any]:
    """Options of a program that takes steps, for the compiler."""
    # A table's many small loops compile in 3/5 of the time by the older generator; a step takes up to 7 % longer.
    head = getattr(getattr(model, "decoder", None), "head", None)
    small_loops = shards == 1 and getattr(type(head), "small_loops", False)
    # LLVM's second level compiles a chunk in four fifths of the time of its third, and steps take as long. For several
    # devices XLA merges equal operations before it simplifies any, for one device after it: a sum over rows then has
    # other last bits. So in shards it merges none; a step takes up to a fifth longer.
    options = less_work(1 if small_loops else 2)
    return {**options, "xla_disable_hlo_passes": "cse"} if options and shards > 1 else options


class Devices:
    """Several devices, of this process and of others, that go through the same program with shards of their own."""

    # `devices`: The devices, as many of every process.

    def __init__(self, devices: tuple[Any, ...]) -> None:
        mesh = Mesh(np.asarray(devices), (_AXIS,))
        self._local = [device for device in devices if device.process_index == jax.process_index()]
        self._everywhere = NamedSharding(mesh, PartitionSpec())
        self._by_rows = NamedSharding(mesh, PartitionSpec(None, _AXIS))
        self._mesh, self._share = mesh, len(devices) // len(self._local)

    def spread(self, chunk: Callable[..., PyTree]) -> Callable[..., PyTree]:
        """Compile a function of (state, rows, count, limit) for these devices."""
        # Every process calls it with the same state, count and limit, and with the rows of its own shards.
        same, by_rows = PartitionSpec(), PartitionSpec(None, _AXIS)
        spread = jax.shard_map(
            chunk, mesh=self._mesh, in_specs=(same, by_rows, same, same), out_specs=same, check_vma=False
        )
        program = jax.jit(spread, compiler_options=step_options(2))

        def run(state: PyTree, rows: PyTree, count: int | Array, limit: int | Array) -> PyTree:
            given = jax.tree.map(self._on_all, (state, jnp.asarray(count), jnp.asarray(limit)))
            result = program(given[0], jax.tree.map(self._cut, rows), *given[1:])
            return jax.tree.map(lambda leaf: leaf.addressable_data(0), result)

        return run

    def _on_all(self, leaf: Array) -> Array:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(self._on_all(jax.random.key_data(leaf)), impl=jax.random.key_impl(leaf))
        copies = [jax.device_put(leaf, device) for device in self._local]
        return jax.make_array_from_single_device_arrays(leaf.shape, self._everywhere, copies)

    def _cut(self, leaf: AnyArray) -> Array:
        leaf = np.asarray(leaf)
        shape = (leaf.shape[0], leaf.shape[1] * self._share, *leaf.shape[2:])
        return jax.make_array_from_process_local_data(self._by_rows, leaf, shape)
