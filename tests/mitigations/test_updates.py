from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax import cells, mitigations
from vanishing_jax.training import SequenceModel

KEY = jax.random.key(0)


def decayed(mitigation, model) -> Any:
    """Return by how much zero updates become other, leaf by leaf."""
    params = eqx.filter(model, eqx.is_inexact_array)
    zeros = jax.tree.map(jnp.zeros_like, params)
    transform = mitigation.update_transform
    return transform.update(zeros, transform.init(params), params)[0], params


def test_matrices_decay_and_vectors_and_statistics_do_not():
    cell = cells.BatchNormCell(cells.VanillaCell(2, 3, key=KEY), num_steps=4)
    found, params = decayed(mitigations.weight_decay(0.1), SequenceModel(cell, 5, key=KEY))
    for name in ("weight_hh", "weight_xh"):
        np.testing.assert_allclose(
            getattr(found.cell.cell, name), 0.1 * getattr(params.cell.cell, name), rtol=1e-6
        )
    np.testing.assert_allclose(found.weight, 0.1 * params.weight, rtol=1e-6)
    rest = [found.bias, found.cell.cell.bias, found.cell.gain, found.cell.statistics]
    assert all(np.all(np.asarray(leaf) == 0) for leaf in jax.tree.leaves(rest))


def test_a_mask_of_ones_own():
    def only_bias(params):
        return eqx.tree_at(lambda c: c.bias, jax.tree.map(lambda _: False, params), True)

    cell = cells.VanillaCell(2, 3, bias_initializer=jax.nn.initializers.ones, key=KEY)
    found, _ = decayed(mitigations.weight_decay(0.5, mask=only_bias), cell)
    np.testing.assert_array_equal(found.bias, 0.5)
    np.testing.assert_array_equal(found.weight_hh, 0)
    with pytest.raises(ValueError, match="`rate` of at least 0; got -1"):
        mitigations.weight_decay(-1.0)


def test_recurrent_weights_move_by_another_rate_and_nothing_else():
    stack = cells.StackedCell(
        [
            cells.LeakyCell(cells.LayerNormCell(cells.VanillaCell(2, 3, key=KEY)), 0.5),
            cells.TruncatedCell(eqx.nn.GRUCell(3, 3, key=KEY), 5),
        ]
    )
    params = eqx.filter(SequenceModel(stack, 2, key=KEY), eqx.is_inexact_array)
    ones = jax.tree.map(jnp.ones_like, params)
    transform = mitigations.recurrent_learning_rate(0.25).update_transform
    assert transform is not None
    found = transform.update(ones, transform.init(params), params)[0]
    recurrent = lambda m: [
        m.cell.cells[0].cell.cell.weight_hh,
        m.cell.cells[1].cell.module.weight_hh,
    ]
    expected = eqx.tree_at(recurrent, ones, [0.25 * leaf for leaf in recurrent(ones)])
    assert eqx.tree_equal(found, expected)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="`factor` of at least 0; got -1"):
        mitigations.recurrent_learning_rate(-1.0)
    transform: Any = mitigations.recurrent_learning_rate(1.0).update_transform
    with pytest.raises(ValueError, match="FunctionCell does not"):
        transform.init(cells.FunctionCell(lambda p, s, x: s, jnp.ones(1)))
    with pytest.raises(ValueError, match="dict holds no recurrent weights"):
        transform.init({"weight": jnp.ones((2, 2))})
