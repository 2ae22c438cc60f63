"""What a walk leaves behind besides the product, from which later sees what errors became.

The product is kept in blocks: every `BLOCK` steps a new one begins, in the same frame. Rows i of a
block's triangle, over their diagonal, say by how much an error in direction i at its beginning was
amplified until its end: directions that the block made nearly parallel show there, wherever in the
chain it happens. (What an error becomes cannot be had from the product until there and the whole
one: it would take the difference of nearly equal numbers.)

At a few cuts all is put aside, from where the amplification of each direction until the end of the
chain is computed afterwards (`_amplification`).
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Float, Int

from .._types import Array
from ._graded import ZERO, GradedProduct, absorb, scaled_rows

# Steps of a block: amplification comes and goes over some ten of them.
BLOCK = 32

# Steps that are looked at closely: a cut before and after each (but for lag 0) and one at the end.
PROBES = 4
MAX_CUTS = 2 * PROBES

_LARGEST_SPREAD = 1e100  # its square is a float


class Blocks(NamedTuple):
    """The product until the last block's end, and what was lost.

    - `whole_exponent`, `whole_triangle`: the product since lag 0 is Q diag(2^e) W Q_0^T; rows of W
      scaled into [1, 2). `segment_exponent`, `segment_triangle`: since the last cut.
    - `amplified`: sum over all blocks but the last of what was lost there (`Walk.lost`), times the
      square of what it was amplified by. `lost`: before the last block, and with it.
    - `spread`: amplification over the last block. `end`: the lag of its end.

    A short block, at a cut, shows little of what comes next: it counts as part of the last one.
    """

    whole_exponent: Int[Array, "state"]
    whole_triangle: Float[Array, "state state"]
    segment_exponent: Int[Array, "state"]
    segment_triangle: Float[Array, "state state"]
    amplified: Float[Array, ""]
    lost: Float[Array, "2"]
    spread: Float[Array, ""]
    end: Int[Array, ""]


class History(NamedTuple):
    """The blocks of a walk, and its cuts in order.

    - `lag`: where; `count`: how many there are so far.
    - `frame`: rows are the columns of Q there.
    - `exponent`, `triangle`: the product since the cut before.
    - `growth`: that of the product there, `exact_steps`: their number, both since lag 0.
    """

    blocks: Blocks
    lag: Int[Array, "cut"]
    count: Int[Array, ""]
    frame: Float[Array, "cut state state"]
    exponent: Int[Array, "cut state"]
    triangle: Float[Array, "cut state state"]
    growth: Float[Array, "cut state"]
    exact_steps: Int[Array, "cut"]


def no_history(n: int, dtype) -> History:
    """Return the history of a walk at its start."""
    nothing, eye = jnp.zeros(n, jnp.int32), jnp.eye(n, dtype=dtype)
    lost = jnp.zeros((), dtype), jnp.zeros(2, dtype), jnp.ones((), dtype)
    return History(
        Blocks(nothing, eye, nothing, eye, *lost, jnp.zeros((), jnp.int32)),
        jnp.zeros(MAX_CUTS, jnp.int32),
        jnp.zeros((), jnp.int32),
        jnp.zeros((MAX_CUTS, n, n), dtype),
        jnp.zeros((MAX_CUTS, n), jnp.int32),
        jnp.zeros((MAX_CUTS, n, n), dtype),
        jnp.zeros((MAX_CUTS, n), dtype),
        jnp.zeros(MAX_CUTS, jnp.int32),
    )


def whole_product(product: GradedProduct, blocks: Blocks) -> GradedProduct:
    """Return the product since lag 0; `product` is the one since the last block's end."""
    rows = compose(*scaled_rows(product), blocks.whole_exponent, blocks.whole_triangle)
    return GradedProduct(product.frame, rows[0], rows[1].T, product.growth)


def compose(exponent, triangle, earlier_exponent, earlier_triangle):
    """Return (e, W) with diag(2^e) W = diag(2^e2) W2 diag(2^e1) W1."""
    e, W = absorb(triangle, earlier_exponent, earlier_triangle)
    dead = (exponent == ZERO) | (e == ZERO)
    return jnp.where(dead, ZERO, exponent + e), jnp.where(dead[:, None], 0, W)


def amplified_loss(product: GradedProduct, blocks: Blocks, lost) -> Float[Array, ""]:
    """Return the root of `lost` since lag 0, amplified block by block, over that and the next."""
    spread = spread_of(product)
    last, here = blocks.lost[1] - blocks.lost[0], lost - blocks.lost[1]
    last = last * jnp.square(jnp.maximum(blocks.spread, spread))
    return jnp.sqrt(blocks.amplified + last + here * jnp.square(spread))


def end_block(product: GradedProduct, blocks: Blocks, lost, lag) -> tuple[GradedProduct, Blocks]:
    """Return the empty product in the frame of `product`, and the blocks with it as the last."""
    rows, spread = scaled_rows(product), spread_of(product)
    short = lag - blocks.end < BLOCK // 2
    worst = jnp.maximum(blocks.spread, spread)
    last = (blocks.lost[1] - blocks.lost[0]) * jnp.square(worst)
    blocks = Blocks(
        *compose(*rows, blocks.whole_exponent, blocks.whole_triangle),
        *compose(*rows, blocks.segment_exponent, blocks.segment_triangle),
        jnp.where(short, blocks.amplified, blocks.amplified + last),
        jnp.stack([jnp.where(short, blocks.lost[0], blocks.lost[1]), lost]),
        jnp.where(short, worst, spread),
        lag,
    )
    return _begun(product), blocks


def spread_of(product: GradedProduct) -> Float[Array, ""]:
    """Return the largest entry of a row of the triangle over its diagonal."""
    exponent, W = scaled_rows(product)
    dead = exponent == ZERO
    diagonal = jnp.where(dead, 1, jnp.abs(jnp.diagonal(W)))
    size = jnp.where(dead, 1, jnp.max(jnp.abs(W), axis=1))
    spread = jnp.max(size / jnp.where(diagonal > 0, diagonal, 1 / _LARGEST_SPREAD))
    return jnp.minimum(spread, _LARGEST_SPREAD)


def _begun(product):
    n, dtype = product.frame.shape[-1], product.triangle.dtype
    exponent = jnp.zeros_like(product.exponent)
    return GradedProduct(product.frame, exponent, jnp.eye(n, dtype=dtype), product.growth)


def add_cut(product: GradedProduct, history: History, lag, exact_steps) -> History:
    """Return the history with a cut at a block's end; `product` is the empty one there."""
    at, blocks = history.count, history.blocks
    none, frame = jnp.zeros_like(blocks.segment_exponent), product.frame
    eye = jnp.eye(frame.shape[-1], dtype=frame.dtype)
    return History(
        blocks._replace(segment_exponent=none, segment_triangle=eye),
        history.lag.at[at].set(lag),
        at + 1,
        history.frame.at[at].set(frame),
        history.exponent.at[at].set(blocks.segment_exponent),
        history.triangle.at[at].set(blocks.segment_triangle),
        history.growth.at[at].set(product.growth),
        history.exact_steps.at[at].set(exact_steps),
    )
