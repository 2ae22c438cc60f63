import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from vanishing_jax import _stable

pytestmark = pytest.mark.as_users

PAIRS = [(_stable.tanh, jnp.tanh), (_stable.sigmoid, jax.nn.sigmoid)]
REFERENCE = {_stable.tanh: mpmath.tanh, _stable.sigmoid: lambda x: 1 / (1 + mpmath.exp(-x))}
X64 = jnp.result_type(float) == jnp.float64
DTYPES = [jnp.float16, jnp.bfloat16, jnp.float32] + [jnp.float64] * X64


def _reference_slope(stable, x):
    scale = mpmath.mpf(1 if stable is _stable.tanh else 0.5)
    slope = mpmath.sech(scale * mpmath.mpf(x)) ** 2
    return slope if stable is _stable.tanh else slope / 4


@pytest.mark.parametrize("stable, plain", PAIRS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_values_equal_bit_for_bit(stable, plain, dtype):
    x = jnp.concatenate([jnp.linspace(-30, 30, 301), jnp.asarray([jnp.inf, -jnp.inf, jnp.nan])])
    x = x.astype(dtype)
    for transform in (lambda f: f, jax.jit, jax.vmap):
        value, expected = transform(stable)(x), transform(plain)(x)
        assert value.dtype == dtype
        exact = jnp.float64 if dtype == jnp.float64 else jnp.float32  # NumPy's isnan lacks bfloat16
        np.testing.assert_array_equal(value.astype(exact), expected.astype(exact))


@pytest.mark.parametrize("stable, plain", PAIRS)
def test_slope_matches_high_precision(stable, plain):
    dtype = jnp.result_type(float)
    eps = float(jnp.finfo(dtype).eps)
    for x in [-40.0, -9.5, -3.0, -0.5, 0.0, 1e-3, 0.7, 2.0, 8.0, 20.0, 40.0]:
        slope = jax.grad(stable)(jnp.asarray(x, dtype))
        expected = _reference_slope(stable, x)
        assert slope.dtype == dtype
        assert abs(mpmath.mpf(float(slope)) / expected - 1) < 4 * eps, x


@pytest.mark.parametrize("dtype, x", list(zip(DTYPES, [6.0, 9.5, 9.5, 20.0], strict=False)))
@pytest.mark.parametrize("stable, plain", PAIRS)
def test_slope_survives_saturation(stable, plain, dtype, x):
    slopes = jax.vmap(jax.grad(stable))(jnp.asarray([x, -x, 2 * x], dtype))
    assert slopes.dtype == dtype
    assert slopes[0] == slopes[1]
    assert np.all(np.asarray(slopes[:2]) > 0)
    expected = float(_reference_slope(stable, x))
    tolerance = 8 * float(jnp.finfo(dtype).eps) + float(jnp.finfo(dtype).smallest_subnormal)
    assert abs(float(slopes[0]) - expected) <= tolerance * expected * 4 + tolerance * 1e-3


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("x", [-1.5, 0.0, 0.3, 6.0])
@pytest.mark.parametrize("stable, plain", PAIRS)
def test_higher_derivatives(stable, plain, x, order):
    derivative = stable
    for _ in range(order):
        derivative = jax.grad(derivative)
    with mpmath.workdps(40):
        expected = float(mpmath.diff(REFERENCE[stable], x, order))
    eps = float(jnp.finfo(jnp.result_type(float)).eps)
    np.testing.assert_allclose(derivative(jnp.asarray(x)), expected, rtol=100 * eps, atol=eps)


@pytest.mark.parametrize("stable, plain", PAIRS)
def test_transforms_agree(stable, plain):
    x = jnp.linspace(-3.0, 3.0, 5)
    forward = jax.jit(jax.jacfwd(stable))(x)
    np.testing.assert_allclose(forward, jax.jacrev(stable)(x), rtol=1e-6)
    np.testing.assert_allclose(jnp.diag(forward), jax.vmap(jax.grad(plain))(x), rtol=1e-5)


@pytest.mark.parametrize("stable, plain", PAIRS)
def test_other_dtypes_take_the_plain_path(stable, plain):
    z = jnp.asarray([0.3 + 0.2j, -1.0 + 2.0j])
    np.testing.assert_array_equal(stable(z), plain(z))
    n = jnp.asarray([-1, 0, 2])
    np.testing.assert_array_equal(_stable.tanh(n), jnp.tanh(n))
    with pytest.raises(TypeError, match="does not accept dtype int"):
        _stable.sigmoid(n)
    assert stable(0.5) == plain(0.5)
