"""A scan over time that can trade time for memory."""

import functools as ft
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from .._types import PyTree


def scan(
    step: Callable[[PyTree, PyTree], tuple[PyTree, PyTree]],
    init: PyTree,
    xs: PyTree,
    *,
    checkpoint: bool = False,
) -> tuple[PyTree, PyTree]:
    """Return `jax.lax.scan(step, init, xs)`, of which back-propagation can keep less.

    With `checkpoint` it keeps the carry of every c-th step, c = floor(sqrt(T)), and computes the
    steps between again when the backward pass comes to them: the residuals of about 2 sqrt(T) steps
    are in memory at a time and not of T, for one more forward pass.
    """
    if not checkpoint:
        return jax.lax.scan(step, init, xs)
    length = jax.tree.leaves(xs)[0].shape[0]
    size = max(1, math.isqrt(length))
    count = length // size
    whole = count * size

    # Inside a scan nothing can merge the second computation with the first.
    @ft.partial(jax.checkpoint, prevent_cse=False)
    def chunk(carry, xs):
        return jax.lax.scan(step, carry, xs)

    split = jax.tree.map(lambda x: x[:whole].reshape(count, size, *x.shape[1:]), xs)
    carry, ys = jax.lax.scan(chunk, init, split)
    ys = jax.tree.map(lambda y: y.reshape(whole, *y.shape[2:]), ys)
    if whole == length:
        return carry, ys
    carry, last = jax.lax.scan(step, carry, jax.tree.map(lambda x: x[whole:], xs))
    return carry, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), ys, last)
