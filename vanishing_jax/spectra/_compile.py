"""Compilation of the large programs: as fast as it runs no slower."""

import functools as ft
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax

# The newer of XLA's two ways to emit CPU loops takes 1.3 to 1.6 times as long to compile the
# engine, whose code runs no faster for it (benchmarks/ideas.md).
_OPTIONS: dict[str, bool | str] = {"xla_cpu_use_fusion_emitters": False}


def filter_jit(function: Callable) -> Callable:
    """Return `eqx.filter_jit(function)` with the compiler's options for large programs."""

    @ft.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return compiled()(*args, **kwargs)

    @ft.cache
    def compiled():
        return eqx.filter_jit(function, **_jit_options())

    return call


@ft.cache
def _jit_options() -> dict[str, Any]:
    """Return the options as arguments of `jax.jit`; none where the compiler does not know them."""
    try:
        jax.jit(lambda: 0, compiler_options=_OPTIONS).lower().compile()
    except Exception:  # what is raised differs between versions
        return {}
    return {"compiler_options": _OPTIONS}
