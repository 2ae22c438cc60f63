"""The leading exponents of the recurrence."""

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Float

from ..._activations import stable_derivatives
from ..._tree import state_layout
from ..._types import Array
from ...tasks import Padded
from ._update import Update, trajectories

_LARGEST_COUNT = 4


def exponents(update: Update) -> Float[Array, "exponent"]:
    """Return the leading (at most 4) growth rates of perturbations, natural log per step.

    Along the batch's first sequence: a frame of random directions aligns itself over the first half
    of it and is measured over the second half, by QR as in `lyapunov_exponents`; descending. Below
    0 by x means gradients fall by exp(-x) a step. One short sequence: a trend to watch, without an
    error bound. A `TruncatedCell` cuts what it measures: -inf.
    """
    cell = update.model.cell
    first = jax.tree.map(lambda leaf: leaf[:1], update.inputs)
    run = jax.tree.map(lambda leaf: leaf[0], trajectories(cell, first))
    before = jax.tree.map(lambda leaf: leaf[:-1], run.states)
    layout = state_layout(jax.tree.map(lambda leaf: leaf[0], before))
    count = min(layout.size, _LARGEST_COUNT)

    def grow(frame, step):
        state, input = step
        advance = stable_derivatives(lambda v: layout.ravel(cell(layout.unravel(v, state), input)))

        def push(direction):
            return jax.jvp(advance, (layout.ravel(state),), (direction,))[1]

        q, r = jnp.linalg.qr(jax.vmap(push, in_axes=1, out_axes=1)(frame))
        return q, jnp.log(jnp.abs(jnp.diagonal(r)))

    start, _ = jnp.linalg.qr(jr.normal(jr.key(0), (layout.size, count), layout.dtype))
    _, growth = jax.lax.scan(grow, start, (before, run.inputs))
    steps = jnp.arange(growth.shape[0], dtype=jnp.int32)
    padded = isinstance(update.inputs, Padded)
    length = update.inputs.length[0].astype(steps.dtype) if padded else growth.shape[0]
    measured = (steps >= length // 2) & (steps < length)
    rates = jnp.mean(growth, axis=0, where=measured[:, None])
    return jnp.sort(rates, descending=True)
