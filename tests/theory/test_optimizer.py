import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vanishing_jax as vj
from vanishing_jax.theory import adam_update_size


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


def clipped(remedy, gradient):
    transform: Any = remedy.gradient_transform
    array = jnp.asarray(gradient)
    return np.asarray(transform.update(array, transform.init(array))[0])


def test_clipping_by_norm_cannot_turn_or_lengthen_and_by_value_can_turn():
    rng, cosines = np.random.default_rng(0), []
    for gradient in rng.normal(size=(5, 4)) * 10.0 ** np.arange(-2, 3)[:, None]:
        by_norm = clipped(vj.mitigations.clip_by_global_norm(1.0), gradient)
        by_value = clipped(vj.mitigations.clip_by_value(0.3), gradient)
        norm = np.linalg.norm(gradient)
        np.testing.assert_allclose(np.linalg.norm(by_norm), min(norm, 1.0), rtol=1e-6)
        cosine = by_norm @ gradient / np.linalg.norm(by_norm) / norm
        assert cosine == pytest.approx(1, abs=1e-6)
        assert np.linalg.norm(by_value) <= norm * (1 + 1e-6)
        cosines.append(by_value @ gradient / np.linalg.norm(by_value) / norm)
    assert cosines[0] == pytest.approx(1) and cosines[-1] < 0.99


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="`epsilon` >= 0"):
        adam_update_size(math.nan)
