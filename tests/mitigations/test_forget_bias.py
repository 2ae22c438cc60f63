from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax import cells, mitigations

KEY = jax.random.key(0)


def apply(value, cell) -> Any:
    transform = mitigations.forget_bias(value).transform_cell
    assert transform is not None
    return transform(cell, key=KEY)


def test_gates_that_keep_start_at_the_bias_and_nothing_else_changes():
    lstm, gru = cells.LSTMCell(2, 3, key=KEY), cells.GRUCell(3, 3, key=KEY)
    stack = cells.StackedCell([lstm, cells.LeakyCell(gru, 0.5), eqx.nn.LSTMCell(3, 3, key=KEY)])
    first, second, third = apply(2.5, stack).cells
    for bias in (first.bias, second.cell.bias, third.module.bias):
        np.testing.assert_array_equal(bias[3:6], 2.5)
    for new, old in [(first, lstm), (second.cell, gru)]:
        np.testing.assert_array_equal(new.bias[:3], old.bias[:3])
        np.testing.assert_array_equal(new.bias[6:], old.bias[6:])
    # At h = 0 and without input the cell keeps sigma(b) of c.
    zero = jnp.zeros(3)
    kept = first((zero, jnp.ones(3)), jnp.zeros(2))[1]
    np.testing.assert_allclose(kept, 1 / (1 + np.exp(-2.5)), rtol=1e-5)


def test_cells_without_such_gates_are_refused():
    with pytest.raises(ValueError, match="expected an LSTM or GRU .*VanillaCell holds none"):
        apply(1.0, cells.VanillaCell(1, 2, key=KEY))
    with pytest.raises(ValueError, match="gates with biases; LSTMCell has none"):
        apply(1.0, eqx.nn.LSTMCell(1, 2, use_bias=False, key=KEY))
    with pytest.raises(ValueError, match="finite bias; got inf"):
        mitigations.forget_bias(float("inf"))
