"""Reference values and families of Jacobian chains, shared by the tests."""

import contextlib
import functools
from typing import Any

import jax
import jaxtyping
import mpmath
import numpy as np
import scipy.optimize
from mpmath.libmp import MPZ, dps_to_prec


@contextlib.contextmanager
def as_a_user():
    """Switch the run-time type checks of the test suite off, so that our own errors are reached."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def root(function, low, high) -> float:
    """Return where `function` changes its sign, to rounding."""
    result: Any = scipy.optimize.brentq(function, low, high, xtol=1e-15, rtol=np.float64(1e-14))
    return float(result)


def exact_log_singular_values(jacobians, digits):
    """Return log singular values of J_T ... J_1 from a product and SVD in `digits` digits."""
    with mpmath.workdps(digits):
        product = _product(np.asarray(jacobians, np.float64), dps_to_prec(digits))
        sigma = sorted(mpmath.svd_r(product, compute_uv=False), reverse=True)
        # An exact zero comes out as noise near 10^-digits of the largest.
        floor = sigma[0] * mpmath.mpf(10) ** (-(digits * 3) // 4)
        return np.array([float(mpmath.log(s)) if s > floor else -np.inf for s in sigma])


def _product(jacobians, bits):
    """Return J_T ... J_1 to so many bits, relative to its largest entry.

    In fixed point, integers (those of gmpy2 where it is installed) times a power of two: a fraction
    of the time of `mpmath.matrix`.
    """
    shifted = np.vectorize(lambda x, k: MPZ(int(x)) << k, otypes=[object])
    product, exponent = shifted(np.eye(jacobians.shape[-1]), 0), 0
    for J in jacobians:
        fraction, place = np.frexp(J)
        lowest = int(np.min(place, initial=1100, where=J != 0))
        J = shifted(np.ldexp(fraction, 53), np.where(J != 0, place - lowest, 0))  # exact
        product, exponent = J @ product, exponent + lowest - 53
        excess = int(np.max(np.abs(product))).bit_length() - bits - 10
        if excess > 0:
            product, exponent = product >> excess, exponent + excess
    return mpmath.matrix(product.tolist()) * mpmath.mpf(2) ** exponent


def tanh_chain(rng, n, steps, gain, *, activation_first=False):
    """Return D W (or W D) along a driven tanh network: saturated for a large gain."""
    W = gain * rng.standard_normal((n, n)) / np.sqrt(n)
    state, chain = 0.5 * rng.standard_normal(n), []
    for _ in range(steps):
        a = W @ state + 0.3 * rng.standard_normal(n)
        e = np.exp(-2 * np.abs(a))
        D = np.diag(4 * e / (1 + e) ** 2)
        chain.append(W @ D if activation_first else D @ W)
        state = np.tanh(a)
    return np.stack(chain)


def relu_chain(rng, n, steps, *, activation_first=False):
    """Return products of W with masks of 0 and 1: exact zeros, rank lost at every step."""
    W = 1.6 * rng.standard_normal((n, n)) / np.sqrt(n)
    masks = [np.diag((rng.standard_normal(n) > -0.6) * 1.0) for _ in range(steps)]
    return np.stack([W @ D if activation_first else D @ W for D in masks])


def graded_chain(rng, n, steps):
    """Return D1 G D2 with both diagonals spread over six decades: graded on both sides."""
    left, right = 10 ** rng.uniform(-6, 0, (2, steps, n))
    return left[:, :, None] * rng.standard_normal((steps, n, n)) * right[:, None, :]


def ginibre_chain(rng, n, steps):
    """Return independent Gaussian matrices of variance 1/n."""
    return rng.standard_normal((steps, n, n)) / np.sqrt(n)


def orthogonal_chain(rng, n, steps):
    """Return Haar-like orthogonal matrices."""
    return np.linalg.qr(rng.standard_normal((steps, n, n)))[0]


def triangular_chain(rng, n, steps):
    """Return non-normal upper triangular matrices whose slow directions come first."""
    upper = np.triu(0.3 * rng.standard_normal((steps, n, n)), 1)
    return upper + np.diag(np.linspace(0.5, 1.2, n))


def jordan_chain(rng, n, steps):
    """Return one defective Jordan block, repeated."""
    del rng
    return np.stack([0.9 * np.eye(n) + np.diag(np.ones(n - 1), 1)] * steps)


def rotated_jordan_chain(rng, n, steps):
    """Return one defective Jordan block in a random orthonormal basis, repeated."""
    Q = orthogonal_chain(rng, n, 1)[0]
    return Q @ jordan_chain(rng, n, steps) @ Q.T


def inverse_pair_chain(rng, n, steps):
    """Return A, A^-1, B, B^-1, ...: each pair nearly cancels."""
    A = ginibre_chain(rng, n, (steps + 1) // 2)
    return np.stack([A, np.linalg.inv(A)], axis=1).reshape(-1, n, n)[:steps]


# Products whose errors amplify each other over many steps.
ILL_CONDITIONED = {
    "jordan": jordan_chain,
    "jordan, rotated": rotated_jordan_chain,
    "inverse pairs": inverse_pair_chain,
    "triangular": triangular_chain,
}

FAMILIES = {
    "tanh, gain 0.5": lambda rng, n, T: tanh_chain(rng, n, T, 0.5),
    "tanh, gain 3": lambda rng, n, T: tanh_chain(rng, n, T, 3.0),
    "tanh, gain 12": lambda rng, n, T: tanh_chain(rng, n, T, 12.0),
    "tanh, gain 20": lambda rng, n, T: tanh_chain(rng, n, T, 20.0),
    "tanh first, gain 12": lambda rng, n, T: tanh_chain(rng, n, T, 12.0, activation_first=True),
    "relu": relu_chain,
    "relu first": lambda rng, n, T: relu_chain(rng, n, T, activation_first=True),
    "graded on both sides": graded_chain,
    "ginibre": ginibre_chain,
    "orthogonal": orthogonal_chain,
    "triangular": triangular_chain,
    "jordan": jordan_chain,
}


@functools.cache
def family_and_exact_logs(family):
    """Return 40 Jacobians of size 8 of a family, and the log singular values of their product."""
    jacobians = (FAMILIES | ILL_CONDITIONED)[family](np.random.default_rng(3), 8, 40)
    return jacobians, exact_log_singular_values(jacobians, 3500)


def assert_tree_allclose(actual, expected, *, rtol, atol):
    """Compare structure, shapes, dtypes and values."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=rtol, atol=atol)
