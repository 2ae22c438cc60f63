from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from vanishing_jax import cells, mitigations


def cell():
    return cells.LSTMCell(2, 3, key=jax.random.key(0))


def params():
    return eqx.filter(cell(), eqx.is_inexact_array)


def test_chain_applies_from_left_to_right_and_adds_penalties():
    plus_one: Any = lambda c: c.map_recurrent(lambda w: w + 1)
    double: Any = lambda c: c.map_recurrent(lambda w: 2 * w)
    one = mitigations.Mitigation(
        "one",
        transform_cell=lambda c, *, key: plus_one(c),
        penalty=lambda c, inputs, loss: jnp.sum(inputs) + loss(3.0),
        project=plus_one,
    )
    two = mitigations.Mitigation(
        "two",
        transform_cell=lambda c, *, key: double(c),
        penalty=lambda c, inputs, loss: jnp.asarray(10.0),
        project=double,
    )
    both = mitigations.chain(one, two)
    assert both.name == "one; two" and both.gradient_transform is None
    expected = 2 * (cell().weight_hh + 1)
    assert both.transform_cell is not None and both.project is not None
    transformed: Any = both.transform_cell(cell(), key=jax.random.key(0))
    projected: Any = both.project(cell())
    np.testing.assert_allclose(transformed.weight_hh, expected)
    np.testing.assert_allclose(projected.weight_hh, expected)
    assert both.penalty is not None
    assert both.penalty(cell(), jnp.ones(4), lambda states: 2 * states) == 4 + 6 + 10
    assert mitigations.chain(one).penalty is one.penalty
    assert mitigations.chain().transform_cell is None and str(mitigations.chain()) == "nothing"


def test_parts_of_a_chain_draw_from_different_keys():
    again = mitigations.chain(mitigations.normal(1.0), mitigations.normal(1.0))
    assert again.transform_cell is not None
    key_one, key_two = jax.random.split(jax.random.key(5))
    last = mitigations.normal(1.0).transform_cell
    assert last is not None
    expected = last(cell(), key=key_two)
    assert eqx.tree_equal(again.transform_cell(cell(), key=jax.random.key(5)), expected)
    assert not eqx.tree_equal(last(cell(), key=key_one), expected)


def test_chained_transformations_are_those_of_optax_and_their_numbers_are_data():
    traces = []

    @eqx.filter_jit
    def update(transform, gradient, params):
        traces.append(None)
        with jax.numpy_dtype_promotion("standard"):
            return transform.update(gradient, transform.init(params), params)[0]

    gradient = jax.tree.map(lambda w: 3 * jnp.sin(7 * w + 1), params())
    for norm, largest in [(1.0, 0.2), (5.0, 0.9)]:
        both = mitigations.chain(
            mitigations.clip_by_global_norm(norm), mitigations.clip_by_value(largest)
        )
        reference = optax.chain(optax.clip_by_global_norm(norm), optax.clip(largest))
        expected = reference.update(gradient, reference.init(params()))[0]
        found = update(both.gradient_transform, gradient, params())
        for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)
    assert len(traces) == 1
