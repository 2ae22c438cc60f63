"""The gradient in every layer of a network, against closed forms and back-propagation in NumPy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import vanishing_jax as vj
from vanishing_jax import cells, networks
from vanishing_jax.diagnostics._network_adjoint import batch_network_adjoint
from vanishing_jax.diagnostics._network_reach import network_reach

D, N, T = 2, 2, 5


def run(network, inputs, lengths):
    return jax.jit(jax.vmap(lambda x, n: network(x, lengths=n)))(inputs, jnp.asarray(lengths))


def backward_by_hand(cell, states, inputs, from_above):
    """Return ||dL/dh_t||, t = 0..T, and dL/dx_t of one direction of a plain tanh layer."""
    W, U = np.asarray(cell.weight_hh), np.asarray(cell.weight_xh)
    gradient, norms, to_inputs = np.zeros(N), [], []
    for h, above in zip(states[:0:-1], from_above[::-1], strict=True):
        gradient = gradient + above
        norms.append(np.linalg.norm(gradient))
        inside = (1 - h**2) * gradient
        gradient = W.T @ inside
        to_inputs.append(U.T @ inside)
    return [*norms, np.linalg.norm(gradient)][::-1], to_inputs[::-1]


@pytest.mark.parametrize("length", [T, T - 2])
def test_every_layer_against_back_propagation_by_hand(length):
    keys = jr.split(jr.key(0), 4)
    layers = [
        cells.BidirectionalCell(
            *(cells.VanillaCell(size, N, key=key) for key in keys[2 * i : 2 * i + 2])
        )
        for i, size in enumerate((D, 2 * N))
    ]
    network = networks.RecurrentNetwork(layers)
    inputs = jr.normal(jr.key(1), (1, T, D)).at[:, length:].set(jnp.nan)
    runs = run(network, inputs, [length])
    direct = jr.normal(jr.key(2), (1, T, 2 * N)).at[:, length:].set(0)
    found = batch_network_adjoint(network, runs, direct)
    above, expected = np.asarray(direct)[0, :length], {}
    for layer in (1, 0):
        below = np.zeros((length, (D, 2 * N)[layer]))
        for k, direction in enumerate(("forward", "backward")):
            name, turn = f"layer{layer}.{direction}", slice(None, None, -1 if k else 1)
            part = jax.tree.map(lambda leaf: np.asarray(leaf)[0], runs[name])
            half = above[:, k * N : (k + 1) * N][turn]
            expected[name], to_inputs = backward_by_hand(
                getattr(layers[layer], direction), part.states[: length + 1], part.inputs, half
            )
            below += np.asarray(to_inputs)[turn]
        above = below
    tolerance = 1e-12 if inputs.dtype == jnp.float64 else 1e-5
    for name, part in found.items():
        norms = np.exp(np.asarray(part.log_norm)[0, : length + 1])
        np.testing.assert_allclose(norms, expected[name], rtol=tolerance)
        assert np.isneginf(part.log_norm[0, length + 1 :]).all()


def linear_network(weight):
    """Two layers h' = weight h + x: the gradient of the lower one counts the paths."""
    cell = cells.VanillaCell(1, 1, activation="identity", bias_initializer=None, key=jr.key(0))
    cell = cell.map_recurrent(lambda w: jnp.full_like(w, weight))
    cell = eqx.tree_at(lambda c: c.weight_xh, cell, jnp.ones((1, 1)))
    return networks.RecurrentNetwork([cell, cell])


def test_closed_form_far_beyond_the_range_of_float32():
    steps, weight = 400, 0.12
    network = linear_network(weight)
    runs = run(network, jnp.zeros((4, steps, 1)), [steps] * 4)
    direct = jnp.zeros((4, steps, 1)).at[:, -1].set(1.0)
    reach = network_reach(network, runs, direct, np.full(4, steps), "past", 1)
    assert reach is not None
    # Nothing lies ahead of the last step.
    assert network_reach(network, runs, direct, np.full(4, steps), "future", 1) is None
    lag = np.arange(steps + 1)
    upper = lag * np.log(weight)
    lower = upper + np.log(lag + 1)  # as many paths as steps at which to change layers
    expected = np.stack([lower, upper])
    expected[0, -1] += np.log(steps / (steps + 1))  # s_0 reaches the loss through steps 1..T only
    got = reach.gradients.log_norm[:, 0]
    np.testing.assert_allclose(got, expected, atol=1e-2 if got.dtype == np.float32 else 2e-3)
    np.testing.assert_allclose(
        reach.log_gradient_by_lag[0], (x := np.logaddexp(*(2 * expected)) / 2) - x[0], atol=2e-3
    )
    # 0.12^4 < 1e-3 < 5 * 0.12^4, and 6 * 0.12^5 < 1e-3.
    np.testing.assert_array_equal(reach.gradients.gone_at, [5, 4])
    assert reach.gradients.first_gone() == "layer1" and reach.verdict == "vanishing"
    assert reach.gradients.sentence() == (
        "layer1 first, below 1e-3 of its largest gradient after 4 steps (layer0 after 5)"
    )


def test_a_stack_names_its_layers():
    # The sizes of the other tests of `diagnose`: state 6, 24 steps.
    steps = 24
    layers = [cells.VanillaCell(3, 3, key=key) for key in jr.split(jr.key(0))]
    stack, network = cells.StackedCell(layers), networks.RecurrentNetwork(layers)
    inputs = 0.1 * jr.normal(jr.key(1), (4, steps, 3))
    d = vj.diagnose(stack, inputs, loss=lambda states: jnp.sum(states[1][:, -1]))
    assert d.layers is not None and "smallest" in d.details()
    first = vj.rollout(stack, stack.initial_state(), inputs[0])
    gradient, norms = np.array([0.0] * 3 + [1.0] * 3), []
    for J in np.asarray(vj.linearize(stack, first).jacobians, np.float64)[::-1]:
        norms.append(np.linalg.norm(gradient.reshape(2, 3), axis=1))
        gradient = J.T @ gradient
    norms.append(np.linalg.norm(gradient.reshape(2, 3), axis=1))
    found = d.layers.gradients.log_norm
    np.testing.assert_allclose(np.exp(found[:, 0]), np.transpose(norms), rtol=1e-4)
    whole = np.log(np.sum(np.exp(2 * found), axis=0)) / 2
    np.testing.assert_allclose(whole - whole[:, :1], d.log_gradient_by_lag, atol=1e-5)
    # A layer's own block of the product is its own chain.
    runs = network(inputs[0])
    for name in network.names:
        expected = vj.log_singular_values(network.chain(runs, name)).log_singular_values
        own = d.layers.log_singular_values[name]
        np.testing.assert_allclose(own, expected, rtol=1e-4, atol=1e-3)
