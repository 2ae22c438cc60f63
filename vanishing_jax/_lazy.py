"""Public names that load when first used (PEP 562), so that a program pays for what it uses."""

import importlib
import sys
from collections.abc import Callable
from typing import Any


def lazy(
    package: str, /, *, namespaces: str = "", **homes: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` of a package whose names load when first used.

    Type checkers read ordinary imports under `TYPE_CHECKING` beside it; tests/test_conformance.py
    compares the two.

    **Arguments:**

    - `package`: its `__name__`.
    - `namespaces`: the modules of it that are public themselves, separated by spaces.
    - `homes`: module of the package -> the names that it gives, separated by spaces.
    """
    home = {name: module for module, names in homes.items() for name in names.split()}
    modules = namespaces.split()

    def __getattr__(name: str) -> Any:
        if name in modules:
            return importlib.import_module(f".{name}", package)
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f".{home[name]}", package), name)
        setattr(sys.modules[package], name, value)
        return value

    public = sorted([*modules, *home])

    def __dir__() -> list[str]:
        private = {name for name in vars(sys.modules[package]) if name.startswith("_")}
        return sorted({*private, *public})

    return __getattr__, __dir__, public


def from_above(path: str) -> Any:
    """Return a public name of the package, such as "plots.plot_diagnosis", for a layer below it.

    Imports run one way, so that a result which draws or writes itself cannot import its drawing: it
    asks for it by name here, when it is asked itself. tests/test_imports.py allows no other door.
    """
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(f".{module}", __package__), name)
