import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest


class Affine(eqx.Module):
    weight: jax.Array
    bias: jax.Array

    def __call__(self, x):
        return jnp.tanh(self.weight @ x + self.bias)


def test_every_gradient_against_jax():
    """Widths that differ; both the activations' gradients and the parameters'."""
    import vanishing_jax as vj

    rng = np.random.default_rng(0)
    shapes = [(4, 3), (2, 4), (3, 2)]
    layers = [Affine(jnp.asarray(rng.standard_normal(s), float), jnp.zeros(s[0])) for s in shapes]
    x = jnp.asarray(rng.standard_normal(3), float)
    target = jnp.asarray(rng.standard_normal(3), float)

    def loss(y):
        return jnp.sum((y - target) ** 2)

    profile = vj.diagnostics.layer_gradient_profile(layers, x, loss=loss)

    @jax.jit
    def expected(layers, x):
        def of(layers, shifts):
            steps = zip(layers, shifts[1:], strict=True)
            return loss(functools.reduce(lambda x, s: s[0](x) + s[1], steps, x + shifts[0]))

        shifts = [jnp.zeros(n) for n in (3, 4, 2, 3)]
        return jax.grad(of, argnums=(0, 1))(layers, shifts)

    parameters, activations = expected(layers, x)
    sizes = [np.linalg.norm(g) for g in activations]
    tolerance = 1e-12 if x.dtype == np.float64 else 1e-5
    np.testing.assert_allclose(profile.log_norm, np.log(sizes), atol=tolerance)
    shares = [np.sqrt(sum(np.sum(np.square(g)) for g in jax.tree.leaves(p))) for p in parameters]
    np.testing.assert_allclose(profile.log_parameter_norm, np.log(shares), atol=tolerance)
    assert profile.axis == "layer" and "3 layers: log ||dL/dx_0||" in repr(profile)


def test_far_beyond_the_range_of_floats():
    import vanishing_jax as vj

    profile = vj.diagnostics.layer_gradient_profile(
        [lambda x: 0.1 * x] * 400, jnp.zeros(2), loss=jnp.sum
    )
    expected = np.log(0.1) * np.arange(400, -1, -1) + 0.5 * np.log(2)
    np.testing.assert_allclose(profile.log_norm, expected, rtol=1e-6)
    assert np.all(np.isneginf(profile.log_parameter_norm))  # functions hold no parameters
    with pytest.warns(DeprecationWarning, match="layer_gradient_profile"):  # the older order
        profile_in_any_order: Any = vj.diagnostics.layer_gradient_profile
        older = profile_in_any_order(jnp.sum, [lambda x: 0.1 * x] * 400, jnp.zeros(2))
    np.testing.assert_array_equal(older.log_norm, profile.log_norm)


def test_a_gradient_that_is_not_finite_is_named():
    import vanishing_jax as vj

    def root(x):
        return jnp.sqrt(x - 1)

    with pytest.raises(vj.NonFiniteError, match="NaN from l = 2 backward"):
        vj.diagnostics.layer_gradient_profile(
            [lambda x: x, root, root], jnp.full(2, 2.0), loss=lambda y: jnp.sum(0 * y)
        )
