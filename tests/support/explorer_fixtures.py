"""Small models for the tests of the explorer, and the page's own modules run by node."""

import json
import shutil
import subprocess
from typing import Any

import pytest
from paths import ROOT

from latens.config import override
from latens.data import Dataset
from latens.fitting import prepare
from latens.recipes import get_recipe
from latens.trained.trained_model import TrainedModel

APP = (ROOT / "src" / "latens" / "explorer" / "static" / "app").as_uri() + "/"
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed: the page's modules are not run")
SMALL = {"network.hidden": [12, 8], "posterior.latent_dim": 3}


def node(what: str, **question: Any) -> Any:
    assert NODE is not None
    words = [NODE, str(ROOT / "tests" / "support" / "explorer_modules.mjs"), APP]
    text = json.dumps({"what": what, **question})
    done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def untrained(name: str, data: Dataset, **settings: object) -> tuple[TrainedModel, Dataset]:
    """A model with its first weights: what it decodes is as hard to compute as what a trained one does."""
    experiment = prepare(
        override(get_recipe(name).config, SMALL | {k.replace("__", "."): v for k, v in settings.items()}), data
    )
    return experiment.trained(experiment.new_model()), experiment.data
