"""Where a walk was cut: the product in segments, from which later sees what earlier errors became.

At a cut the product walked so far is put aside and a new one begins, in the same frame. What an
error at a cut does to the end depends on the product from there on, and that cannot be had from the
whole product and the part before: it would take the difference of nearly equal numbers.
"""

from typing import NamedTuple

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
    frame: Float[Array, "cut state state"]
    exponent: Int[Array, "cut state"]
    triangle: Float[Array, "cut state state"]
    growth: Float[Array, "cut state"]
    exact_steps: Int[Array, "cut"]
    whole_exponent: Int[Array, "state"]
    whole_triangle: Float[Array, "state state"]


def no_cuts(n: int, dtype) -> History:
    """Return the history of a walk at its start."""
    return History(
        jnp.zeros(MAX_CUTS, jnp.int32),
        jnp.zeros((), jnp.int32),
        jnp.zeros((MAX_CUTS, n, n), dtype),
        jnp.zeros((MAX_CUTS, n), jnp.int32),
        jnp.zeros((MAX_CUTS, n, n), dtype),
        jnp.zeros((MAX_CUTS, n), dtype),
        jnp.zeros(MAX_CUTS, jnp.int32),
        jnp.zeros(n, jnp.int32),
        jnp.eye(n, dtype=dtype),
    )


def whole_product(product: GradedProduct, history: History) -> GradedProduct:
    """Return the product since lag 0; `product` is the one since the last cut."""
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
    exponent, W = scaled_rows(product)
    whole = whole_product(product, history)
    at = history.count
    history = History(
        history.lag.at[at].set(lag),
        at + 1,
        history.frame.at[at].set(product.frame),
        history.exponent.at[at].set(exponent),
        history.triangle.at[at].set(W),
        history.growth.at[at].set(product.growth),
        history.exact_steps.at[at].set(exact_steps),
        whole.exponent,
        whole.triangle.T,
    )
    eye = jnp.eye(W.shape[-1], dtype=W.dtype)
    return GradedProduct(product.frame, jnp.zeros_like(exponent), eye, product.growth), history
