"""The objectives, one module each: the workflow hashes only the module that a run names."""

from importlib import import_module
from types import ModuleType


def load(name: str) -> ModuleType:
    """The module `asymre.objectives.<name>`, with its `advantages` and `token_loss`.

    Raises ModuleNotFoundError for a name without a module; the configuration checks names.
    """
    return import_module(f"asymre.objectives.{name}")
