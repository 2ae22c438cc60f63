"""Reverse mode through the graded product: gradients of log singular values and of QR growth.

Let P = J_T ... J_1 and f(P) be a sum of g_i log sigma_i. With left and right singular vectors u_i,
v_i the gradient with respect to one Jacobian is

    df/dJ_t = sum_i g_i b_i(t) a_i(t-1)^T,  a_i(t) = P_{t,0} v_i,  b_i(t) = P_{T,t}^T u_i / sigma_i,

where b_i(t)^T a_j(t) = 1 for i = j and 0 otherwise. Neither family can be computed by stepping: the
direction that grows fastest swamps the others. Together they are K_t = sum_i g_i b_i(t) a_i(t)^T, a
matrix whose eigenvalues are the g_i at every t. In the frames of the product, J_t Q_{t-1} = Q_t R_t
and P_{t,0} Q_0 = Q_t M_t with M_t = R_t ... R_1 = diag(2^e) W, it obeys

    G_t = K_t R_t^-T,   K_{t-1} = R_t^T G_t,   df/dJ_t = Q_t^-T G_t Q_{t-1}^T,

with two boundary values: K_T = R_0^T U diag(g) U^T R_0^-T, U the left singular vectors of R_0 M_T
and Q_T = O R_0 with O orthogonal; and K_0 = S = Y diag(g) Y^T, Y the right ones in the columns of
Q_0. Going backward, entry (i, j) is multiplied by about R_ii / R_jj. Directions are sorted by
growth, so

* the lower triangle shrinks: rounding in it decays, and what it tends to depends on no boundary;
* the upper triangle grows out of numbers like 2^(e_j - e_i), which is harmless while they are
  there: relative to that scale its rounding does not grow. Over a long chain they underflow. So it
  is set anew, from K_t = M_t^-T S M_t^T, whose entries i < j are 2^(e_j - e_i) times those of the
  well conditioned W^-T S W^T, before a step that would make visible what has underflowed.

No difference of singular values appears in a denominator other than in the vectors themselves:
equal cotangents of a cluster give its invariant subspace.

The QR growth sum_i g_i log |R_ii| of P Q_0 has the same gradient with K_T = R_0^T diag(g) R_0^-T: a
lower triangle at every t, with nothing above it.

Where M_t has rows that are exactly zero (dead), R_t has no inverse. The columns of G_t that K_t
does not determine are then G_t = K_t Z, Z = M_t^-T Pi M_{t-1}^T with the projector Pi = Y Y^T on
the directions that survive to the end. A step with uneven columns (`multiply_exactly`) is two,
J = outer (diag(scale) inner), and the gradient is divided by scale and inner after the product, so
that each of its columns keeps its own accuracy.

??? cite "Reference"
    Engelken, R. (2023). Gradient flossing: improving gradient descent through dynamic control of
    Jacobians. NeurIPS 36; arXiv:2312.17306 (it differentiates the QR growth).
    Ginelli, F. et al. (2007). Characterizing dynamics with covariant Lyapunov vectors. Phys. Rev.
    Lett. 99, 130601 (a_i is forward-stable in its flag only, as here).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.lax.linalg import triangular_solve
from jaxtyping import Bool, Float, Int

from .._types import Array
from ._bits import ZERO, binary_exponent, pow2, times_pow2
from ._factorization import factor_in_place, frame_of
from ._graded import GradedProduct, exact_factors, exact_product, multiply

# Growth of a factorization from which a step is multiplied exactly.
_EXACT_FROM = 2.0**12

# From this size on the zero half of a triangle is worth a second, smaller matrix product.
_SPLIT_FROM = 64

# Powers of two by which entries of the upper triangle may grow since it was set: what was below the
# range of the floats then still is below rounding.
_LARGEST_GROWTH = {"float64": 900, "float32": 60}


class Step(NamedTuple):
    """One step as the backward pass needs it: the rows before it, and its factorization.

    `lower` has R^T in its lower triangle and L^T in the strict upper one, Q_t[i] = L[place[i]].
    """

    before: "Rows"
    lower: Float[Array, "*time state state"]
    place: Int[Array, "*time state"]
    exact: Bool[Array, "*time"]


class Directions(NamedTuple):
    """S = Y diag(g) Y^T and Pi = Y Y^T over the surviving directions, in the columns of Q_0."""

    weighted: Float[Array, "state state"]
    surviving: Float[Array, "state state"]


class Rows(NamedTuple):
    """M = diag(2^exponent) W with W^T lower triangular; only the diagonal of W for growth.

    `size` is the binary exponent of the rows of M, ZERO for one that is exactly zero. Stored steps
    have a leading time axis.
    """

    exponent: Int[Array, "*time state"]
    triangle: Float[Array, "*shape"]
    size: Int[Array, "*time state"]

    @property
    def dead(self) -> Bool[Array, "state"]:
        """Which rows are exactly zero."""
        return self.size == ZERO


def rows_of(exponent: Int[Array, "state"], triangle: Float[Array, "state *columns"]) -> Rows:
    """Return the rows of diag(2^exponent) W from W^T, or from the diagonal of W."""
    largest = jnp.max(jnp.abs(triangle), axis=0) if triangle.ndim == 2 else triangle
    k = binary_exponent(largest)
    dead = (exponent == ZERO) | (k == ZERO)
    return Rows(exponent, triangle, jnp.where(dead, ZERO, exponent + k))


def advance(product: GradedProduct, J: Float[Array, "state state"]) -> tuple[GradedProduct, Step]:
    """Return the product with one more Jacobian on its left, and the step taken."""
    factors, place = factor_in_place(product.frame @ J.T)
    fine = jnp.max(factors.growth) <= _EXACT_FROM  # False for NaN

    def at_once():
        after = multiply(product, factors, jnp.ones((), J.dtype))
        return after, factors.lower, place

    def exactly():
        f = exact_factors(product, J)
        L = jnp.zeros_like(f.frame).at[:, f.place].set(f.frame)
        return exact_product(product, f), jnp.tril(f.R_outer.T) + jnp.triu(L, 1), f.place

    after, lower, place = jax.lax.cond(fine, at_once, exactly)
    return after, Step(rows_of(product.exponent, product.triangle), lower, place, ~fine)


class Pulled(NamedTuple):
    """Where the backward pass is: K_t, the rows that are zero there, and where K was renewed.

    `renewed` holds the sizes of the rows of M at the last t where the upper triangle was set.
    """

    K: Float[Array, "state state"]
    dead: Bool[Array, "state"]
    renewed: Int[Array, "state"]


def begin(product: GradedProduct, lower, directions: Directions | None) -> Pulled:
    """Return the end of the chain, where the backward pass begins, from the lower triangle of K."""
    rows = rows_of(product.exponent, product.triangle)
    return Pulled(_with_upper(jnp.tril(lower), rows, directions), rows.dead, rows.size)


def pull_back(
    start: GradedProduct,
    steps: Step,
    jacobians: Float[Array, "time state state"],
    end: Pulled,
    directions: Directions | None,
) -> tuple[Pulled, Float[Array, "time state state"]]:
    """Return where consecutive steps start, and the gradients, from where they end."""

    def body(pulled, t):
        # From the stored arrays, not as scanned ones: the frame is made of the step before, and
        # most arrays are looked at in few steps only.
        def at(tree):
            return jax.tree.map(lambda x: x[t], tree)

        last = jnp.maximum(t - 1, 0)
        frame = jax.lax.cond(
            t == 0, lambda: start.frame, lambda: frame_of(steps.lower[last], steps.place[last])
        )
        size = steps.before.size[t]
        # What starts at t = 0 goes on elsewhere, with steps that are not known here.
        due = (t == 0) | steps.exact[last] | _underflow_would_show(pulled, steps.before.size[last])
        renew = due | jnp.any((size == ZERO) != pulled.dead)
        K, gradient = jax.lax.cond(
            steps.exact[t],
            lambda: _pull_exactly(pulled.K, at(steps.before), frame, jacobians[t], directions),
            lambda: _pull(pulled, at, frame, renew, steps, jacobians, directions),
        )
        renewed = jnp.where(renew | steps.exact[t], size, pulled.renewed)
        return Pulled(K, size == ZERO, renewed), gradient

    if len(jacobians) == 0:
        return end, jacobians
    return jax.lax.scan(body, end, jnp.arange(len(jacobians)), reverse=True)


def _underflow_would_show(pulled, size):
    """Return whether the upper triangle, stepped to where rows have `size`, would grow too much."""
    shrunk = jnp.where(size == ZERO, 0, pulled.renewed - size)
    growth = jnp.max(jax.lax.cummax(shrunk) - shrunk)
    return growth > _LARGEST_GROWTH[pulled.K.dtype.name]


def _pull(pulled, at, frame, renew, steps, jacobians, directions):
    K, dead, lower = pulled.K, pulled.dead, at(steps.lower)

    def singular():
        before = at(steps.before)
        factors = factor_in_place(frame @ at(jacobians).T)[0]
        product = multiply(product_before(before, frame), factors, jnp.ones((), K.dtype))
        after = rows_of(product.exponent, product.triangle)
        return _undo_singular(K, lower, after, before, directions)

    G = jax.lax.cond(jnp.any(dead), singular, lambda: _right_solve(lower, K))
    K = _triangle_times(lower, G)
    if directions is None:
        K = jnp.tril(K)
    else:
        K = jax.lax.cond(renew, lambda: _with_upper(K, at(steps.before), directions), lambda: K)
    # Q^T = L^T with its columns at `place`; L^T is the unit upper triangle.
    solved = _right_solve(lower.T, G.T, unit_diagonal=True).T
    return K, (solved @ frame)[at(steps.place)]


def _pull_exactly(K, before, frame, J, directions):
    f = exact_factors(product_before(before, frame), J)
    outer, inner = f.R_outer.T, f.R_inner.T
    middle = rows_of(f.middle_exponent, f.middle_triangle.T)
    after = rows_of(f.exponent, f.triangle.T)
    G_outer = _undo_singular(K, outer, after, middle, directions)
    K_middle = _with_upper(_triangle_times(outer, G_outer), middle, directions)
    both = jnp.concatenate([K_middle, G_outer])
    G_inner, whole = jnp.split(_undo_singular(both, inner, middle, before, directions), 2)
    alive = (f.scale > 0)[None, :]
    columns = (G_outer @ f.middle.T) / jnp.where(alive, f.scale[None, :], 1)
    columns = jnp.where(alive, columns, whole @ frame @ f.inner.T)
    # inner = L^T P and Q_t = P^T L: LU finds L again without a rounding, as it was pivoted before.
    gradient = _solve_permuted(f.frame.T, columns)
    gradient = _solve_permuted(f.inner.T, gradient.T).T
    K = _with_upper(_triangle_times(inner, G_inner), before, directions)
    return K, times_pow2(gradient, -f.size)


def product_before(before: Rows, frame: Float[Array, "state state"]) -> GradedProduct:
    """Return the product as it was before a step, without its growth."""
    return GradedProduct(frame, before.exponent, before.triangle, jnp.zeros_like(frame[0]))


def _solve_permuted(Q, X):
    """Return Q^-T X for Q = P^T L."""
    return jax.scipy.linalg.lu_solve(jax.scipy.linalg.lu_factor(Q), X, trans=1)


def _right_solve(lower, X, *, unit_diagonal=False):
    """Return X lower^-1; only the lower triangle is read."""
    return triangular_solve(lower, X, left_side=False, lower=True, unit_diagonal=unit_diagonal)


def _undo_singular(K, lower, after, before, directions):
    """Return G = K R^-T for R^T in the lower triangle, where R has no inverse."""
    dead = after.dead[None, :]
    if directions is None:
        unknown = jnp.zeros_like(K)
    else:
        Z = _between(after, before, directions.surviving)
        unknown = K @ jnp.where(dead, Z, 0)
    R = jnp.tril(lower)
    known = jnp.where(dead, 0, K - unknown @ R)
    R = jnp.where(dead | after.dead[:, None], jnp.eye(len(R), dtype=R.dtype), R)
    return jnp.where(dead, unknown, _right_solve(R, known))


def _triangle_times(lower, G):
    """Return R^T G for R^T in the lower triangle."""
    n, half = len(G), len(G) // 2
    lower = jnp.tril(lower)
    if n < _SPLIT_FROM:
        return lower @ G
    return jnp.concatenate([lower[:half, :half] @ G[:half], lower[half:] @ G])


def _with_upper(K, rows, directions):
    """Return K with its strict upper triangle set to that of M^-T S M^T."""
    if directions is None:
        return jnp.tril(K)
    return jnp.tril(K) + jnp.triu(_between(rows, rows, directions.weighted), 1)


def _between(after, before, S):
    """Return M_after^-T S M_before^T for i < j, where it is accurate; zero for dead i or j.

    S is symmetric. Below the diagonal the result means nothing.
    """
    W = jnp.where(after.dead[None, :], jnp.eye(len(S), dtype=S.dtype), after.triangle)
    # W^-T S as a solve from the right, which is the fast one.
    X = triangular_solve(W, S, left_side=False, lower=True, transpose_a=True).T @ before.triangle
    alive = ~after.dead[:, None] & ~before.dead[None, :]
    shift = jnp.where(alive, before.exponent[None, :] - after.exponent[:, None], 0)
    return jnp.where(alive, X * pow2(shift, S.dtype), 0)
