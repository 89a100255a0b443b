"""The objectives, one module each: the workflow hashes only the module that a run names.

A module here, if its name has no leading underscore, is an objective. It holds everything about it:
OBJECTIVE, which describes it to people and to the configuration (`_entry.Objective`), `advantages` and
`token_loss`. torch is imported where it is used: the plan reads every OBJECTIVE and computes nothing.
"""

from importlib import import_module
from types import ModuleType


def load(name: str) -> ModuleType:
    """Return the module `asymre.objectives.<name>`, with its `advantages` and `token_loss`.

    Raises ModuleNotFoundError for a name without a module; the configuration checks names.
    """
    return import_module(f"asymre.objectives.{name}")
