"""SciPy's `blas` and `lapack`, loaded when first used: that takes as long as a small spectrum."""

from typing import Any


def __getattr__(name: str) -> Any:
    from scipy.linalg import blas, lapack

    globals().update(blas=blas, lapack=lapack)
    if name not in globals():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals()[name]
