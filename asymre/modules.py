"""The modules of a package as a catalogue: a new file is a new entry, and no list names it."""

import pkgutil
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any


@cache
def modules(package: str) -> dict[str, ModuleType]:
    """The public modules of a package by name, in alphabetical order, imported; `_helpers` are left out."""
    names = sorted(info.name for info in pkgutil.iter_modules(import_module(package).__path__))
    return {name: import_module(f"{package}.{name}") for name in names if not name.startswith("_")}


def entries(package: str, attribute: str, kind: type) -> dict[str, Any]:
    """What each public module of a package calls `attribute`, by the module's name.

    Raises ValueError, which names the file, for a module that has none or none of this kind.
    """
    found = {name: getattr(module, attribute, None) for name, module in modules(package).items()}
    for name, entry in found.items():
        if not isinstance(entry, kind):
            raise ValueError(
                f"{package.replace('.', '/')}/{name}.py: must define {attribute} as {kind.__name__}(...)"
            )
    return found
