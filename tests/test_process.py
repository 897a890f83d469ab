"""What latens does to the process it lives in, and what it says where the machine lacks something."""

import sys

import pytest

from cli_fixtures import process


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
        "for name in latens.RECIPES:\n"
        "    latens.get_recipe(name)\n"
        "latens.VAE(settings={'likelihood': 'student-t'}).wanted_family()\n"
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
        "import numpy as np\n"
        "from latens import VAE\n"
        "from latens.forks import check_process\n"
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
        "new = lambda: VAE(2, hidden=(8,), steps=3, num_samples=5, random_state=0)\n"
        "assert child(lambda: check_process()) == 0\n"  # nothing computed before this fork
        "vae = new().fit(x)\n"
        "raw = vae.model_.to_bytes()\n"
        "calls = [lambda: new().fit(x), lambda: vae.transform(x), lambda: vae.score_samples(x),\n"
        "    lambda: vae.sample(3), lambda: vae.inverse_transform(np.zeros((2, 2))), lambda: vae.impute(x),\n"
        "    lambda: vae.refit_prior(x),    lambda: type(vae.model_).from_bytes(raw)]\n"
        "assert [child(call) for call in calls] == [7] * len(calls)\n"
        "assert child(lambda: sum(range(9))) == 0\n"
        "vae.transform(x)"  # the parent goes on
    )
    done = process(code)
    assert done.returncode == 0, done.stderr
