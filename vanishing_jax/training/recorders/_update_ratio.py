"""How large an update is beside what it updates."""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from ..._types import Array
from ._update import Update, global_norm


def update_ratio(update: Update) -> Float[Array, "leaf"]:
    """Return ||new - old|| / ||old|| of each trained array.

    Around 1e-3 is common; 1e-1 means steps that forget, 1e-6 an array that does not learn. 0 where
    nothing moves, infinite for an array that is 0 and moves, such as a fresh bias. Projections
    count, population statistics do not.
    """

    def ratio(old, new):
        dtype = jnp.abs(old).dtype
        size, change = global_norm(old, dtype), global_norm(new - old, dtype)
        quotient = (change / jnp.where(size > 0, size, 1)).astype(jnp.float32)
        return jnp.where(size > 0, quotient, jnp.where(change > 0, jnp.inf, 0.0))

    pairs = zip(*map(jax.tree.leaves, (update.params, update.new_params)), strict=True)
    return jnp.stack([ratio(old, new) for old, new in pairs])
