"""From a graded product to its log singular values and its QR growth."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from .._types import Array
from ._bits import ZERO, pow2
from ._graded import GradedProduct, absorb, scaled_rows

# LAPACK's singular values (dqds) square the entries: half of the exponent range may be used.
_EXPONENT_BITS = {"float64": 900, "float32": 100}


class Rows(NamedTuple):
    """The matrix diag(2^exponent) triangle."""

    exponent: Int[Array, "state"]
    triangle: Float[Array, "state state"]


def log_singular_values_of(
    product: GradedProduct,
) -> tuple[Float[Array, "state"], Bool[Array, ""]]:
    """Return the log singular values of one graded product, descending, and whether they fit.

    The frame is made orthogonal first: QR is insensitive to the scale of columns, so nothing is
    lost.
    """
    rows, _ = orthogonal_frame(product)
    return log_singular_values_of_rows(*rows)


def log_singular_values_of_rows(
    exponent: Int[Array, "state"], triangle: Float[Array, "state state"]
) -> tuple[Float[Array, "state"], Bool[Array, ""]]:
    """Return the log singular values of diag(2^exponent) triangle, and whether they fit.

    The rows of the triangle are scaled into [1, 2). Two steps: sort and transpose by QR until the
    rows are nearly orthogonal across large gaps (an LR step: each pass multiplies the coupling of
    two rows by the ratio of their scales); then cap the gaps so that the matrix fits the exponent
    range and hand it to LAPACK, which is accurate to a few eps in *every* singular value of a
    row-graded matrix. With more distinct scales than the exponent range has bits (n > 900 in
    float64, n > 100 in float32) they do not fit: neighbors lose their order and values are off by
    up to log 2.
    """
    rows = Rows(exponent, triangle)
    # One flip always; more when many rows share the exponent range and gaps are capped tightly.
    flips = 1 + 25 // jnp.maximum(largest_gap(rows), 1)
    rows = jax.lax.fori_loop(0, flips, lambda _, rows: _flip(rows), rows)
    rows = sorted_rows(rows)
    dead = rows.exponent == ZERO
    capped, resolved = capped_exponents(rows)
    dtype = rows.triangle.dtype
    sigma = jnp.linalg.svd(pow2(capped, dtype)[:, None] * rows.triangle, compute_uv=False)
    shift = jnp.where(dead, 0, rows.exponent - capped).astype(dtype)
    logs = jnp.log(jnp.where(dead, 1, sigma)) + shift * jnp.asarray(np.log(2), dtype)
    return -jnp.sort(-jnp.where(dead, -jnp.inf, logs)), resolved


def capped_exponents(rows: Rows) -> tuple[Int[Array, "state"], Bool[Array, ""]]:
    """Return exponents of sorted rows with their gaps capped to fit, and whether they fit."""
    largest = largest_gap(rows)
    gap = jnp.minimum(_gaps(rows), largest)
    resolved = (largest > 0) | jnp.all(_gaps(rows) == 0)
    capped = jnp.concatenate([jnp.zeros(1, jnp.int32), -jnp.cumsum(gap).astype(jnp.int32)])
    return capped + _bits(rows) // 2, resolved


def log_growth_of(product: GradedProduct) -> Float[Array, "state"]:
    """Return log |R_ii| of the QR factorization of J_t ... J_1 Q_0, in frame order.

    The diagonal of an orthogonal-triangular factorization is unique, so these are the sums of
    logs that a QR factorization at every step would have accumulated.
    """
    R = jnp.linalg.qr(product.frame.T, mode="r")
    W = product.triangle
    diagonal = jnp.abs(jnp.diagonal(R) * (W if W.ndim == 1 else jnp.diagonal(W)))
    dead = (product.exponent == ZERO) | (diagonal == 0)
    dtype = diagonal.dtype
    scale = jnp.where(dead, 0, product.exponent).astype(dtype) * jnp.asarray(np.log(2), dtype)
    return jnp.where(dead, -jnp.inf, jnp.log(jnp.where(dead, 1, diagonal)) + scale)


def orthogonal_frame(product: GradedProduct) -> tuple[Rows, Float[Array, "state state"]]:
    """Return the product's rows in an orthogonal frame O, and R with Q = O R."""
    R = jnp.linalg.qr(product.frame.T, mode="r")
    return Rows(*absorb(R, *scaled_rows(product))), R


def sorted_rows(rows: Rows) -> Rows:
    """Return the rows in descending order of their exponents."""
    order = jnp.argsort(-rows.exponent)
    return Rows(rows.exponent[order], rows.triangle[order])


def _flip(rows):
    rows = sorted_rows(rows)
    R = jnp.linalg.qr(rows.triangle.T, mode="r")
    return Rows(*absorb(R, rows.exponent, jnp.eye(R.shape[0], dtype=R.dtype)))


def _gaps(rows):
    """Return the exponent differences of consecutive sorted rows; 0 below the last nonzero one."""
    exponent = sorted_rows(rows).exponent
    return jnp.where(exponent[1:] == ZERO, 0, exponent[:-1] - exponent[1:])


def _bits(rows):
    return _EXPONENT_BITS[rows.triangle.dtype.name]


def largest_gap(rows: Rows) -> Int[Array, ""]:
    """Return the largest G such that the gaps, capped at G, fit into the exponent range."""
    candidates = jnp.arange(_bits(rows) + 1, dtype=jnp.int32)
    total = jnp.sum(jnp.minimum(_gaps(rows)[None, :], candidates[:, None]), axis=1)
    return jnp.max(jnp.where(total <= _bits(rows), candidates, 0))
