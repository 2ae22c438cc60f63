"""Jacobians of unequal shapes as one array: padded by zeros, which the spectra count exactly."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ._types import ArrayLike


def stacked(jacobians: Sequence[Any]) -> tuple[ArrayLike, tuple[int, ...] | None]:
    """Return Jacobians J_1..J_T as one array of square ones, and their sizes where they differ.

    The sizes are n_0, ..., n_T for J_t of shape (n_t, n_{t-1}); None when all are equal. Zeros fill
    what is missing: components that no step writes and no step reads.

    **Raises:** `ValueError` where the columns of J_{t+1} are not as many as the rows of J_t.
    """
    shapes = [np.shape(J) for J in jacobians]
    if any(len(shape) != 2 for shape in shapes) or len({*shapes, *(s[::-1] for s in shapes)}) <= 1:
        return _together(jacobians), None
    for t, (before, after) in enumerate(zip(shapes[:-1], shapes[1:], strict=True), 1):
        if after[1] != before[0]:
            raise ValueError(
                f"expected Jacobians of shapes (size of s_t, size of s_{{t-1}}) that can be "
                f"multiplied, J_{{t+1}} J_t; got {before} at t = {t} and {after} at t = {t + 1}."
            )
    widths = (shapes[0][1], *(shape[0] for shape in shapes))
    return _together(jacobians, max(widths)), widths


def _together(jacobians: Sequence[Any], size: int | None = None) -> ArrayLike:
    """Return the Jacobians as one array, each in the corner of one of `size` by `size`."""
    traced = any(isinstance(J, Tracer) for J in jacobians)
    on_device = any(isinstance(J, jax.Array) for J in jacobians)
    xp: Any = jnp if traced else np  # on the host: JAX compiles for each depth and each shape
    arrays = [xp.asarray(J) for J in jacobians]
    if size is not None:
        arrays = [xp.pad(J, [(0, size - n) for n in J.shape]) for J in arrays]
    array = xp.asarray(arrays)
    return jax.device_put(array) if on_device else array


def layers_text(widths: tuple[int, ...]) -> str:
    """Return how many layers there are and how wide, e.g. `3 layers, widths 3-5-2-4`."""
    count = len(widths) - 1
    layers = "1 layer" if count == 1 else f"{count} layers"
    if len(set(widths)) == 1:
        return f"{layers}, width {widths[0]}"
    if count < 8:
        return f"{layers}, widths {'-'.join(map(str, widths))}"
    return f"{layers}, widths {min(widths)} to {max(widths)}"
