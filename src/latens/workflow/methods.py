"""The methods of a trained model that are made of verbs: `methods.pyi` shows them to editors and type checkers."""

from typing import Any


class Methods:
    """What is done with a trained model beside its own methods; `latens.verbs.kernel.attach` adds it."""

    def __getattr__(self, name: str) -> Any:
        import latens  # which adds it on first use; a model out of a pickle comes before

        if not name.startswith("_"):
            latens.__getattr__("TrainedModel")
        return object.__getattribute__(self, name)
