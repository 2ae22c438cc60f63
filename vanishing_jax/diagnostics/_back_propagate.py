"""Back-propagation of vectors of moderate size with an integer exponent each.

A gradient v 2^e is right where plain float32 gives 0 or inf. Time, depth and networks of layers all
carry theirs back by `pull_back`; a sequence of steps by `back_propagate`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from .._activations import stable_derivatives
from .._checks import check_loss
from .._mantissa_exponent import log_scaled, normalized
from .._tree import state_layout
from .._types import Array, PyTree


class Scaled(NamedTuple):
    """Vectors of moderate size with an exponent each: they stand for vectors * 2**exponents.

    A sequence of them, or a single one.
    """

    vectors: Float[Any, "*time size"]
    exponents: Int[Any, "*time"]


def scaled(vectors: Float[Any, "*time size"]) -> Scaled:
    """Return a vector, or the rows of a matrix, as `Scaled`."""
    shape = vectors.shape[:-1]
    rows = vectors.reshape(-1, vectors.shape[-1])
    rows, exponents = jax.vmap(normalized)(rows, jnp.zeros(len(rows), jnp.int32))
    return Scaled(rows.reshape(vectors.shape), exponents.reshape(shape))


def loss_gradient(
    tree: PyTree, loss: Callable[[PyTree], Array], leading_axes: int
) -> Float[Array, "*lead size"]:
    """Return the gradient of `loss(tree)`, one vector for each index of the leading axes.

    They are time of states, batch and time of a batch of them, or the samples of an activation.
    """
    check_loss(loss, tree)
    layout = state_layout(jax.tree.map(lambda leaf: leaf[(0,) * leading_axes], tree))
    ravel, unravel = layout.ravel, layout.unravel
    for _ in range(leading_axes):
        ravel, unravel = jax.vmap(ravel), jax.vmap(unravel)
    return jax.grad(lambda vectors: loss(unravel(vectors, tree)))(ravel(tree))


def back_propagate(
    pull: Callable[[Scaled, PyTree], tuple[Scaled, PyTree]], points: PyTree, direct: Scaled
) -> tuple[Float[Array, "time_plus_one"], PyTree]:
    """Return log ||dL/ds_t|| for t = 0..T, and what `pull` found at each step.

    dL/ds_t is the direct gradient, row t of `direct`, and what arrives from step t + 1.
    `pull(gradient, point)` carries the gradient of s_t to s_{t-1}; `points` has a leading axis T.
    """

    def back(arrived: Scaled, step: tuple[PyTree, Scaled]):
        point, own = step
        total = add(arrived, own)
        arrived, found = pull(total, point)
        return arrived, (log_norm(*total), found)

    nothing = Scaled(jnp.zeros_like(direct.vectors[0]), jnp.zeros((), jnp.int32))
    steps = points, Scaled(direct.vectors[1:], direct.exponents[1:])
    arrived, (norms, found) = jax.lax.scan(back, nothing, steps, reverse=True)
    first = add(arrived, Scaled(direct.vectors[0], direct.exponents[0]))
    return jnp.concatenate([log_norm(*first)[None], norms]), found


def pull_back(
    step: Callable[..., Array], at: Float[Array, "size"], gradient: Scaled, *others: PyTree
) -> tuple[Scaled, list[PyTree]]:
    """Return the gradient of `step(at, *others)` carried back to `at`, and to each of the others.

    The latter without the exponent of the gradient.
    """
    out, pullback = jax.vjp(stable_derivatives(step), at, *others)
    to_at, *to_others = pullback(gradient.vectors.astype(out.dtype))
    return Scaled(*normalized(to_at, gradient.exponents)), to_others


def add(one: Scaled, other: Scaled) -> Scaled:
    """Return the sum of two vectors, at the larger of both scales, normalized."""
    other = Scaled(*normalized(*other))
    has_one, has_other = jnp.any(one.vectors != 0), jnp.any(other.vectors != 0)
    high = jnp.where(
        has_one & has_other,
        jnp.maximum(one.exponents, other.exponents),
        jnp.where(has_one, one.exponents, other.exponents),
    )
    total = _shifted(one, high, has_one) + _shifted(other, high, has_other)
    return Scaled(*normalized(total, high))


def _shifted(one: Scaled, high: Int[Array, ""], nonzero: Array) -> Float[Array, "size"]:
    # At most 0 where the vector counts; elsewhere meaningless, and it must not overflow.
    shift = jnp.where(nonzero, jnp.clip(one.exponents - high, -2000, 0), 0)
    return jnp.ldexp(one.vectors, shift)


def log_norm(tree: PyTree, exponent: Int[Array, ""]) -> Float[Array, ""]:
    """Return log ||tree|| + exponent log 2 without squaring anything tiny."""
    leaves = [jnp.abs(leaf).reshape(-1) for leaf in jax.tree.leaves(tree)]
    if sum(leaf.size for leaf in leaves) == 0:
        return jnp.asarray(-jnp.inf, jnp.result_type(float))
    flat = jnp.concatenate([leaf.astype(leaves[0].dtype) for leaf in leaves])
    size = jnp.max(flat)
    zero = size == 0
    total = jnp.sum((flat / jnp.where(zero, 1, size)) ** 2)
    return log_scaled(size, exponent) + 0.5 * jnp.log(jnp.where(zero, 1, total))
