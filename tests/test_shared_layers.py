"""Layers share a program exactly if they do the same up to their constants."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax._shared_layers import SharedLayer, shared_layers

N = 3


def weights(seed):
    return jnp.asarray(np.random.default_rng(seed).standard_normal((N, N)), float)


def straight_through(slope):
    @jax.custom_vjp
    def step(x):
        return jnp.sign(x)

    step.defvjp(lambda x: (step(x), None), lambda _, g: (slope * g,))
    return step


def with_slope(slope):
    @jax.custom_jvp
    def step(x):
        return jnp.sign(x)

    step.defjvp(lambda p, t: (step(*p), slope * t[0]))
    return step


def closure(W):
    return lambda x: jnp.tanh(W @ x)


def jitted(W):
    return jax.jit(lambda x: jax.nn.relu(W @ x))


def scanned(W):
    return lambda x: jax.lax.scan(lambda c, _: (jnp.tanh(W @ c), None), x, None, length=2)[0]


class Module(eqx.Module):
    weight: jax.Array
    count: int = 2

    def __call__(self, x):
        return self.count * self.weight @ x


def partial(W):
    return jax.tree_util.Partial(lambda W, x: W @ x, W)


def programs(layers, x=None):
    x = jnp.arange(1.0, N + 1) if x is None else x
    return [f.program for f in shared_layers(layers, [x] * len(layers))]


@pytest.mark.parametrize("make", [closure, jitted, scanned, Module, partial])
def test_layers_that_differ_in_arrays_share_a_program_and_keep_their_values(make):
    layers = [make(weights(seed)) for seed in range(3)]
    x = jnp.arange(1.0, N + 1)
    shared = shared_layers(layers, [x] * 3)
    assert len({f.program for f in shared}) == 1
    for before, after in zip(layers, shared, strict=True):
        assert isinstance(after, SharedLayer)
        np.testing.assert_allclose(after(x), before(x), rtol=1e-6)
        np.testing.assert_allclose(jax.jacrev(after)(x), jax.jacrev(before)(x), rtol=1e-6)
    # Only what is a leaf of the layer is a parameter.
    held = [leaf.shape for leaf in jax.tree.leaves(shared[0].parameters)]
    assert held == ([(N, N)] if make in (Module, partial) else [])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda x: 2.0 * x, lambda x: 3.0 * x),
        (jnp.tanh, jax.nn.sigmoid),
        (with_slope(1.0), with_slope(2.0)),
        (straight_through(1.0), straight_through(2.0)),
        (Module(weights(0), 2), Module(weights(0), 3)),
        (
            lambda x: jax.lax.fori_loop(0, 3, lambda i, c: 2.0 * c, x),
            lambda x: jax.lax.fori_loop(0, 3, lambda i, c: 4.0 * c, x),
        ),
    ],
)
def test_layers_that_differ_in_more_do_not(one, other):
    first, second, again = programs([one, other, one])
    assert first is again and first is not second


def test_another_shape_is_another_program_and_a_callback_none():
    f = closure(weights(0))
    assert programs([f])[0] is not programs([lambda x: f(x[:N])], jnp.ones(N + 1))[0]

    def call(x):
        return jax.pure_callback(np.asarray, jax.ShapeDtypeStruct(x.shape, x.dtype), x)

    assert shared_layers([call], [jnp.ones(N)]) == [call]


def test_constants_are_no_parameters():
    (layer,) = shared_layers([closure(weights(0))], [jnp.ones(N)])
    gradient = eqx.filter_grad(lambda f: jnp.sum(f(jnp.ones(N))))(layer)
    assert all(np.all(np.asarray(leaf) == 0) for leaf in jax.tree.leaves(gradient))
