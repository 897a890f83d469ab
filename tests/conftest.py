"""What every test stands on: a compilation cache, shapes checked at run time, keys made from the test's name."""

import atexit
import ctypes
import gc
import os
import shutil
import signal
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import jax
import pytest
from hypothesis import given, settings, strategies
from jaxtyping import install_import_hook

ROOT = Path(__file__).resolve().parents[1]
if (
    signal.getsignal(signal.SIGINT) == signal.SIG_IGN
):  # a shell starts background jobs so; the tests interrupt themselves
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault("SCIPY_ARRAY_API", "1")  # or scikit-learn skips one of its checks of estimators
os.environ["XDG_CACHE_HOME"] = ROWS = tempfile.mkdtemp(prefix="latens-")  # of rows that stay on disk
atexit.register(shutil.rmtree, ROWS, ignore_errors=True)
CACHE = os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".jax_cache"))

if "PYTEST_XDIST_WORKER" in os.environ:  # every worker has a core: scikit-learn's threads would wait for one another
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Most of a test's time is compiling, which takes half as long without XLA's optimisations. `make long` runs every test
# with them, as users do.
PLAIN = os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
if PLAIN == "1" and version("jaxlib").startswith("0.10."):  # an unknown flag would end the process
    QUICK = "--xla_cpu_parallel_codegen_split_count=1 --xla_cpu_use_fusion_emitters=false"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICK}".strip()

jax.config.update("jax_compilation_cache_dir", CACHE)
jax.config.update("jax_disable_most_optimizations", PLAIN.lower() in ("1", "true"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
# The same for processes that tests start.
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
# Bytecode is kept, whatever the caller says: without it every worker and every process reads all modules as text.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A sixth of what a small program costs is a new MLIR context, into which JAX loads all its dialects: one serves all
# programs of a test.
_contexts: list[object] = []
if PLAIN == "1" and version("jax").startswith("0.10."):
    from jax._src.interpreters import mlir

    def _one_context(make: Callable[[], object] = mlir.make_ir_context) -> object:
        if not _contexts:
            _contexts.append(make())
        return _contexts[0]

    mlir.make_ir_context = _one_context

# Tracing makes many small objects and few cycles: looking for those every 700 objects takes a twelfth of the time.
gc.set_threshold(100_000, 50, 100)

# Shapes in annotations are checked from here on; an int is a float, as for every static checker. The checks take two
# fifths of a test's time, so `make test` goes without, and `make test-more` and `make long` have them.
if os.environ.get("LATENS_CHECK_SHAPES", "0") != "0":
    import jaxtyping
    from shape_checks import shaped_alone

    jaxtyping.jaxtyped = shaped_alone(jaxtyping.jaxtyped)
    install_import_hook("latens", "shape_checks.at_first_call")

FIXTURES = ("browser_fixtures", "cli_fixtures", "page_fixtures", "server_fixtures")
pytest.register_assert_rewrite("checks", "bound_checks", *FIXTURES)


def pytest_configure(config: pytest.Config) -> None:
    # Two test runs may share the cache; a half-written entry is compiled again, not an error.
    config.addinivalue_line("filterwarnings", "ignore:Error (reading|writing) persistent compilation cache:UserWarning")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make test` leaves to `make test-more` or `make long`; `tests/support/cpu_times.py` writes the list."""
    lines = (ROOT / "tests" / "left_out.txt").read_text().splitlines()
    left_out = {name: mark for mark, _, name in (line.partition(" ") for line in lines)}
    for item in items:
        if item.nodeid in left_out:
            item.add_marker(getattr(pytest.mark, left_out[item.nodeid]))
    # The longest tests are pages of the documentation: at the end one worker would wait for the other.
    items.sort(key=lambda item: not item.nodeid.startswith("tests/test_docs.py"))


def pytest_collection_finish() -> None:
    """What the modules hold stays until the end: the collector need not walk over these millions of objects."""
    # Hypothesis asks the collector, once, who holds the generators of random numbers.
    settings(database=None, max_examples=1)(given(strategies.none())(lambda nothing: None))()
    gc.collect()
    gc.freeze()


PROGRAMS = 800
_compiled: list[float] = []  # the seconds of every program since programs were last let go


def _count(event: str, duration_secs: float, **_: object) -> None:
    if event.endswith("/backend_compile_duration"):
        _compiled.append(duration_secs)


jax.monitoring.register_event_duration_secs_listener(_count)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Trace all programs in this process: what a test patches is not in the name of a trace."""
    from latens.runtime import programs

    programs.traces_folder = lambda: None


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Let compiled programs go after every so many: they fill gigabytes after some thousands."""
    _contexts.clear()
    if len(_compiled) >= PROGRAMS or nextitem is None:
        _compiled.clear()
        if "latens.runtime.programs" in sys.modules:
            for kept in sys.modules["latens.runtime.programs"].Reused.all:
                kept.clear()
        jax.clear_caches()
        gc.collect()
        _trim()


def _trim() -> None:
    """Give memory that was freed back to the system, where the C library can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture
def getkey(request: pytest.FixtureRequest) -> Callable[[], jax.Array]:
    """A function that gives a new key at every call, the same ones at every run of the same test."""
    seed = zlib.crc32(request.node.nodeid.encode())
    state = [jax.random.key(seed)]

    def next_key() -> jax.Array:
        state[0], key = jax.random.split(state[0])
        return key

    return next_key


@pytest.fixture
def optimised() -> Iterator[None]:
    """XLA's optimisations for the whole test: where it computes for longer than it compiles."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", PLAIN.lower() in ("1", "true"))


@pytest.fixture
def float64() -> Iterator[None]:
    """Double precision for the whole test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def strict() -> Iterator[None]:
    """No silent promotion of dtypes or ranks for the whole test."""
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The reference data sets: `LATENS_SHARED`, else `../shared` beside the checkout, else a skip."""
    folder = Path(os.environ.get("LATENS_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no reference data at {folder}; set LATENS_SHARED")
    return folder
