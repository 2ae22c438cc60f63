import jax
import jax.numpy as jnp
import numpy as np
import pytest

from .. import helpers


@pytest.fixture
def graded():
    from vanishing_jax.spectra import _graded

    return _graded


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


@pytest.mark.parametrize("family", ["tanh, gain 3", "ginibre", "relu", "graded on both sides"])
def test_invariant(graded, family):
    jacobians = helpers.FAMILIES[family](np.random.default_rng(0), 5, 6)
    product = graded.identity(5, jnp.result_type(float))
    start = np.asarray(product.frame, np.float64)
    formed = np.eye(5)
    for J in jacobians:
        product = graded.push(product, jnp.asarray(J, product.frame.dtype))
        formed = J @ formed
    scale = np.exp2(np.maximum(np.asarray(product.exponent, np.float64), -1000))
    rebuilt = np.asarray(product.frame) @ (scale[:, None] * np.asarray(product.triangle)) @ start.T
    eps = float(jnp.finfo(product.frame.dtype).eps)
    np.testing.assert_allclose(rebuilt, formed, atol=500 * eps * np.abs(formed).max())
    alive = np.asarray(product.exponent) != graded.ZERO
    largest = np.max(np.abs(np.asarray(product.triangle)), axis=1)
    assert np.all((largest[alive] >= 1) & (largest[alive] < 2)) and np.all(largest[~alive] == 0)


def test_push_is_jittable_and_keeps_its_structure(graded):
    product = graded.identity(3, jnp.float32)
    pushed = jax.eval_shape(graded.push, product, jnp.ones((3, 3), jnp.float32))
    same = jax.tree.map(lambda a, b: a.shape == b.shape and a.dtype == b.dtype, product, pushed)
    assert all(jax.tree.leaves(same))
