"""The modules of a package as a catalogue: a new file is a new entry, and no list names it."""

import pkgutil
from importlib import import_module
from typing import Any


def entries(package: str, attribute: str, kind: type) -> dict[str, Any]:
    """Return the `attribute` of each public module of a package, by the module's name, in alphabetical order.

    Modules whose name begins with an underscore are left out. Raises ValueError, which names the file, for a
    module that cannot be imported, or lacks an attribute of this kind.
    """
    found = {}
    for name in sorted(info.name for info in pkgutil.iter_modules(import_module(package).__path__)):
        if name.startswith("_"):
            continue
        file = f"{package.replace('.', '/')}/{name}.py"
        try:
            entry = getattr(import_module(f"{package}.{name}"), attribute, None)
        except Exception as error:
            raise ValueError(f"{file}: {type(error).__name__}: {error}") from error
        if not isinstance(entry, kind):
            raise ValueError(f"{file}: must define {attribute} as {kind.__name__}(...)")
        found[name] = entry
    return found
