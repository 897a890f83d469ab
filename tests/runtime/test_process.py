"""What latens does to the process it lives in, and what it says where the machine lacks something."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
from cli_fixtures import Result, process

import latens
from latens.errors import UsageError

pytest_plugins = ("cli_fixtures",)


@pytest.mark.parametrize(
    ("x64", "generator", "partitionable"), [(None, None, None), ("1", "rbg", "0"), ("True", "unsafe_rbg", "on")]
)
def test_settings_of_jax_are_known_before_it_is_imported(
    x64: str | None, generator: str | None, partitionable: str | None
) -> None:
    code = (
        "import json, sys\n"
        "from latens.runtime.compilation import jax_settings\n"
        "before = jax_settings()\n"
        "assert 'jax' not in sys.modules\n"
        "import jax\n"
        "print(json.dumps([before, jax_settings()]))"
    )
    names = ("JAX_ENABLE_X64", "JAX_DEFAULT_PRNG_IMPL", "JAX_THREEFRY_PARTITIONABLE")
    given = {name: value for name, value in zip(names, (x64, generator, partitionable)) if value is not None}
    done = process(code, env={**os.environ, **given})
    before, after = json.loads(done.stdout)
    assert before == after
    assert before["jax_enable_x64"] == (x64 is not None)
    assert before["jax_default_prng_impl"] == (generator or "threefry2x32")


@pytest.mark.long
def test_double_precision_is_ignored_aloud(latens: Callable[..., Result], run_folder: Path) -> None:
    code = "import sys\nfrom latens.cli.main import entry\nsys.argv[0] = 'latens'\nentry()"
    argv = ("evaluate", run_folder, "--num-samples", 5, "--json")
    plain = latens(*argv)
    double = process(code, *argv, env={**os.environ, "JAX_ENABLE_X64": "1"})
    assert json.loads(double.stdout)["metrics"]["elbo"]["value"] == plain.json["metrics"]["elbo"]["value"]
    said = "warning: JAX_ENABLE_X64 is ignored: models are trained and measured in single precision."
    assert (said in double.stderr, said in plain.err) == (True, False)


def test_no_device_is_started_by_imports() -> None:
    code = (
        "import importlib, pkgutil, latens\n"
        "from jax._src.xla_bridge import backends_are_initialized\n"
        "for name in dir(latens):\n"
        "    getattr(latens, name)\n"
        "for module in pkgutil.walk_packages(latens.__path__, 'latens.'):\n"
        "    if not module.name.endswith('__main__'):\n"
        "        importlib.import_module(module.name)\n"
        "    assert not backends_are_initialized(), module.name\n"
        "from sklearn.base import clone\n"
        "for kind in (latens.VAE, latens.Autoencoder, latens.GenerativeClassifier):\n"
        "    repr(clone(kind()).set_params(random_state=3)), kind().__sklearn_tags__()\n"
        "for name in latens.recipes.RECIPES:\n"
        "    latens.recipes.get_recipe(name)\n"
        "latens.VAE(settings={'likelihood': 'student-t'})._configure(0)\n"
        "assert not backends_are_initialized()\n"
        "import jax; jax.numpy.zeros(())\n"
        "assert backends_are_initialized()"  # what is asked above does tell
    )
    done = process(code)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_a_fork_of_a_process_that_computed_is_refused() -> None:
    code = (
        "import os, signal, sys, warnings\n"
        "import latens, numpy as np\n"
        "from latens import VAE\n"
        "from latens.runtime.compilation import check_process\n"
        "warnings.simplefilter('ignore')\n"  # JAX's own, of any fork at all
        "x = np.random.default_rng(0).normal(size=(40, 3))\n"
        "def child(work):\n"
        "    pid = os.fork()\n"
        "    if pid:\n"
        "        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\n"
        "    signal.alarm(60)\n"
        "    try:\n"
        "        work()\n"
        "    except ValueError as error:\n"
        "        os._exit(7 if 'spawn' in str(error) and 'fork' in str(error) else 8)\n"
        "    os._exit(0)\n"
        "new = lambda: VAE(2, hidden=(8,), steps=3, settings={'num_samples': 5}, random_state=0)\n"
        "assert child(lambda: check_process()) == 0\n"  # nothing computed before this fork
        "vae = new().fit(x)\n"
        "y = np.arange(40) % 2\n"
        "gauss = latens.GenerativeClassifier().fit(x, y)\n"
        "data = latens.read(x, label=y)\n"
        "calls = [lambda: gauss.sample(3), lambda: vae.refit_prior(x),\n"
        "    lambda: latens.trained.augment(gauss.model_, data, 2),\n"
        "    lambda: new().fit(x), lambda: vae.transform(x), lambda: vae.score_samples(x),\n"
        "    lambda: vae.sample(3), lambda: vae.inverse_transform(np.zeros((2, 2))), lambda: vae.impute(x)]\n"
        "assert [child(call) for call in calls] == [7] * len(calls)\n"
        "assert child(lambda: sum(range(9))) == 0\n"
        "vae.transform(x)"  # the parent goes on
    )
    done = process(code)
    assert done.returncode == 0, done.stderr


def test_a_fork_is_refused_before_anything_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = latens.load("pretrained:digits-2d"), latens.read("digits")
    x, z = data.x[:2], np.zeros((2, 2))
    monkeypatch.setattr("latens.runtime.compilation._computing", -1)
    calls = {"decode": z, "sample": 2, "from_bytes": model.to_bytes(), "rows": data, "refit": data, "evaluate": data}
    calls |= dict.fromkeys(("encode", "reconstruct", "impute", "log_marginal", "detect", "batch", "report"), x)
    for name, given in calls.items():
        with jax.transfer_guard("disallow_explicit"), pytest.raises(UsageError, match="spawn"):
            getattr(model, name)(given)


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_a_pool_of_forks_gets_the_sentence_and_does_not_wait() -> None:
    # A pool never ends where a task cannot be unpickled: so the refusal comes when the estimator is used.
    code = (
        "import multiprocessing, pickle, warnings\n"
        "import numpy as np\n"
        "from latens import VAE\n"
        "warnings.simplefilter('ignore')\n"
        "x = np.random.default_rng(0).normal(size=(40, 3))\n"
        "vae = VAE(2, hidden=(8,), steps=3, settings={'num_samples': 5}, random_state=0).fit(x)\n"
        "with multiprocessing.get_context('fork').Pool(1) as pool:\n"
        "    for call in (vae.score_samples, vae.transform):\n"
        "        try:\n"
        "            pool.apply_async(call, (x,)).get(timeout=60)\n"
        "        except ValueError as error:\n"
        "            assert 'spawn' in str(error) and 'fork' in str(error), error\n"
        "        else:\n"
        "            raise SystemExit('not refused')\n"
        "    back = pool.apply_async(pickle.loads, (pickle.dumps(vae),))\n"
        "    assert (back.get(timeout=60).score_samples(x) == vae.score_samples(x)).all()"  # whole on its way back
    )
    done = process(code)
    assert done.returncode == 0, done.stderr


# --- what the machine refuses ---

ENTRY = "from latens.cli.main import entry; entry()"


@pytest.mark.skipif(sys.platform == "win32", reason="no shell")
@pytest.mark.parametrize(
    ("stream", "code", "words"),
    [
        (">&-", 7, "standard output: it is closed"),
        (">/dev/full", 7, "standard output: the disk is full"),
        ("2>&-", 0, ""),
        ("2>/dev/full", 0, ""),
    ],
)
@pytest.mark.parametrize("words_typed", ["--version", "--help"])
def test_a_stream_that_takes_nothing(stream: str, code: int, words: str, words_typed: str) -> None:
    if stream.startswith(">/dev") and not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    line = f'"{sys.executable}" -c "{ENTRY}" {words_typed} {stream}'
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=200)
    if words_typed == "--help" and stream == ">&-":
        code, words = 0, ""  # argparse says its help to nobody
    assert (done.returncode, words in done.stderr, "bug" in done.stderr) == (code, True, False), done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_platform_that_is_not_there(tmp_path: Path) -> None:
    words = ("sample", "pretrained:digits-2d", "--out", tmp_path / "x.npz", "--json")
    done = process(ENTRY, *words, env=os.environ | {"JAX_PLATFORMS": "cuda", "MPLBACKEND": "nonsense"})
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["code"], error["where"]) == (7, "resource", "JAX_PLATFORMS=cuda")
    assert "cpu" in error["fix"]


def test_a_backend_of_pictures_that_is_not_there(tmp_path: Path) -> None:
    out = tmp_path / "x.png"
    done = process(ENTRY, "sample", "pretrained:digits-2d", "--out", out, env=os.environ | {"MPLBACKEND": "nonsense"})
    assert (done.returncode, out.exists()) == (0, True), done.stderr


@pytest.mark.parametrize(
    ("argv", "bound"),
    [
        (["sample", "pretrained:digits-2d", "-n", "1000000000000"], "within 1 and 10000000"),
        (["evaluate", "pretrained:digits-2d", "digits", "--num-samples", "100000000"], "within 1 and 10000000"),
        (["fit", "digits", "--batch-size", "10000000"], "within 1 and 1048576"),
        (["fit", "digits", "--steps", "9" * 30], "within 1 and 1099511627776"),
        (["refit", "run", "--components", "1000000"], "within 1 and 65536"),
    ],
)
def test_counts_have_a_bound(latens: Callable[..., Result], argv: list[str], bound: str) -> None:
    result = latens(*argv)
    assert result.code == 2
    assert bound in result.err


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 4000000000000 bytes."),
        ImportError("libopenblas.so: failed to map segment from shared object"),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("can't start new thread"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_memory_is_said_so(latens: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("latens.latents.codes._prior_rows", refuse)
    result = latens("sample", "pretrained:digits-2d", "--out", "x.npz", "--json")
    assert (result.code, result.json["error"]["where"]) == (7, "memory")
    assert "draws" in result.json["error"]["fix"]


def test_programs_of_any_size_are_kept_where_the_environment_names_a_folder(tmp_path: Path) -> None:
    code = (
        "import jax; from latens.runtime.compilation import keep_programs; keep_programs();"
        "print(jax.config.jax_persistent_cache_min_compile_time_secs)"
    )
    own = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **own}, capture_output=True, text=True)
    assert done.stdout == "0.0\n"
