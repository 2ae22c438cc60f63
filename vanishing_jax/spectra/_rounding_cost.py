"""What rounding at every step costs each log singular value: the first-order error, step by step.

`_amplification` looks at a few probed steps; here all of them are kept and looked at, in compiled
code. With the notation there, an error E of J_t Q_{t-1} changes log sigma_i by b_i^T E x_i, and LU
commits independent errors of entries of |L||U| eps:

    s_i(t)^2 = sum_jkl (b_ij L_jk U_kl x_li)^2,      cost_i = (sum_t s_i(t)^2)^(1/2).

Forward every step is factored and kept; backward the product from t to the end grows by one
triangle a step, and its rows, compared with those of the whole product, say what x and b are. The
triangle of the product until t is rounded too, which costs |v_i^T W^-1|, in units of its rows.

??? cite "Reference"
    Stewart, G. W. (1997). On graded QR decompositions of products of matrices. ETNA 5, 29-49.
    Higham, N. J. (2002). Accuracy and Stability of Numerical Algorithms, 2nd ed., SIAM, theorem 9.3
    (the errors of LU).
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.lax.linalg import triangular_solve
from jaxtyping import Bool, Float, Int

from .._types import Array
from ._bits import ZERO, pow2
from ._chain_gradient import Step, advance, product_before
from ._compile import filter_jit
from ._factorization import frame_of
from ._finish import log_singular_values_of_rows, orthogonal_frame
from ._graded import ExactFactors, GradedProduct, exact_factors, identity, normalized_rows
from ._history import compose
from ._source import Source

# Shifts beyond these are not told apart: no subnormal numbers, no overflow of squares.
_LEAST, _MOST = -200, 300


class RoundingCost(NamedTuple):
    """Log singular values of J_T ... J_1, descending, and what rounding cost each, in eps.

    - `cost`: (sum_t s_i(t)^2)^(1/2). `triangle`: the same for the triangles.
    - `growth`: the root of the sum of squares of the growth of all factorizations; inf where a
      pivot was lost to cancellation. `resolved`: the values fit the exponent range.
    """

    logs: Float[Array, "*batch state"]
    cost: Float[Array, "*batch state"]
    triangle: Float[Array, "*batch state"]
    growth: Float[Array, "*batch"]
    resolved: Bool[Array, "*batch"]


@filter_jit
def rounding_cost(source: Source, *, steps: int, dtype: np.dtype, batched: bool) -> RoundingCost:
    """Return the spectrum of the steps of `source`, each factored on its own, and its cost.

    `steps`: at least their number, static. The sequences of a batch follow each other.

    **Cost:** two to four times the walk; 2 T n^2 numbers beyond the Jacobians.
    """
    if not batched:
        return _rounding_cost(source, steps, dtype)
    own, common = source.split()
    return jax.lax.map(lambda own: _rounding_cost(eqx.combine(own, common), steps, dtype), own)


def _rounding_cost(source: Source, num_steps: int, dtype) -> RoundingCost:
    n = jax.eval_shape(lambda: source.jacobian(0, dtype)).shape[-1]
    start, length = identity(n, dtype), source.length
    times = jnp.arange(num_steps, dtype=jnp.int32)

    def forward(product, t):
        after, step = advance(product, source.jacobian(t, dtype))
        return jax.tree.map(lambda a, b: jnp.where(t < length, a, b), after, product), step

    product, steps = jax.lax.scan(forward, start, times)
    rows, R = orthogonal_frame(product)
    logs, resolved = log_singular_values_of_rows(*rows)
    whole = _directions(*rows)

    def backward(carry, t):
        def one():
            earlier, squares = _step(whole, carry[0], start, steps, source, t)
            return earlier, carry[1] + squares, carry[2] + _of_triangle(whole, steps.before, t)

        return jax.lax.cond(t < length, one, lambda: carry), None

    none = jnp.zeros_like(logs)
    end = (jnp.zeros(n, jnp.int32), R), none, none
    _, cost, triangle = jax.lax.scan(backward, end, times, reverse=True)[0]
    live = whole.live[whole.order]
    cost, triangle = (jnp.where(live, jnp.sqrt(x), 0) for x in (cost, triangle))
    return RoundingCost(logs, cost, triangle, jnp.sqrt(jnp.max(product.growth)), resolved)


class _Directions(NamedTuple):
    """Right singular directions of diag(2^exponent) W, up to the gaps between the rows' sizes.

    `order`: rows by size; columns of `vectors` are the directions; `coupling` is W times them.
    """

    exponent: Int[Array, "state"]
    live: Bool[Array, "state"]
    order: Int[Array, "state"]
    vectors: Float[Array, "state state"]
    coupling: Float[Array, "state state"]


def _directions(exponent, W) -> _Directions:
    order = jnp.argsort(-exponent, stable=True)
    vectors = jnp.linalg.qr(W[order].T)[0]
    coupling = W @ vectors
    coupling = coupling.at[order].set(jnp.tril(coupling[order]))
    return _Directions(exponent, exponent != ZERO, order, vectors, coupling)


def _step(whole: _Directions, later, start: GradedProduct, steps: Step, source: Source, t):
    """Return the product from before step t to the end, and s_i(t)^2."""
    before = jnp.maximum(t - 1, 0)
    step = jax.tree.map(lambda x: x[t], steps)
    # Rows of Q^-1 = L^-1 P^T.
    L = jnp.triu(step.lower, 1).T + jnp.eye(len(whole.order), dtype=step.lower.dtype)
    _, y = _at(whole, *later)
    b = triangular_solve(L, y, left_side=False, lower=True, unit_diagonal=True)[:, step.place]
    Q = frame_of(step.lower, step.place).T

    def plainly():
        exponent, W = normalized_rows(jnp.zeros_like(whole.exponent), jnp.tril(step.lower).T)
        earlier = compose(later[0], later[1], exponent, W)
        x, _ = _at(whole, *earlier)
        return earlier, _squares(b, Q, W, x, _shift(whole, exponent, earlier, later))

    def exactly():
        frame = jnp.where(t == 0, start.frame, frame_of(steps.lower[before], steps.place[before]))
        f = exact_factors(product_before(step.before, frame), source.jacobian(t, frame.dtype))
        return _exact_step(whole, later, frame, f, b, Q)

    return jax.lax.cond(step.exact, exactly, plainly)


def _exact_step(whole: _Directions, later, frame, f: ExactFactors, b, Q):
    """Return the same for J = 2^size outer diag(scale) inner, which is two steps.

    Between them is `middle`: diag(scale) inner Q_{t-1} = middle R_inner, and outer middle = Q_t
    R_outer. The products lose what their factorizations do, and so does the split of J.
    """
    none = jnp.zeros_like(whole.exponent)
    e_outer, outer = normalized_rows(none, f.R_outer)
    e_outer = jnp.where(e_outer == ZERO, ZERO, e_outer + f.size)
    middle = compose(later[0], later[1], e_outer, outer)
    x, y = _at(whole, *middle)
    lost = _squares(b, Q, outer, x, _shift(whole, e_outer, middle, later))
    lost += _squares(b, f.outer, f.middle, x, _shift(whole, none + f.size, middle, later))
    b_middle = jnp.linalg.solve(f.middle.T, y.T).T
    e_inner, inner = normalized_rows(none, f.R_inner)
    earlier = compose(middle[0], middle[1], e_inner, inner)
    x, _ = _at(whole, *earlier)
    lost += _squares(b_middle, f.middle, inner, x, _shift(whole, e_inner, earlier, middle))
    scaled, shift = f.scale[:, None] * f.inner, _shift(whole, none, earlier, middle)
    lost += _squares(b_middle, scaled, frame.T, x, shift)
    shift = _shift(whole, none + f.size, earlier, later)
    return earlier, lost + _squares(b, f.outer, scaled, frame.T @ x, shift)


def _shift(whole: _Directions, exponent, earlier, later):
    """Return what takes x from units of `earlier`, times 2^exponent, to those of `later`."""
    both = (later[0] != ZERO) & (earlier[0] != ZERO)
    unit = jnp.where(both, later[0] - earlier[0], 0)[whole.order]
    return jnp.where(exponent == ZERO, 10 * _LEAST, exponent)[:, None] + unit[None, :]


def _at(whole: _Directions, exponent, W):
    """Return x (columns) and y (rows, y x = 1) where the rows diag(2^exponent) W begin.

    x is in units of 2^f at its row, f = the exponents of the whole less `exponent`.
    """
    live = whole.live & (exponent != ZERO)
    f = jnp.where(live, whole.exponent - exponent, 0)
    shift = jnp.clip(f[:, None] - f[whole.order][None, :], _LEAST, _MOST)
    eye = jnp.eye(len(f), dtype=W.dtype)
    both = live[:, None] & live[whole.order][None, :]
    B = jnp.where(both, whole.coupling * pow2(shift, W.dtype), eye[:, whole.order])
    W = jnp.where(live[:, None], W, eye)
    x = triangular_solve(W, B, left_side=True, lower=False)
    return x, triangular_solve(B[whole.order], W[whole.order], left_side=True, lower=True)


def _squares(b, left, right, x, shift):
    """Return, for each i, the sum of (b_ij left_jk right_kl x_li 2^shift_ki)^2.

    Sizes are put aside: squares would leave the range of floats.
    """
    size_b = jnp.max(jnp.abs(b), axis=1, keepdims=True)
    size_x = jnp.max(jnp.abs(x), axis=0, keepdims=True)
    size = jnp.max(shift, axis=0)
    scale = pow2(jnp.maximum(2 * (shift - size[None, :]), -1000), x.dtype)
    met = (jnp.square(right) @ jnp.square(x / size_x)) * scale
    total = jnp.sum((jnp.square(b / size_b) @ jnp.square(left)).T * met, axis=0)
    return total * jnp.square(
        size_b[:, 0] * size_x[0] * pow2(jnp.clip(size, _LEAST, _MOST), x.dtype)
    )


def _of_triangle(whole: _Directions, before, t):
    """Return |v_i^T W^-1|^2, in units of the rows of W, of the product before step t."""
    rows = jax.tree.map(lambda x: x[t], before)
    eye = jnp.eye(len(whole.order), dtype=rows.triangle.dtype)
    W = jnp.where(rows.dead[:, None], eye, rows.triangle.T)
    solved = triangular_solve(W, whole.vectors, left_side=True, lower=False, transpose_a=True)
    size = jnp.where(rows.dead, 0, rows.size - rows.exponent)
    return jnp.sum(jnp.square(solved * pow2(size, W.dtype)[:, None]), axis=0)
