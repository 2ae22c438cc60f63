import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.as_users


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(st.integers(-1000, 1000), min_size=1, max_size=4),
    power=st.integers(-90, 90),
    exponent=st.integers(-900, 900),
)
def test_normalizing_is_exact(values, power, exponent):
    from vanishing_jax._mantissa_exponent import normalized

    array = np.ldexp(np.asarray(values, np.float32), power)
    scaled, shifted = normalized(jnp.asarray(array), jnp.asarray(exponent, jnp.int32))
    size = np.max(np.abs(np.asarray(scaled)))
    assert size == 0 if not array.any() else 0.5 <= size < 1
    back = np.ldexp(np.asarray(scaled, np.float64), int(shifted) - exponent)
    np.testing.assert_array_equal(back, array.astype(np.float64))


def test_log_of_zero_nan_and_beyond_the_range():
    from vanishing_jax._mantissa_exponent import log_scaled

    exponent = jnp.asarray(5000, jnp.int32)
    assert log_scaled(jnp.asarray(0.5), exponent) == pytest.approx(4999 * np.log(2), rel=1e-6)
    assert log_scaled(jnp.asarray(0.0), exponent) == -jnp.inf
    assert jnp.isnan(log_scaled(jnp.asarray(jnp.nan), exponent))
