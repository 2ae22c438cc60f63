"""Where a walk was cut: the product in segments, from which later sees what earlier errors became.

At a cut the product walked so far is put aside and a new one begins, in the same frame. What an
error at a cut does to the end depends on the product from there on, and that cannot be had from the
whole product and the part before: it would take the difference of nearly equal numbers.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from .._types import Array
from ._graded import ZERO, GradedProduct, absorb, scaled_rows

# Steps that are looked at closely: a cut before and after each (but for lag 0) and one at the end.
PROBES = 4
MAX_CUTS = 2 * PROBES


class History(NamedTuple):
    """The cuts of a walk, in order.

    - `lag`: where; `count`: how many there are so far.
    - `frame`: rows are the columns of Q there.
    - `exponent`, `triangle`: the product since the cut before is Q diag(2^e) W Q_before^T in these
      frames; rows of W scaled into [1, 2).
    - `growth`: that of the product there, `exact_steps`: their number, both since lag 0.
    - `whole_exponent`, `whole_triangle`: the same for the product since lag 0, at the last cut.
    """

    lag: Int[Array, "cut"]
    count: Int[Array, ""]
    frame: Float[Array, "cut *batch state state"]
    exponent: Int[Array, "cut *batch state"]
    triangle: Float[Array, "cut *batch state state"]
    growth: Float[Array, "cut *batch state"]
    exact_steps: Int[Array, "cut"]
    whole_exponent: Int[Array, "*batch state"]
    whole_triangle: Float[Array, "*batch state state"]


def no_cuts(n: int, dtype, batch: int | None) -> History:
    """Return the history of a walk at its start."""
    shape = () if batch is None else (batch,)
    return History(
        jnp.zeros(MAX_CUTS, jnp.int32),
        jnp.zeros((), jnp.int32),
        jnp.zeros((MAX_CUTS, *shape, n, n), dtype),
        jnp.zeros((MAX_CUTS, *shape, n), jnp.int32),
        jnp.zeros((MAX_CUTS, *shape, n, n), dtype),
        jnp.zeros((MAX_CUTS, *shape, n), dtype),
        jnp.zeros(MAX_CUTS, jnp.int32),
        jnp.zeros((*shape, n), jnp.int32),
        jnp.broadcast_to(jnp.eye(n, dtype=dtype), (*shape, n, n)),
    )


def whole_product(product: GradedProduct, history: History) -> GradedProduct:
    """Return the product since lag 0; `product` is the one since the last cut."""
    if product.frame.ndim == 3:
        axes = History(None, None, None, None, None, None, None, 0, 0)  # pyright: ignore
        return jax.vmap(whole_product, in_axes=(0, axes))(product, history)
    exponent, W = scaled_rows(product)
    exponent, W = compose(exponent, W, history.whole_exponent, history.whole_triangle)
    return GradedProduct(product.frame, exponent, W.T, product.growth)


def compose(exponent, triangle, earlier_exponent, earlier_triangle):
    """Return (e, W) with diag(2^e) W = diag(2^e2) W2 diag(2^e1) W1."""
    e, W = absorb(triangle, earlier_exponent, earlier_triangle)
    dead = (exponent == ZERO) | (e == ZERO)
    return jnp.where(dead, ZERO, exponent + e), jnp.where(dead[:, None], 0, W)


def add_cut(
    product: GradedProduct, history: History, lag, exact_steps
) -> tuple[GradedProduct, History]:
    """Return the empty product in the frame of `product`, and the history with this cut."""
    batched = product.frame.ndim == 3
    exponent, W = jax.vmap(scaled_rows)(product) if batched else scaled_rows(product)
    whole = whole_product(product, history)
    whole_exponent, whole_W = whole.exponent, jnp.swapaxes(whole.triangle, -1, -2)
    at = history.count
    history = History(
        history.lag.at[at].set(lag),
        at + 1,
        history.frame.at[at].set(product.frame),
        history.exponent.at[at].set(exponent),
        history.triangle.at[at].set(W),
        history.growth.at[at].set(product.growth),
        history.exact_steps.at[at].set(exact_steps),
        whole_exponent,
        whole_W,
    )
    eye = jnp.broadcast_to(jnp.eye(W.shape[-1], dtype=W.dtype), W.shape)
    return GradedProduct(product.frame, jnp.zeros_like(exponent), eye, product.growth), history
