"""What can be done with a trained model, one file a verb: a command of `latens`, and a method of `TrainedModel`."""

__all__: list[str] = []
