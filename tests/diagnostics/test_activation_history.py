import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest


@pytest.fixture
def vj():
    import vanishing_jax

    return vanishing_jax


def history(vj, cell, inputs):
    cell = vj.as_cell(cell)
    state0 = cell.initial_state()
    trajectories = jax.vmap(lambda x: vj.rollout(cell, state0, x))(inputs)
    return vj.diagnostics.activation_history(cell, trajectories), trajectories


def test_gates_of_an_lstm(vj):
    cell = vj.cells.LSTMCell(1, 4, forget_bias=3.0, key=jr.key(0))
    found, trajectories = history(vj, cell, 0.1 * jr.normal(jr.key(1), (3, 5, 1)))
    assert found.names == ("input gate", "forget gate", "tanh 1", "output gate", "tanh 2")
    assert found.is_gate == (True, True, False, True, False)
    assert np.mean(found.mean[1]) == pytest.approx(1 / (1 + np.exp(-3)), abs=0.02)
    # The second tanh is that of the new cell state.
    np.testing.assert_allclose(
        found.mean[4], np.mean(np.tanh(trajectories.states[1][:, 1:]), axis=(0, 2)), atol=1e-6
    )


@pytest.mark.parametrize(
    ("activation", "inside", "beyond"),
    [("tanh", 1.80, 1.84), ("sigmoid", 3.60, 3.68), ("relu", 0.1, -0.1)],
)
def test_saturation_threshold_is_ten_percent_of_the_slope(vj, activation, inside, beyond):
    cell = vj.cells.VanillaCell(1, 1, activation=activation, key=jr.key(0))
    slope = {"tanh": lambda a: 1 - np.tanh(a) ** 2, "relu": lambda a: float(a > 0)}.get(
        activation, lambda a: 4 / (2 + 2 * np.cosh(a))
    )
    assert slope(inside) > 0.1 > slope(beyond)
    zero = jax.tree.map(jnp.zeros_like, cell)
    for preactivation, expected in ((inside, 0), (beyond, 1)):
        driven = jax.tree.map(lambda x: x, zero)
        driven = eqx.tree_at(lambda c: c.bias, driven, jnp.full_like(zero.bias, preactivation))
        found, _ = history(vj, driven, jnp.zeros((2, 3, 1)))
        assert np.all(found.saturated[0] == expected)
        assert np.all(found.saturated_by_unit[0] == expected)


def test_shares_add_up_for_any_cell(vj):
    module = eqx.nn.GRUCell(2, 3, key=jr.key(0))
    found, _ = history(vj, module, jr.normal(jr.key(1), (4, 6, 2)))
    assert found.names == ("reset gate", "update gate", "tanh")
    for histogram, edges, by_unit, saturated in zip(
        found.histogram, found.bin_edges, found.saturated_by_unit, found.saturated, strict=True
    ):
        np.testing.assert_allclose(histogram.sum(axis=1), 1)
        assert histogram.shape == (6, len(edges) - 1) and by_unit.shape == (3,)
        assert np.mean(by_unit) == pytest.approx(np.mean(saturated))
    assert "update gate: mean" in repr(found)


def test_cell_without_activation(vj):
    cell = vj.cells.VanillaCell(1, 2, activation="identity", key=jr.key(0))
    found, _ = history(vj, cell, jnp.zeros((2, 3, 1)))
    assert found.names == () and "no activation" in repr(found)
