"""A branch that is seldom taken, also under vmap."""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def rarely(predicate, rare: Callable, usual: Callable, *operands):
    """Return `rare(*operands)` where `predicate` holds, else `usual(*operands)`.

    `jax.lax.cond`, except under `jax.vmap`: there a cond with a batched predicate computes both
    branches for all; this one computes the rare branch only when some member of the batch needs it.
    What the branches depend on must come in as operands.
    """

    @jax.custom_batching.custom_vmap
    def choose(predicate, *operands):
        return jax.lax.cond(predicate, rare, usual, *operands)

    @choose.def_vmap
    def _(axis_size, in_batched, predicate, *operands):
        axes = jax.tree.map(lambda batched: 0 if batched else None, tuple(in_batched[1:]))

        def over(branch):
            return jax.vmap(branch, in_axes=axes, axis_size=axis_size)

        if not in_batched[0]:
            out = jax.lax.cond(predicate, over(rare), over(usual), *operands)
        else:

            def mixed(*operands):
                def pick(a, b):
                    where = predicate.reshape(predicate.shape + (1,) * (a.ndim - 1))
                    return jnp.where(where, a, b)

                return jax.tree.map(pick, over(rare)(*operands), over(usual)(*operands))

            out = jax.lax.cond(jnp.any(predicate), mixed, over(usual), *operands)
        return out, jax.tree.map(lambda _: True, out)

    return choose(predicate, *operands)
