"""The public names of the package, namespace by namespace, as the reference lists them."""

import inspect
import types
from collections.abc import Iterator

import vanishing_jax as vj


def namespaces() -> Iterator[tuple[str, types.ModuleType]]:
    """Yield the package and its public namespaces, each once, called as users write them."""
    waiting, seen = [("vj", vj)], set()
    while waiting:
        title, module = waiting.pop(0)
        if module in seen:
            continue
        seen.add(module)
        yield title, module
        inner = [(f"{title}.{name}", getattr(module, name)) for name in _names(module)]
        waiting += [(path, one) for path, one in inner if _is_namespace(one)]


def names(module: types.ModuleType) -> list[str]:
    """Return the public names of a namespace, without the namespaces in it."""
    return [name for name in _names(module) if not inspect.ismodule(getattr(module, name))]


def undocumented(module: types.ModuleType) -> list[str]:
    """Return the public names of a namespace that have no docstring."""
    return [name for name in names(module) if not inspect.getdoc(getattr(module, name))]


def _names(module: types.ModuleType) -> list[str]:
    found = getattr(module, "__all__", None) or dir(module)
    return sorted(name for name in found if not name.startswith("_"))


def _is_namespace(thing: object) -> bool:
    return inspect.ismodule(thing) and thing.__name__.startswith(f"{vj.__name__}.")
