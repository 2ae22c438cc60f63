from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax import cells

B, T, D, N = 5, 4, 2, 3
KEYS = jax.random.split(jax.random.key(0), 3)


def bare(kind: Any = cells.VanillaCell, placement="recurrent", num_steps=T):
    inside = kind(D, N, key=KEYS[0])
    inside = eqx.tree_at(lambda c: c.bias, inside, 0.3 + inside.bias)
    cell = cells.BatchNormCell(inside, num_steps=num_steps, placement=placement, gain=0.7)
    if cell.cell_bias is None:
        return cell
    return eqx.tree_at(lambda c: c.cell_bias, cell, jnp.linspace(-0.2, 0.4, N))


def nested():
    upper = cells.BatchNormCell(cells.LSTMCell(N, N, key=KEYS[1]), num_steps=T)
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


def by_hand(cell, inputs, xp: Any = np):
    """Return final states, means and variances of the whole batch at once: the textbook loop."""
    weights = {
        name: xp.asarray(getattr(cell.cell, name))
        for name in ("weight_hh", "weight_xh", "bias", "bias_n")
        if hasattr(cell.cell, name)
    }
    found = {"mean": [], "variance": []}

    def norm(site, a):
        mean, variance = a.mean(0), a.var(0)
        found["mean"][-1][site], found["variance"][-1][site] = mean, variance
        gain = xp.asarray(cell.gain[site])
        return gain[None] * (a - mean[None]) / xp.sqrt(variance[None] + 1e-5)

    def pair(group, recurrent, driven):
        if cell.placement == "recurrent":
            recurrent = norm(group + "recurrent", recurrent)
        return recurrent, norm(group + "input", driven)

    h, c = xp.zeros((B, N)), xp.zeros((B, N))
    for t in range(inputs.shape[1]):
        for rows in found.values():
            rows.append({})
        recurrent, driven = h @ weights["weight_hh"].T, inputs[:, t] @ weights["weight_xh"].T
        bias = weights["bias"][None]
        if isinstance(cell.cell, cells.VanillaCell):
            h = xp.tanh(sum(pair("", recurrent, driven)) + bias)
        elif isinstance(cell.cell, cells.LSTMCell):
            i, f, g, o = xp.split(sum(pair("", recurrent, driven)) + bias, 4, axis=1)
            c = sigmoid(f, xp) * c + sigmoid(i, xp) * xp.tanh(g)
            seen = c
            if cell.placement == "recurrent":
                seen = norm("cell", c) + xp.asarray(cell.cell_bias)[None]
            h = sigmoid(o, xp) * xp.tanh(seen)
        else:
            gates = sum(pair("gates_", recurrent[:, : 2 * N], driven[:, : 2 * N]))
            r, z = xp.split(sigmoid(gates + bias[:, : 2 * N], xp), 2, axis=1)
            a, b = pair("new_", recurrent[:, 2 * N :], driven[:, 2 * N :])
            n = xp.tanh(b + bias[:, 2 * N :] + r * (a + weights["bias_n"][None]))
            h = (1 - z) * n + z * h
    state = (h, c) if isinstance(cell.cell, cells.LSTMCell) else h
    rows = [{k: [row[k] for row in found[name]] for k in cell.gain} for name in found]
    return state, *rows


def sigmoid(a, xp):
    return 1 / (1 + xp.exp(-a))


def compare(found, expected, **tolerances):
    for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_allclose(a, b, **tolerances)


@pytest.mark.parametrize(
    "kind, placement",
    [
        (cells.VanillaCell, "input"),
        (cells.LSTMCell, "recurrent"),
        (cells.GRUCell, "recurrent"),
    ],
)
def test_batch_statistics_are_those_of_numpy(kind, placement):
    cell, inputs = bare(kind, placement), batch()
    state, means, variances = by_hand(cell, np.asarray(inputs))
    found = jax.jit(run_training)(cell, inputs)
    compare(found[0], state, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found[1], T)
    cell = cells.update_statistics(cell, found, momentum=1.0)
    for name, moments in (("mean", means), ("variance", variances)):
        measured = getattr(cell.statistics, name)
        assert measured.keys() == moments.keys()
        for site, values in measured.items():
            np.testing.assert_allclose(values, moments[site], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_gradients_flow_through_the_batch_statistics():
    cell, inputs = bare(cells.LSTMCell), batch()
    target = jnp.arange(3.0 * B).reshape(B, N) / 10
    params, rest = eqx.partition(cell, eqx.is_inexact_array)

    def error(state):
        return sum(jnp.sum((leaf - target) ** 2) for leaf in jax.tree.leaves(state))

    def loss(params):
        return error(run_training(eqx.combine(params, rest), inputs)[0])

    def loss_by_hand(params):
        return error(by_hand(eqx.combine(params, rest), inputs, jnp)[0])

    found, expected = jax.jit(jax.grad(loss))(params), jax.jit(jax.grad(loss_by_hand))(params)
    compare(found.statistics, jax.tree.map(jnp.zeros_like, found.statistics), rtol=0)
    compare(found, expected, rtol=1e-3, atol=1e-4)


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


@pytest.mark.as_users
def test_moving_averages_and_steps_beyond_the_last():
    cell = bare(num_steps=2)
    estimated: Any = cells.estimate_statistics(cell, batch(steps=2))
    moved = cells.update_statistics(
        cell, [jax.tree.map(lambda a: a[None], estimated.statistics)], momentum=0.25
    )
    pairs = cell.statistics.variance, estimated.statistics.variance
    expected = jax.tree.map(lambda a, b: 0.75 * a + 0.25 * b, *pairs)
    compare(moved.statistics.variance, expected, rtol=1e-6)
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
        cells.BatchNormCell(plain, num_steps=T, placement="output")
    with pytest.raises(ValueError, match=r"expected state \(state of the cell inside, step\)"):
        cell(jnp.ones(N), jnp.ones(D))
