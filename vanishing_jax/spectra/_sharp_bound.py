"""The spectrum of one window with a bound from every step, on the host."""

from typing import Any

import jax
import numpy as np

from .._chain import JacobianChain, gib
from ._backend import cpu
from ._decoupled import Found
from ._error_bound import sharp_error_bound, sharp_rounding_of_jacobians
from ._rounding_cost import rounding_cost
from ._source import Direction
from ._walk import bucket_size, source_of, walk_chain

# Bytes that the factors of all steps may take.
_STORED_BYTES = 4 * 2**30

# Exponents of so many steps cannot leave int32.
_MOST_STEPS = 2**17

_SHORTEST = 16


def sharp_spectrum(chain: JacobianChain, s: int, t: int, direction: Direction) -> Found:
    """Return the spectrum of the window (s, t), one record, from `rounding_cost`.

    **Raises:** `MemoryError` where the factors of all steps would take too much;
    `NonFiniteError` for a NaN or infinite Jacobian.
    """
    steps = bucket_size(t - s, _SHORTEST)
    needed = 2 * 8 * steps * chain.state_size**2
    if needed > _STORED_BYTES or steps > _MOST_STEPS:
        raise MemoryError(
            f"a sharp bound keeps the factors of all {t - s} steps: {gib(needed)}; it may take "
            f"{gib(_STORED_BYTES)} and {_MOST_STEPS} steps. Leave sharp_bound=False, or use "
            "shorter windows."
        )
    with jax.enable_x64(True), jax.default_device(cpu().device):
        found = rounding_cost(
            source_of(chain, s, t, 0, direction == "backward"),
            steps=steps,
            dtype=np.dtype(np.float64),
            batched=chain.batch_size is not None,
        )
        found: Any = jax.tree.map(np.asarray, found)
    if np.any(np.isnan(found.logs)):  # the ordinary walk says which Jacobian is not finite
        walk_chain(chain, s, t, [t - s], direction, quantity="singular values", limit=0.0)
    bounds, rounding = sharp_error_bound(found), sharp_rounding_of_jacobians(found, chain.dtype)
    return Found(*(x[..., None, :] for x in (found.logs, bounds, rounding)))
