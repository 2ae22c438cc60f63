import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vanishing_jax.theory import adam_update_size, memory_horizon


def test_adam_of_optax_moves_by_the_predicted_size():
    sizes = np.array([1.0, 1e-6, 1e-8, 1e-10, 1e-12])
    gradient, adam = jnp.asarray(sizes), optax.scale_by_adam()
    state = adam.init(gradient)
    for _ in range(3):  # the same at every step of a constant gradient
        with jax.numpy_dtype_promotion("standard"):
            update, state = adam.update(gradient, state)
        found = [adam_update_size(math.log(g)) for g in sizes]
        np.testing.assert_allclose(found, np.asarray(update), rtol=1e-6)
    assert adam_update_size(-1e6) < 1e-300 and adam_update_size(-9.0, epsilon=0.0) == 1


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="`epsilon` >= 0"):
        adam_update_size(math.nan)


def test_horizon_is_where_the_exponential_arrives():
    steps = memory_horizon(-0.05, remaining=0.01)
    assert np.exp(-0.05) ** steps == pytest.approx(0.01)
    assert memory_horizon(0.0) == memory_horizon(0.3) == np.inf
    assert np.isnan(memory_horizon(np.nan))
    for remaining in (0.0, 1.0):
        with pytest.raises(ValueError, match="between 0 and 1"):
            memory_horizon(-1.0, remaining=remaining)
