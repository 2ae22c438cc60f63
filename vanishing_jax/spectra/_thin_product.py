"""A chain of Jacobians, or its inverse, applied to a few vectors: thin and graded.

The product P = J_t ... J_{s+1} times a block B of p vectors is kept as Q diag(2^e) W with a frame Q
of p columns (`_graded` does the same for square frames): one block is pushed through each step by
jvp, or pulled back by vjp, and factored by LU with partial pivoting, which keeps small and exactly
zero rows. No n by n array exists.
"""

import functools as ft
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.lax.linalg as lax_linalg
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from .._chain import JacobianChain, apply_jacobian
from .._types import Array
from ._graded import absorb


class ThinProduct(NamedTuple):
    """The product of a chain and a block as `frame @ diag(2**exponent) @ rows`.

    - `frame`: orthonormal columns.
    - `growth`: per row, the root of the sum of squares of the element growth of all LU.
    - `solve_residual`: sum over steps of the relative residuals of the linear solves.
    - `failed_step`: first step with a NaN or infinite result, 0 if there is none.
    """

    frame: Float[Array, "state direction"]
    exponent: Int[Array, "direction"]
    rows: Float[Array, "direction direction"]
    growth: Float[Array, "direction"]
    solve_residual: Float[Array, ""]
    failed_step: Int[Array, ""]


Solver = Callable[..., tuple[Array, Array]]
"""`solver(chain, t, block, transpose) -> (X, residual)` with J_t X = block."""


@eqx.filter_jit
def thin_product(
    chain: JacobianChain,
    block: Float[Array, "state direction"],
    s: Int[Array, ""],
    t: Int[Array, ""],
    transpose: Bool[Array, ""],
    *,
    solver: Solver | None = None,
) -> ThinProduct:
    """Return P B, or P^T B; with a solver P^{-1} B, or P^{-T} B.

    **Cost:** p Jacobian-vector products and an LU of n by p per step; O(n p) memory.
    """
    p, dtype = block.shape[1], block.dtype
    ascending = transpose == (solver is not None)

    def apply(step, frame, transpose: bool):
        if solver is not None:
            return solver(chain, step, frame, transpose)
        return apply_jacobian(chain, step, frame, transpose=transpose), jnp.zeros((), dtype)

    def body(i, product):
        step = jnp.where(ascending, s + 1 + i, t - i)
        # Both directions in one compiled function: compiling is what the first call waits for.
        with jax.default_matmul_precision("highest"):
            image, residual = jax.lax.cond(
                transpose,
                ft.partial(apply, transpose=True),
                ft.partial(apply, transpose=False),
                step,
                product.frame,
            )
        frame, R, growth = tall_lu(image)
        exponent, rows = absorb(R, product.exponent, product.rows)
        bad = (product.failed_step == 0) & ~jnp.all(jnp.isfinite(image))
        return ThinProduct(
            frame,
            exponent,
            rows,
            jnp.hypot(product.growth, growth),
            product.solve_residual + residual,
            jnp.where(bad, step, product.failed_step).astype(jnp.int32),
        )

    start = ThinProduct(
        block,
        jnp.zeros(p, jnp.int32),
        jnp.eye(p, dtype=dtype),
        jnp.ones(p, dtype),
        jnp.zeros((), dtype),
        jnp.zeros((), jnp.int32),
    )
    product = jax.lax.fori_loop(0, t - s, body, start)
    frame, R = jnp.linalg.qr(product.frame)
    exponent, rows = absorb(R, product.exponent, product.rows)
    return product._replace(frame=frame, exponent=exponent, rows=rows)


def tall_lu(A: Float[Array, "state direction"]):
    """Return Q, R, growth with A = Q R: Q well conditioned, R upper triangular.

    growth_j = (|L||U|)_jj / |U_jj| is the cancellation a pivot suffered. A zero pivot left by
    cancellation gives inf; one for which no nonzero row is left is exact and gives nothing.
    """
    n, p = A.shape
    lu, _, perm = lax_linalg.lu(A)
    L, R = jnp.tril(lu, -1) + jnp.eye(n, p, dtype=lu.dtype), jnp.triu(lu[:p])
    size = jnp.sum(jnp.abs(L[:p]) * jnp.abs(R).T, axis=1)
    pivot = jnp.abs(jnp.diagonal(R))
    lost = jnp.where(size > 0, jnp.inf, 0).astype(size.dtype)
    growth = jnp.where(pivot > 0, size / jnp.where(pivot > 0, pivot, 1), lost)
    return jnp.zeros_like(L).at[perm].set(L), R, growth
