"""Environments: what they do as a table, and trained models of them as environments of Gymnasium."""

from typing import TYPE_CHECKING, Any

from latens.environments.record import Recording, record

if TYPE_CHECKING:
    from latens.environments.env import ModelEnv, ModelVectorEnv

__all__ = ["ModelEnv", "ModelVectorEnv", "Recording", "record"]


def __getattr__(name: str) -> Any:
    # Gymnasium is an extra: a class of its own cannot be named before it is there.
    if name in ("ModelEnv", "ModelVectorEnv"):
        from latens.environments.record import needed_gymnasium

        needed_gymnasium()
        from latens.environments import env

        return getattr(env, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
