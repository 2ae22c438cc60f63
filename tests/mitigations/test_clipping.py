from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax import mitigations

SCALES = [1e-3, 0.5, 1.0, 30.0, 1e10]


def clip(mitigation, gradient) -> Any:
    transform = mitigation.gradient_transform
    return transform.update(gradient, transform.init(gradient))[0]


def norm(tree):
    return np.sqrt(sum(np.sum(np.asarray(leaf, np.float64) ** 2) for leaf in tree.values()))


@pytest.mark.as_users
@pytest.mark.parametrize("scale", SCALES)
def test_global_norm_keeps_the_direction_and_never_lengthens(scale):
    gradient = {"w": scale * jnp.array([[3.0, 0.0], [0.0, 0.0]]), "b": scale * jnp.array([4.0])}
    found = clip(mitigations.clip_by_global_norm(2.0), gradient)
    np.testing.assert_allclose(norm(found), min(5 * scale, 2), rtol=1e-5)
    np.testing.assert_allclose(found["w"][0, 0] * 4, found["b"][0] * 3, rtol=1e-5)


@pytest.mark.parametrize("scale", SCALES)
def test_by_value_clamps_each_component_and_never_lengthens(scale):
    gradient = {"w": scale * jnp.array([[3.0, -1.0]]), "b": scale * jnp.array([-4.0])}
    found = clip(mitigations.clip_by_value(2.0), gradient)
    for name, leaf in gradient.items():
        np.testing.assert_array_equal(found[name], np.clip(np.asarray(leaf), -2, 2))
    assert norm(found) <= norm(gradient) * (1 + 1e-6)


@pytest.mark.parametrize("maximum", [0.0, -1.0, float("nan")])
def test_useless_thresholds_are_refused(maximum):
    for make in (mitigations.clip_by_global_norm, mitigations.clip_by_value):
        with pytest.raises(ValueError, match="positive maximum"):
            make(maximum)
