from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax import cells

B, T, D, N = 5, 4, 2, 3
KEYS = jax.random.split(jax.random.key(0), 3)


def bare(placement="recurrent", num_steps=T):
    cell = cells.BatchNormCell(
        D, N, num_steps=num_steps, placement=placement, gain=0.7, key=KEYS[0]
    )
    return eqx.tree_at(lambda c: c.bias, cell, 0.3 * jnp.ones(N))


def nested():
    upper = cells.BatchNormCell(N, N, num_steps=T, key=KEYS[1])
    wrapped = cells.ClippedGradientCell(cells.TruncatedCell(upper, 2), 1.0)
    return cells.StackedCell([cells.LeakyCell(bare(), 0.4), cells.ResidualCell(wrapped)])


def batch(steps=T):
    return 1.5 * jax.random.normal(KEYS[2], (B, steps, D)) + 0.5


def run_training(cell, inputs):
    """Return the final states of the batch under its own statistics."""

    def last(inputs):
        training = cells.use_batch_statistics(cell)
        step = lambda state, x: (training(state, x), None)
        return jax.lax.scan(step, training.initial_state(), inputs)[0]

    return jax.vmap(last, axis_name="batch")(inputs)


def run_population(cell, inputs):
    def last(inputs):
        step = lambda state, x: (cell(state, x), None)
        return jax.lax.scan(step, cell.initial_state(), inputs)[0]

    return jax.vmap(last)(inputs)


def by_hand(cell, inputs, xp=np):
    """Return final h, means and variances of the whole batch at once: the textbook loop."""
    W, U, gain, bias = (
        xp.asarray(a) for a in (cell.weight_hh, cell.weight_xh, cell.gain, cell.bias)
    )
    h, means, variances = xp.zeros((B, N)), [], []
    for t in range(inputs.shape[1]):
        parts = [h @ W.T, inputs[:, t] @ U.T][-len(gain) :]
        z = bias[None] if cell.placement == "recurrent" else bias[None] + h @ W.T
        for g, a in zip(gain, parts, strict=True):
            z = z + g[None] * (a - a.mean(0)[None]) / xp.sqrt(a.var(0)[None] + 1e-5)
        means.append([a.mean(0) for a in parts])
        variances.append([a.var(0) for a in parts])
        h = xp.tanh(z)
    return h, means, variances


@pytest.mark.parametrize("placement", ["recurrent", "input"])
def test_batch_statistics_are_those_of_numpy(placement):
    cell, inputs = bare(placement), batch()
    h, means, variances = by_hand(cell, np.asarray(inputs))
    found = jax.jit(run_training)(cell, inputs)
    np.testing.assert_allclose(found[0], h, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found[1], T)
    cell = cells.update_statistics(cell, found, momentum=1.0)
    np.testing.assert_allclose(cell.statistics.mean, means, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(cell.statistics.variance, variances, rtol=1e-4, atol=1e-6)


def test_gradients_flow_through_the_batch_statistics():
    cell, inputs = bare(), batch()
    target = jnp.arange(3.0 * B).reshape(B, N) / 10
    params, rest = eqx.partition(cell, eqx.is_inexact_array)

    def loss(params):
        return jnp.sum((run_training(eqx.combine(params, rest), inputs)[0] - target) ** 2)

    def loss_by_hand(params):
        return jnp.sum((by_hand(eqx.combine(params, rest), inputs, jnp)[0] - target) ** 2)

    found, expected = jax.jit(jax.grad(loss))(params), jax.jit(jax.grad(loss_by_hand))(params)
    np.testing.assert_array_equal(found.statistics.mean, 0)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("make", [bare, nested])
def test_estimated_statistics_make_the_cell_do_alone_what_it_did_in_the_batch(make):
    cell, inputs = make(), batch()
    estimated = eqx.filter_jit(cells.estimate_statistics)(cell, inputs)
    assert jax.tree.structure(estimated) == jax.tree.structure(cell)
    trained = jax.jit(run_training)(cell, inputs)
    alone = jax.jit(run_population)(estimated, inputs)
    expected = jax.vmap(ft_hidden(cell))(trained)
    np.testing.assert_allclose(jax.vmap(ft_hidden(cell))(alone), expected, rtol=1e-4, atol=1e-5)
    before = jax.vmap(ft_hidden(cell))(jax.jit(run_population)(cell, inputs))
    assert np.abs(before - expected).max() > 1e-2


def ft_hidden(cell):
    return lambda state: cells.hidden_output(cell, state)


def test_moving_averages_and_steps_beyond_the_last():
    cell = bare(num_steps=2)
    estimated: Any = cells.estimate_statistics(cell, batch(steps=2))
    moved = cells.update_statistics(
        cell, [jax.tree.map(lambda a: a[None], estimated.statistics)], momentum=0.25
    )
    expected = 0.75 * cell.statistics.variance + 0.25 * estimated.statistics.variance
    np.testing.assert_allclose(moved.statistics.variance, expected, rtol=1e-6)
    h = jnp.ones(N)
    one, far = ((h, jnp.asarray(t, jnp.int32)) for t in (1, 7))
    np.testing.assert_array_equal(estimated(one, jnp.ones(D))[0], estimated(far, jnp.ones(D))[0])
    first = estimated((h, jnp.asarray(0, jnp.int32)), jnp.ones(D))[0]
    assert np.abs(first - estimated(one, jnp.ones(D))[0]).max() > 1e-3


def test_other_trees_come_back_and_wrong_ones_are_refused():
    plain = cells.VanillaCell(D, N, key=KEYS[0])
    assert eqx.tree_equal(cells.use_batch_statistics(plain), plain)
    assert eqx.tree_equal(cells.update_statistics(plain, jnp.ones(3)), plain)
    cell = bare()
    with pytest.raises(ValueError, match="1 sets of statistics; they hold 0"):
        cells.update_statistics(cell, cell.initial_state())
    with pytest.raises(NameError, match="axis name"):
        training = cells.use_batch_statistics(cell)
        training(training.initial_state(), jnp.ones(D))
    with pytest.raises(ValueError, match="'recurrent' or 'input'; got 'output'"):
        cells.BatchNormCell(D, N, num_steps=T, placement="output", key=KEYS[0])
    with pytest.raises(ValueError, match=r"expected state \(h, step\)"):
        cell(jnp.ones(N), jnp.ones(D))
