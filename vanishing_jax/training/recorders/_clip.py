"""How often clipping changes the gradient."""

import jax
import jax.numpy as jnp

from ..._types import Array
from ._update import Update


def clip(update: Update) -> Array:
    """Return 1 where the clipping changes the gradient and 0 where it does not.

    Averaged over the updates of a record it is how often the threshold bound. Near 1 the learning
    rate is in truth threshold over norm times what was asked for; at 0 throughout, clipping has
    nothing to do with how training went.
    """
    gradient, transform = update.gradient, update.clip
    assert transform is not None  # `train` has seen to it
    with jax.numpy_dtype_promotion("standard"):
        clipped, _ = transform.update(gradient, transform.init(update.params), update.params)
    pairs = zip(*map(jax.tree.leaves, (gradient, clipped)), strict=True)
    changed = jnp.stack([jnp.any(before != after) for before, after in pairs]).any()
    return changed.astype(jnp.float32)
