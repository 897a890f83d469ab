"""The methods of a trained model that are made of verbs: `methods.pyi` shows them to editors and type checkers."""


class Methods:
    """What is done with a trained model beside its own methods; `latens.verbs.kernel.attach` adds it."""
