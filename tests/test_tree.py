from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest


class Pair(NamedTuple):
    h: jax.Array
    c: jax.Array


@pytest.fixture
def tree():
    from vanishing_jax import _tree

    return _tree


STATES = {
    "array": lambda: jnp.arange(3.0),
    "scalar": lambda: jnp.asarray(2.0),
    "tuple": lambda: (jnp.arange(2.0), jnp.ones((2, 2))),
    "dict": lambda: {"b": jnp.arange(2.0), "a": jnp.ones(1)},
    "named": lambda: Pair(jnp.arange(2.0), jnp.ones(2)),
    "complex": lambda: jax.lax.complex(jnp.arange(2.0), jnp.ones(2)),
    "with a counter": lambda: (jnp.arange(2.0), jnp.asarray(7)),
    "with a key": lambda: {"h": jnp.ones(2), "key": jax.random.key(0)},
    "two dtypes": lambda: (jnp.arange(2.0), jnp.ones(2, jnp.float16)),
    "bfloat16": lambda: jnp.ones(2, jnp.bfloat16),
}


@pytest.mark.parametrize("name", STATES)
def test_round_trip(tree, name):
    state = STATES[name]()
    layout = tree.state_layout(state)
    vector = layout.ravel(state)
    assert vector.shape == (layout.size,) and vector.dtype == layout.dtype
    back = layout.unravel(vector, state)
    assert jax.tree.structure(back) == jax.tree.structure(state)
    for a, b in zip(jax.tree.leaves(back), jax.tree.leaves(state), strict=True):
        assert a.dtype == b.dtype and bool(jnp.all(a == b))


def test_order_and_names(tree):
    layout = tree.state_layout({"b": jnp.zeros(2), "a": jnp.ones(1)})
    assert [leaf.path for leaf in layout.leaves] == ["a", "b"]
    np.testing.assert_array_equal(layout.ravel({"b": jnp.zeros(2), "a": jnp.ones(1)}), [1, 0, 0])
    assert [leaf.path for leaf in tree.state_layout(jnp.zeros(1)).leaves] == ["state"]


def test_complex_is_real_then_imaginary(tree):
    state = STATES["complex"]()
    np.testing.assert_array_equal(tree.state_layout(state).ravel(state), [0, 1, 1, 1])


def test_what_is_left_out(tree):
    assert tree.state_layout(STATES["with a counter"]()).left_out == ("1",)


def test_errors(tree):
    with pytest.raises(ValueError, match="state: int32.*Pass the initial state as floats"):
        tree.state_layout(jnp.zeros(3, jnp.int32))
    with pytest.raises(TypeError, match="h is a str"):
        tree.state_layout({"h": "hello"})


def test_describe(tree):
    assert tree.describe((jnp.zeros(3, jnp.float32), jnp.zeros((), jnp.int32))) == "(f32[3], i32[])"
