import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from .. import helpers


@pytest.fixture
def graded():
    from vanishing_jax.spectra import _graded

    return _graded


@functools.cache
def multiply(exactly):
    """Return the compiled function that multiplies a graded product by one more Jacobian."""
    from vanishing_jax.spectra import _factorization, _graded

    def by_factors(product, J):
        factors = _factorization.factor(product.frame @ J.T)
        return _graded.multiply(product, factors, jnp.ones((), J.dtype))

    return jax.jit(_graded.multiply_exactly if exactly else by_factors)


def test_powers_of_two_are_exact(graded):
    for dtype in (jnp.float32, jnp.result_type(float)):
        info = jnp.finfo(dtype)
        k = jnp.arange(info.minexp, info.maxexp, dtype=jnp.int32)
        values = np.asarray(graded.pow2(k, dtype))
        np.testing.assert_array_equal(values, np.ldexp(np.ones((), dtype), np.asarray(k)))
        np.testing.assert_array_equal(graded.binary_exponent(jnp.asarray(values)), k)
        assert graded.pow2(jnp.int32(info.minexp - 1), dtype) == 0
        assert graded.binary_exponent(jnp.zeros((), dtype)) == graded.ZERO


def test_half_precision_is_refused(graded):
    with pytest.raises(TypeError, match="float32 or float64"):
        graded.pow2(jnp.int32(0), jnp.float16)


@pytest.mark.parametrize("exactly", [False, True])
@pytest.mark.parametrize("family", ["tanh, gain 3", "ginibre", "relu", "graded on both sides"])
def test_invariant(graded, family, exactly):
    jacobians = helpers.FAMILIES[family](np.random.default_rng(0), 5, 6)
    product = graded.identity(5, jnp.result_type(float))
    start = graded.start_frame(5)
    formed = np.eye(5)
    for J in jacobians:
        J = jnp.asarray(J, product.frame.dtype)
        product = multiply(exactly)(product, J)
        formed = np.asarray(J, np.float64) @ formed
    exponent, W = graded.scaled_rows(product)
    scale = np.exp2(np.maximum(np.asarray(exponent, np.float64), -1000))
    rebuilt = np.asarray(product.frame).T @ (scale[:, None] * np.asarray(W)) @ start.T
    eps = float(jnp.finfo(product.frame.dtype).eps)
    np.testing.assert_allclose(rebuilt, formed, atol=500 * eps * np.abs(formed).max())
    alive = np.asarray(exponent) != graded.ZERO
    largest = np.max(np.abs(np.asarray(W)), axis=1)
    assert np.all((largest[alive] >= 1) & (largest[alive] < 2)) and np.all(largest[~alive] == 0)


def test_wide_rows_are_absorbed_entry_by_entry(graded):
    dtype = jnp.result_type(float)
    lower = jnp.asarray([[2.0, 0.0, 0.0], [1.0, 3.0, 0.0], [0.0, 1.0, 5.0]], dtype)
    exponent = jnp.asarray([0, -2000, 900], jnp.int32)
    eye = jnp.eye(3, dtype=dtype)
    found = graded._absorb_lower(lower, exponent, eye)
    expected = graded.absorb(jnp.tril(lower).T, exponent, eye)
    # A scale for all rows k >= i would have lost the first row below the third.
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], np.asarray(expected[1]).T)
    assert found[0][0] == 1 and found[0][1] == 900


def test_diagonal_alone_follows_the_whole_triangle(graded):
    from vanishing_jax.spectra import _finish

    dtype = jnp.result_type(float)
    whole, alone = graded.identity(5, dtype), graded.identity(5, dtype, diagonal_only=True)
    for J in helpers.tanh_chain(np.random.default_rng(0), 5, 5, 2.0):
        J = jnp.asarray(J, dtype)
        whole, alone = multiply(False)(whole, J), multiply(False)(alone, J)
    atol = 1e-12 if dtype == jnp.float64 else 1e-4
    np.testing.assert_allclose(
        _finish.log_growth_of(alone), _finish.log_growth_of(whole), atol=atol
    )


@pytest.mark.parametrize("kind", ["factor", "cholesky"])
def test_factorizations(graded, kind):
    from vanishing_jax.spectra import _factorization

    dtype = jnp.result_type(float)
    A = np.random.default_rng(0).standard_normal((6, 6))
    factors = getattr(_factorization, kind)(jnp.asarray(A.T, dtype))
    Q, R = np.asarray(factors.frame).T, np.tril(np.asarray(factors.lower)).T
    np.testing.assert_allclose(Q @ R, A, atol=1e-13 if dtype == jnp.float64 else 1e-5)
    assert np.linalg.cond(Q) < 100 and np.all(np.asarray(factors.growth) < 1e3)
    singular = A.copy()
    singular[:, 3] = singular[:, 1]  # cancellation: no pivot is left
    lost = getattr(_factorization, kind)(jnp.asarray(singular.T, dtype))
    assert np.max(lost.growth) > 1e4


def test_a_row_of_zeros_is_an_exact_zero(graded):
    from vanishing_jax.spectra import _factorization

    A = np.random.default_rng(0).standard_normal((5, 5))
    A[2] = 0
    factors = _factorization.factor(jnp.asarray(A.T, jnp.result_type(float)))
    assert np.max(factors.growth) < 1e3 and np.sum(np.diagonal(factors.lower) == 0) == 1


def test_the_lapack_kernel_agrees_with_lax(graded):
    from vanishing_jax.spectra import _factorization

    assert _factorization._lapack_is_reachable()
    with jax.enable_x64(True):
        rows = jnp.asarray(np.random.default_rng(0).standard_normal((3, 7, 7)))
        for A in rows:
            for a, b in zip(
                _factorization._lapack_getrf(A), _factorization._lax_getrf(A), strict=True
            ):
                np.testing.assert_allclose(a, b, atol=1e-14)
        batch = jax.vmap(_factorization._lapack_getrf)(rows)
        np.testing.assert_allclose(batch[0][1], _factorization._lax_getrf(rows[1])[0], atol=1e-14)
