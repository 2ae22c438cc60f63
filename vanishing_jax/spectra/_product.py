"""The spectrum of a product of Jacobians as a function of arrays: for jit, vmap, grad and loops."""

import functools as ft
import math

import jax
import jax.numpy as jnp
from jaxtyping import Float

from .._types import Array
from ._chain_gradient import Directions, advance, begin, pull_back
from ._finish import log_growth_of, log_singular_values_of
from ._graded import identity
from ._graded_factors import product_svd

# What the stored factors of all steps may take before the backward pass computes them again.
_STORED_BYTES = 2**30


@ft.partial(jax.jit, static_argnames="checkpoint_every")
def product_log_singular_values(
    jacobians: Float[Array, "time state state"], *, checkpoint_every: int | None = None
) -> Float[Array, "state"]:
    """Return the log singular values of J_T ... J_1, in the arithmetic of the Jacobians' own dtype.

    The array-level function under `log_singular_values`: for use inside `jit`, `vmap` and `grad`.
    It does not change precision (float32 Jacobians are processed in float32) and checks nothing.
    NaN where the spectrum has more scales than the exponent range has bits: possible from n = 101
    on in float32, from n = 901 on in float64.

    Reverse mode is a rule of its own (`spectra._chain_gradient`), which differentiates no
    factorization: d log sigma_i / dJ_t = b a^T / (b^T J_t a) with a = J_{t-1} ... J_1 v_i and
    b = (J_T ... J_{t+1})^T u_i. A cluster of equal singular values has a gradient where its
    cotangents are equal (the all-ones cotangent gives J_t^-T); with different ones single values
    have none, and what comes out depends on rounding: look at the gaps, or use
    `spectral_gradient`, which does. A singular value that is exactly zero has no gradient: its
    cotangent must be zero (`logs[:k].sum()`, `jnp.where` on the logs), else all is NaN.

    **Arguments:**

    - `jacobians`: J_1, ..., J_T, shape (time, state, state). With T = 0 the product is the
      identity.
    - `checkpoint_every`: for the gradient, store the product at every so many steps and compute
      the factors in between again; `sqrt(T)` needs least memory. None stores the factors of every
      step while they take less than 1 GiB, else it takes `sqrt(T)`.

    **Returns:** natural logs, descending, -inf for a singular value that is exactly zero.

    **Cost:** O(T n^3) time, O(n^2) memory beyond the Jacobians. Value and gradient together take
    three to four times as long as the value (`benchmarks/bench_spectrum.py`) and 2 T n^2 numbers
    beyond the gradient itself; with checkpoints one forward pass more, and 2 sqrt(T) n^2 numbers
    twice.

    **Validity:** of the gradient: within 1e-6 of central differences of exact products in high
    precision (tanh, LSTM, Gaussian and graded chains that span up to hundreds of nats, in float64),
    in `tests/spectra/test_gradients.py`.

    **Validity:** in float32 within 1e-2 nats at T = 1000 for tanh networks of gain up to 1.5, GRU,
    orthogonal and ReLU chains (`test_float32_arithmetic_over_a_thousand_steps`, n = 8;
    `benchmarks/bench_accuracy.py`, n = 16); not for grading over many decades on both sides or
    repeated defective matrices, where `log_singular_values` is the one to use.

    **Example:**

    >>> import jax, jax.numpy as jnp
    >>> from vanishing_jax import spectra
    >>> J = jnp.tile(jnp.diag(jnp.array([0.5, 1e-3])), (1000, 1, 1))
    >>> print(spectra.product_log_singular_values(J).round())
    [ -693. -6908.]
    >>> smallest = lambda J: spectra.product_log_singular_values(J)[-1]
    >>> print(jax.grad(smallest)(J)[500].round(2))
    [[   0.    0.]
     [   0. 1000.]]
    """
    return _log_singular_values(jacobians, checkpoint_every)


@ft.partial(jax.jit, static_argnames="checkpoint_every")
def product_log_growth(
    jacobians: Float[Array, "time state state"], *, checkpoint_every: int | None = None
) -> Float[Array, "state"]:
    """Return log |R_ii| of the QR factorization of J_T ... J_1 Q_0, in the order of the columns.

    The array-level function under `lyapunov_exponents`, which are these over T, sorted: for use
    inside `jit`, `vmap` and `grad`. Q_0 is a random orthogonal matrix, the same at every call. The
    columns of a long chain sort themselves by growth; a short one need not be descending. These are
    not the logs of singular values: see `product_log_singular_values`. With its gradient this is
    the quantity of gradient flossing, `jnp.sum(jnp.square(growth[:k] / T))`.

    **Arguments:**

    - `jacobians`: J_1, ..., J_T, shape (time, state, state).
    - `checkpoint_every`: see `product_log_singular_values`.

    **Returns:** natural logs, -inf where the chain is rank deficient. The cotangent of such an
    entry must be zero, else the whole gradient is NaN.

    **Cost:** O(T n^3) time, one LU factorization per step; value and gradient together take about
    three times as long and T n^2 numbers beyond the gradient itself.

    **Example:**

    >>> import jax, jax.numpy as jnp
    >>> from vanishing_jax import spectra
    >>> J = jnp.tile(jnp.diag(jnp.array([0.5, 2.0])), (400, 1, 1))
    >>> print((spectra.product_log_growth(J) / 400).round(2))
    [ 0.69 -0.69]
    >>> top = lambda J: spectra.product_log_growth(J)[0]
    >>> print(jax.grad(top)(J)[200].round(2))
    [[0.  0. ]
     [0.  0.5]]

    ??? cite "Reference"
        Engelken, R. (2023). Gradient flossing: improving gradient descent through dynamic control
        of Jacobians. NeurIPS 36; arXiv:2312.17306.
    """
    return _log_growth(jacobians, checkpoint_every)


# --- the two rules --------------------------------------------------------------------------------


@ft.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _log_singular_values(jacobians, every):
    logs, resolved = log_singular_values_of(_product(jacobians, diagonal_only=False))
    return jnp.where(resolved, logs, jnp.nan)


def _singular_values_forward(jacobians, every):
    product, saved = _saving_product(jacobians, every, diagonal_only=False)
    svd = product_svd(product)
    logs = jnp.where(svd.resolved, svd.logs, jnp.nan)
    return logs, (jacobians, saved, product, svd)


def _singular_values_backward(every, residuals, cotangent):
    jacobians, saved, product, svd = residuals
    g, alive = _without_zeros(cotangent, svd.logs)
    directions = Directions(
        (svd.right * g[None, :]) @ svd.right.T, (svd.right * alive[None, :]) @ svd.right.T
    )
    lower = _in_frame(svd.orthogonalizer, (svd.left * g[None, :]) @ svd.left.T)
    end = begin(product, lower, directions)
    return (_pull_back_all(jacobians, saved, end, directions, every),)


_log_singular_values.defvjp(_singular_values_forward, _singular_values_backward)


@ft.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _log_growth(jacobians, every):
    return log_growth_of(_product(jacobians, diagonal_only=True))


def _growth_forward(jacobians, every):
    product, saved = _saving_product(jacobians, every, diagonal_only=True)
    logs = log_growth_of(product)
    return logs, (jacobians, saved, product, logs)


def _growth_backward(every, residuals, cotangent):
    jacobians, saved, product, logs = residuals
    g, _ = _without_zeros(cotangent, logs)
    R = jnp.linalg.qr(product.frame.T, mode="r")
    end = begin(product, _in_frame(R, jnp.diag(g)), None)
    return (_pull_back_all(jacobians, saved, end, None, every),)


_log_growth.defvjp(_growth_forward, _growth_backward)


def _without_zeros(cotangent, logs):
    """Return the cotangent, NaN where it asks for the gradient of a zero; and 1 where alive."""
    alive = logs > -jnp.inf
    g = jnp.where(alive, cotangent, jnp.where(cotangent == 0, 0, jnp.nan))
    return g, alive.astype(logs.dtype)


def _in_frame(R, K):
    """Return R^T K R^-T: from the orthogonal frame to that of the product."""
    return R.T @ jax.lax.linalg.triangular_solve(
        R, K, left_side=False, lower=False, transpose_a=True
    )


# --- forward with what is saved, and backward -----------------------------------------------------


def _product(jacobians, *, diagonal_only):
    start = identity(jacobians.shape[-1], jacobians.dtype, diagonal_only=diagonal_only)
    return jax.lax.scan(lambda p, J: (advance(p, J)[0], None), start, jacobians)[0]


def _interval(jacobians, every) -> int | None:
    """Return the steps between checkpoints; None to store every step."""
    steps, n, _ = jacobians.shape
    if every is None:
        small = 2 * steps * n * n * jacobians.dtype.itemsize <= _STORED_BYTES
        return None if small else math.isqrt(steps)
    if every < 1:
        raise ValueError(f"expected checkpoint_every >= 1, or None; got {every}.")
    return None if every >= steps else every


def _pieces(jacobians, every):
    """Return the chain as (whole pieces of `every` steps, what is left over)."""
    count = len(jacobians) // every
    whole = jacobians[: count * every].reshape(count, every, *jacobians.shape[1:])
    return whole, jacobians[count * every :]


def _saving_product(jacobians, every, *, diagonal_only):
    """Return the product, and either all steps or the product at the start of every piece."""
    start = identity(jacobians.shape[-1], jacobians.dtype, diagonal_only=diagonal_only)
    every = _interval(jacobians, every)
    if every is None:
        return jax.lax.scan(advance, start, jacobians)
    whole, rest = _pieces(jacobians, every)

    def piece(product, jacobians):
        after = jax.lax.scan(lambda p, J: (advance(p, J)[0], None), product, jacobians)[0]
        return after, product

    middle, starts = jax.lax.scan(piece, start, whole)
    return piece(middle, rest)[0], (starts, middle)


def _pull_back_all(jacobians, saved, end, directions, every):
    every = _interval(jacobians, every)
    if every is None:
        start = identity(len(end.K), end.K.dtype)
        return pull_back(start, saved, jacobians, end, directions)[1]
    starts, middle = saved
    whole, rest = _pieces(jacobians, every)

    def again(end, piece):
        start, jacobians = piece
        steps = jax.lax.scan(advance, start, jacobians)[1]
        return pull_back(start, steps, jacobians, end, directions)

    end, last = again(end, (middle, rest))
    _, first = jax.lax.scan(again, end, (starts, whole), reverse=True)
    return jnp.concatenate([first.reshape(-1, *last.shape[1:]), last])
