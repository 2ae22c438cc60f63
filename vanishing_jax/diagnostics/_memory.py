"""An estimate of what a diagnosis needs, before anything is computed."""

import numpy as np

from .._chain import dense_bytes, gib
from .._tree import StateLayout

MEMORY_LIMIT = 8 * 2**30
"""Bytes that `diagnose` may need, by its own estimate (8 GiB)."""

# What is alive at once: arrays like the states of all rows, and matrices of the state's size.
_LIKE_STATES, _MATRICES = 5, 20


def check_memory(rows: int, steps: int, layout: StateLayout, limit: int) -> None:
    """Raise if the run is estimated to need more memory than the limit."""
    states = _LIKE_STATES * rows * (steps + 1) * layout.size * layout.dtype.itemsize
    matrices = _MATRICES * dense_bytes(1, layout.size, np.float64)
    if states + matrices > limit:
        raise MemoryError(
            f"diagnose needs about {gib(states + matrices)}: {gib(states)} for the states of "
            f"{rows} rows of {steps} steps, {gib(matrices)} for matrices of size {layout.size}; "
            f"memory_limit is {gib(limit)}. Pass fewer or shorter sequences, or raise "
            "memory_limit; for a large state, gradient_profile, and spectra.leading_singular_values"
            " of linearize(..., dense=False), need no matrix."
        )
