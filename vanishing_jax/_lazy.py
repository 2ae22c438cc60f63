"""Public names that load when first used (PEP 562), so that a program pays for what it uses."""

import ast
import importlib
import sys
from collections.abc import Callable
from typing import Any


def lazy(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` of a package whose names load when first used.

    They are what its source imports under `TYPE_CHECKING`, `from ._home import name as name`, so
    that each name is said once, for type checkers and at run time.
    """
    spec: Any = sys.modules[package].__spec__
    home = {
        alias.asname: node.module
        for node in ast.walk(ast.parse(spec.loader.get_source(package)))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname is not None
    }

    def __getattr__(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(f".{home[name] or name}", package)
        value = module if home[name] is None else getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    public = sorted(home)

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
