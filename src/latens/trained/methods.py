"""The methods of a trained model that are made of verbs: `methods.pyi` shows them to editors and type checkers."""

import sys
from typing import Any


class Methods:
    """What is done with a trained model beside its own methods; `latens.commands.base.attach` adds it."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_"):  # the package adds it on first use; a model out of a pickle comes before
            sys.modules["latens"].__getattr__("TrainedModel")
        if name in ("fit", "fit_transform", "transform", "inverse_transform", "predict", "score", "score_samples"):
            what = f"a trained model has no {name}: use encode, or latens.VAE.load(path) for an estimator."
            raise AttributeError(what, name=name, obj=self)
        return object.__getattribute__(self, name)
