"""Log singular values and QR growth of a product as functions of arrays, with their gradients.

Let P = J_T ... J_1 and f(P) be a sum of g_i log sigma_i. With left and right singular vectors u_i,
v_i the gradient with respect to one Jacobian is

    df/dJ_t = sum_i g_i b_i(t) a_i(t-1)^T,  a_i(t) = P_{t,0} v_i,  b_i(t) = P_{T,t}^T u_i / sigma_i,

where b_i(t)^T a_j(t) = 1 for i = j and 0 otherwise. Neither family can be computed by stepping: the
direction that grows fastest swamps the others. Together they are K_t = sum_i g_i b_i(t) a_i(t)^T, a
matrix whose eigenvalues are the g_i at every t. In the bases of the product (`spectra._scan`; all
on the balanced chain), J_t Q_{t-1} = Q_t R_t and P_{t,0} Q_0 = Q_t M_t with M_t = R_t ... R_1 =
diag(2^e) W, it obeys

    G_t = K_t R_t^-T,   K_{t-1} = R_t^T G_t,   df/dJ_t = Q_t^-T G_t Q_{t-1}^T,

with two boundary values: K_T = R_0^T U diag(g) U^T R_0^-T, U the left singular vectors of R_0 M_T
and Q_T = O R_0 with O orthogonal; and K_0 = S = Y diag(g) Y^T, Y the right ones in the columns of
Q_0. Going backward, entry (i, j) is multiplied by about R_ii / R_jj. Directions are sorted by
growth, so

* the lower triangle shrinks: rounding in it decays, and what it tends to depends on no boundary;
* the upper triangle grows out of numbers like 2^(e_j - e_i), which is harmless while they are
  there: relative to that scale its rounding does not grow. Over a long chain they underflow. So it
  is set anew, from K_t = M_t^-T S M_t^T, whose entries i < j are 2^(e_j - e_i) times those of the
  well conditioned W^-T S W^T, before what has underflowed can be seen.

No difference of singular values appears in a denominator other than in the vectors themselves:
equal cotangents of a cluster give its invariant subspace.

The QR growth sum_i g_i log |R_ii| of P Q_0 has the same gradient with K_T = R_0^T diag(g) R_0^-T: a
lower triangle at every t, with nothing above it.

Where M_t has rows that are exactly zero (dead), R_t has no inverse. The columns of G_t that K_t
does not determine are then K_t Z, Z = M_t^-T Pi M_{t-1}^T with the projector Pi = Y Y^T on the
directions that survive to the end.

??? cite "Reference"
    Engelken, R. (2023). Gradient flossing: improving gradient descent through dynamic control of
    Jacobians. NeurIPS 36; arXiv:2312.17306 (it differentiates the QR growth).
    Ginelli, F. et al. (2007). Characterizing dynamics with covariant Lyapunov vectors. Phys. Rev.
    Lett. 99, 130601 (a_i is forward-stable in its flag only, as here).
"""

import functools as ft
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.lax.linalg import triangular_solve
from jaxtyping import Float, Int

from .._types import Array
from ._powers import ZERO, pow2, times_pow2
from ._scan import Factors, balance, basis_of, empty_product, matmul, multiply, product_of, shifted
from ._scan_finish import Spectrum, growth_of, spectrum_of

# What the stored factors of all steps may take before the backward pass computes them again.
_STORED_BYTES = 2**30

# By how many powers of two entries of the upper triangle may grow since it was set: what was below
# the range then still is below rounding.
_LARGEST_GROWTH = {"float64": 900, "float32": 60}


@ft.partial(jax.jit, static_argnames="checkpoint_every")
def product_log_singular_values(
    jacobians: Float[Array, "time state state"], *, checkpoint_every: int | None = None
) -> Float[Array, "state"]:
    """Return the log singular values of J_T ... J_1, in the arithmetic of the Jacobians' own dtype.

    The array-level function under `log_singular_values`: for use inside `jit`, `vmap` and `grad`.
    It does not change precision (float32 Jacobians are processed in float32) and checks nothing.
    NaN where the spectrum has more scales than the exponent range has bits (possible from n = 101
    on in float32, from n = 901 on in float64), and where balanced rows of one Jacobian differ by
    more than the range, 2^124 in float32, 2^1020 in float64. Subnormal entries count as zero.

    Reverse mode is a rule of its own (`spectra._scan_gradient`), which differentiates no
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

    **Cost:** O(T n^3) time: one LU factorization and two matrix products per step; T n^2 numbers
    for the balanced Jacobians. Value and gradient together take two and a half to four times as
    long as the value and 2 T n^2 numbers beyond the gradient itself; with checkpoints one forward
    pass more, and 2 sqrt(T) n^2 numbers twice. CPUs, GPUs; TPUs in float32 (they have no 64-bit bit
    patterns).

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
    return _logs(jacobians, checkpoint_every, False)


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

    **Cost:** O(T n^3) time, one LU factorization per step, T n^2 numbers for the balanced
    Jacobians; value and gradient together take two to three times as long and T n^2 numbers beyond
    the gradient itself.

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
    return _logs(jacobians, checkpoint_every, True)


# --- the rule -------------------------------------------------------------------------------------


class _Directions(NamedTuple):
    """S = Y diag(g) Y^T and Pi = Y Y^T over the surviving directions, in the columns of Q_0."""

    weighted: Float[Array, "state state"]
    surviving: Float[Array, "state state"]


@ft.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _logs(jacobians, every, qr: bool):
    """Return log singular values, or the growth of QR."""
    product, fits = product_of(jacobians, diagonal_only=qr)
    return _finished(product, fits, qr, vectors=False).logs


def _finished(product, fits, qr: bool, *, vectors: bool) -> Spectrum:
    found = growth_of(product) if qr else spectrum_of(product, vectors=vectors)
    resolved = found.resolved & fits
    return found._replace(logs=jnp.where(resolved, found.logs, jnp.nan), resolved=resolved)


def _forward(jacobians, every, qr):
    chain = balance(jacobians)
    product, saved = _saving_product(chain, every, diagonal_only=qr)
    spectrum = _finished(product, chain.resolved, qr, vectors=True)
    return spectrum.logs, (chain, saved, spectrum)


def _backward(every, qr, residuals, cotangent):
    chain, saved, spectrum = residuals
    U, Y = spectrum.left, spectrum.right
    g, alive = _without_zeros(cotangent, spectrum.logs)
    g = jnp.where(spectrum.resolved, g, jnp.nan)
    directions = None
    if not qr:
        directions = _Directions(matmul(Y * g[None, :], Y.T), matmul(Y * alive[None, :], Y.T))
    lower = _in_basis(spectrum.orthogonalizer, matmul(U * g[None, :], U.T))
    return (_pull_back_all(chain, saved, jnp.tril(lower), directions, every),)


_logs.defvjp(_forward, _backward)


def _without_zeros(cotangent, logs):
    """Return the cotangent, NaN where it asks for the gradient of a zero; and 1 where alive."""
    alive = logs > -jnp.inf
    g = jnp.where(alive, cotangent, jnp.where(cotangent == 0, 0, jnp.nan))
    return g, alive.astype(logs.dtype)


def _in_basis(R, K):
    """Return R^T K R^-T: from the orthogonal basis to that of the product."""
    return matmul(R.T, triangular_solve(R, K, left_side=False, lower=False, transpose_a=True))


# --- forward with what is saved, and backward -----------------------------------------------------


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


def _saving_product(chain, every, *, diagonal_only):
    """Return the product, and either all steps or the product at the start of every piece."""
    n = chain.jacobians.shape[-1]
    start = empty_product(n, chain.jacobians.dtype, diagonal_only=diagonal_only)
    every = _interval(chain.jacobians, every)
    if every is None:
        product, saved = jax.lax.scan(_saving, start, chain.jacobians)
    else:
        whole, rest = _pieces(chain.jacobians, every)

        def piece(product, jacobians):
            after = jax.lax.scan(lambda p, J: (multiply(p, J)[0], None), product, jacobians)[0]
            return after, product

        middle, starts = jax.lax.scan(piece, start, whole)
        product, saved = piece(middle, rest)[0], (starts, middle)
    return shifted(product, chain.shift), saved


class _Step(NamedTuple):
    """One step as the backward pass needs it: its factors, and (e, W) after it."""

    factors: Factors
    exponent: Int[Array, "*time state"]
    W: Float[Array, "*shape"]


def _saving(product, J):
    after, factors = multiply(product, J)
    return after, _Step(factors, after.exponent, after.W)


def _pull_back_all(chain, saved, K, directions, every):
    """Return the gradient of the Jacobians as they were before balancing."""
    every = _interval(chain.jacobians, every)
    if every is None:
        start = empty_product(len(K), K.dtype, diagonal_only=directions is None)
        gradient = _pull_back(start, saved, K, directions)[1]
    else:
        starts, middle = saved
        whole, rest = _pieces(chain.jacobians, every)

        def again(K, piece):
            start, jacobians = piece
            steps = jax.lax.scan(_saving, start, jacobians)[1]
            return _pull_back(start, steps, K, directions)

        K, last = again(K, (middle, rest))
        _, first = jax.lax.scan(again, K, (starts, whole), reverse=True)
        gradient = jnp.concatenate([first.reshape(-1, *last.shape[1:]), last])
    # What came first is the scaling D_1 of Q_0.
    return times_pow2(gradient, chain.rows[:, :, None] - chain.columns[:, None, :])[1:]


def _pull_back(start, steps, K, directions):
    """Return K before some steps, and the gradients of their balanced Jacobians."""
    if len(steps.exponent) == 0:
        return K, steps.factors.packed
    Q = jax.vmap(basis_of)(jax.tree.map(lambda x: x[:-1], steps.factors))
    basis = jnp.concatenate([start.basis[None], Q])
    exponents = jnp.concatenate([start.exponent[None], steps.exponent])

    def W_at(t):  # looked up where it is needed, which is seldom
        return jnp.where(t < 0, start.W, steps.W[jnp.maximum(t, 0)])

    def pull(carry, step):
        return _pull(carry, *step, W_at, directions)  # pyright: ignore[reportCallIssue]

    never = jnp.full(K.shape[:1], ZERO, jnp.int32)
    times = jnp.arange(len(Q) + 1)
    xs = times, steps.factors, exponents[1:], exponents[:-1], basis
    (K, _), gradients = jax.lax.scan(pull, (K, never), xs, reverse=True)
    return K, gradients


def _pull(carry, t, factors, exponent, before, basis, W_at, directions):
    """Take K, and the exponents of rows where its upper triangle was set last, one step back.

    Each solve needs the one before. Two that do not could block each other for good: jaxlib shares
    a batch of LAPACK calls out to the threads of a program and waits for it in one of them (seen
    with jaxlib 0.10.2 on two cores).
    """
    K, renewed = carry
    R, dead = jnp.triu(factors.packed), exponent == ZERO
    known, unknown = K, jnp.zeros_like(K)
    if directions is not None:
        renew = jnp.any(dead) | _underflow_shows(renewed, before, K.dtype)
        known, unknown = jax.lax.cond(
            renew,
            lambda: _renewed(K, R, (exponent, W_at(t)), (before, W_at(t - 1)), directions),
            lambda: (known, unknown),
        )
        renewed = jnp.where(renew, exponent, renewed)
    known = jnp.where(dead[None, :], 0, known)
    R_alive = jnp.where(dead[:, None] | dead[None, :], jnp.eye(len(R), dtype=R.dtype), R)
    G = triangular_solve(R_alive, known, left_side=False, lower=False, transpose_a=True)
    G = jnp.where(dead[None, :], unknown, G)
    K = matmul(R.T, G)
    # Q_t^-T = Pi L^-T.
    solved = triangular_solve(
        factors.packed, G, left_side=True, lower=True, transpose_a=True, unit_diagonal=True
    )
    solved = jnp.zeros_like(G).at[factors.order].set(solved, unique_indices=True)
    return (jnp.tril(K) if directions is None else K, renewed), matmul(solved, basis.T)


def _underflow_shows(renewed, ahead, dtype):
    """Return whether the upper triangle will have grown too much where rows have `ahead`."""
    shrunk = jnp.where((ahead == ZERO) | (renewed == ZERO), 0, renewed - ahead)
    growth = jnp.max(jax.lax.cummax(shrunk) - shrunk)
    return jnp.any(renewed == ZERO) | (growth > _LARGEST_GROWTH[dtype.name])


def _renewed(K, R, rows, before, directions):
    """Return K with its upper triangle set anew, less what G_t in the dead columns explains; that.

    With M = diag(2^e) W they are M_t^-T S M_t^T and K_t M_t^-T Pi M_{t-1}^T, both accurate above
    the diagonal only.
    """
    after, dead = rows[0], rows[0] == ZERO
    W = jnp.where(dead[:, None], jnp.eye(len(K), dtype=K.dtype), rows[1])
    # W^-T S as a solve from the right, which is the fast one.
    both = jnp.concatenate([directions.weighted, directions.surviving])
    S, Pi = jnp.split(triangular_solve(W, both, left_side=False, lower=False), 2)

    def times(X, exponent, W):
        alive = ~dead[:, None] & (exponent != ZERO)[None, :]
        shift = jnp.where(alive, exponent[None, :] - after[:, None], 0)
        return jnp.where(alive, matmul(X.T, W.T) * pow2(shift, X.dtype), 0)

    K = jnp.tril(K) + jnp.triu(times(S, *rows), 1)
    Z = times(Pi, *before)
    unknown = matmul(K, jnp.where(dead[None, :], Z, 0))
    return K - matmul(unknown, R.T), unknown
