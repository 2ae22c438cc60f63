from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from vanishing_jax import cells, mitigations
from vanishing_jax.training import SequenceModel

KEY = jax.random.key(0)


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
    with pytest.raises(ValueError, match="factor of at least 0; got -1"):
        mitigations.recurrent_learning_rate(-1.0)
    transform: Any = mitigations.recurrent_learning_rate(1.0).update_transform
    with pytest.raises(ValueError, match="FunctionCell does not"):
        transform.init(cells.FunctionCell(lambda p, s, x: s, jnp.ones(1)))
    with pytest.raises(ValueError, match="dict holds no recurrent weights"):
        transform.init({"weight": jnp.ones((2, 2))})
