import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from vanishing_jax import cells, linearize, networks, rollout

from .. import helpers

D, N, T = 2, 3, 6
KEYS = jr.split(jr.key(0), 4)


def bidirectional():
    """Two layers in both directions: LSTMs, then plain cells."""
    lower = (cells.LSTMCell(D, N, key=key) for key in KEYS[:2])
    upper = (cells.VanillaCell(2 * N, N, key=key) for key in KEYS[2:])
    return networks.RecurrentNetwork([cells.BidirectionalCell(*pair) for pair in (lower, upper)])


def unroll(cell, xs):
    """Return the hidden outputs of a cell over inputs, step by step in NumPy."""
    w = jax.tree.map(np.asarray, {n: getattr(cell, f"weight_{n}") for n in ("hh", "xh")})
    h = c = np.zeros(N)
    outputs = []
    for x in xs:
        a = w["hh"] @ h + w["xh"] @ np.asarray(x) + np.asarray(cell.bias)
        h = np.tanh(a)
        if isinstance(cell, cells.LSTMCell):
            i, f, g, o = np.split(a, 4)
            c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
            h = np.tanh(c) / (1 + np.exp(-o))
        outputs.append(h)
    return outputs


def by_hand(network, xs):
    """Return the outputs of each layer."""
    layers = []
    for layer in network.layers:
        if isinstance(layer, cells.BidirectionalCell):
            back = unroll(layer.backward, xs[::-1])[::-1]
            xs = [np.concatenate(p) for p in zip(unroll(layer.forward, xs), back, strict=True)]
        else:
            xs = unroll(layer, xs)
        layers.append(np.stack(xs))
    return layers


def test_outputs_are_those_of_plain_loops():
    network = bidirectional()
    inputs = jr.normal(jr.key(1), (T, D))
    run = network(inputs)
    for output, expected in zip(run.outputs, by_hand(network, list(inputs)), strict=True):
        np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-6)
    assert run.output is run.outputs[-1] and run.output.shape == (T, 2 * N)
    assert (
        run.names
        == network.names
        == tuple(
            f"layer{layer}.{direction}" for layer in (0, 1) for direction in ("forward", "backward")
        )
    )
    np.testing.assert_array_equal(run["layer0.backward"].inputs, inputs[::-1])
    np.testing.assert_array_equal(run["layer1.backward"].states[1:][::-1], run.output[:, N:])
    assert network.is_bidirectional and "layer1.backward" in repr(run)
    with pytest.raises(KeyError, match="expected a part out of"):
        run["layer2"]


def test_in_one_direction_it_is_the_stack():
    layers = [cells.LSTMCell(D, N, key=KEYS[0]), cells.VanillaCell(N, N, key=KEYS[1])]
    network = networks.RecurrentNetwork(layers)
    inputs = jr.normal(jr.key(1), (T, D))
    assert network.names == ("layer0", "layer1") and not network.is_bidirectional
    run = network(inputs)
    np.testing.assert_allclose(run.output, by_hand(network, inputs)[-1], rtol=1e-5, atol=1e-6)
    stack = cells.StackedCell(layers)
    states = rollout(stack, stack.initial_state(), inputs).states
    for name, expected in zip(network.names, states, strict=True):
        helpers.assert_tree_allclose(run[name].states, expected, rtol=1e-5, atol=1e-6)


def test_a_bidirectional_layer_is_one_cell():
    network = bidirectional()
    inputs = jr.normal(jr.key(1), (T, D))
    run, cell = network(inputs), network.layers[0]
    assert isinstance(cell, cells.BidirectionalCell)
    whole = rollout(cell, cell.initial_state(), (inputs, inputs[::-1]))
    for a, b in zip(
        jax.tree.leaves(whole.states),
        jax.tree.leaves([run[f"layer0.{d}"].states for d in ("forward", "backward")]),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    last = jax.tree.map(lambda leaf: leaf[-1], whole.states)
    end = np.concatenate([run.outputs[0][-1, :N], run.outputs[0][0, N:]])
    np.testing.assert_allclose(cells.hidden_output(cell, last), end, rtol=1e-5, atol=1e-6)
    chain = linearize(cell, whole)
    assert list(chain.blocks) == ["forward.h", "forward.c", "backward.h", "backward.c"]
    J = np.asarray(network.chain(run, "layer0.backward").jacobians)
    np.testing.assert_allclose(chain.jacobians[:, 2 * N :, 2 * N :], J, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(chain.jacobians[:, 2 * N :, : 2 * N], 0)
    mapped = cell.map_recurrent(jnp.zeros_like)
    assert mapped is not None and isinstance(mapped.backward, cells.LSTMCell)
    np.testing.assert_array_equal(mapped.backward.weight_hh, 0)
    assert cell.gate_names[-1] == "backward.output"


@pytest.fixture(scope="module")
def padded():
    """Return the network, one sequence of T - 2 steps, and its run and gradients when padded."""
    network = bidirectional()
    inputs = jr.normal(jr.key(1), (T - 2, D))
    longer = jnp.concatenate([inputs, jnp.full((2, D), jnp.nan)])
    return network, inputs, longer


@pytest.mark.as_users
def test_padding_changes_no_bit(padded):
    network, inputs, longer = padded
    plain, run = network(inputs), network(longer, lengths=T - 2)
    for name in network.names:
        ours, theirs = run[name].states, plain[name].states
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_array_equal(a[: T - 1], b)
            np.testing.assert_array_equal(a[T - 1 :], np.stack([b[-1]] * 2))
    for a, b in zip(run.outputs, plain.outputs, strict=True):
        np.testing.assert_array_equal(a[: T - 2], b)
        np.testing.assert_array_equal(a[T - 2 :], 0)
    J, expected = (network.chain(r, "layer0.backward").jacobians for r in (run, plain))
    np.testing.assert_array_equal(J, expected)


def test_nan_in_the_padding_does_not_reach_gradients(padded):
    network, inputs, longer = padded

    @jax.jit
    def gradients(network, longer, length):
        loss = lambda net, x: jnp.sum(jnp.sin(net(x, lengths=length).output))
        return jax.grad(loss, (0, 1), allow_int=True)(network, longer)

    (weights, to_inputs) = gradients(network, longer, T - 2)
    (expected, expected_inputs) = gradients(network, inputs, T - 2)
    np.testing.assert_array_equal(to_inputs[T - 2 :], 0)
    np.testing.assert_array_equal(to_inputs[: T - 2], expected_inputs)
    for a, b in zip(jax.tree.leaves(weights), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.any(np.asarray(a) != 0)


def test_batches_of_different_lengths_by_vmap(padded):
    network, inputs, longer = padded
    batch = jnp.stack([longer, jr.normal(jr.key(2), longer.shape)])
    run = jax.vmap(lambda x, n: network(x, lengths=n))(batch, jnp.array([T - 2, T]))
    np.testing.assert_allclose(run.output[0, : T - 2], network(inputs).output, atol=1e-6)
    np.testing.assert_allclose(run.output[1], network(batch[1]).output, atol=1e-6)


def test_wrong_arguments_raise():
    network = bidirectional()
    with pytest.raises(ValueError, match="at least one layer"):
        networks.RecurrentNetwork([])
    with pytest.raises(ValueError, match="state0 of 2 layers; got 1"):
        network(jnp.ones((T, D)), state0=network.initial_state()[:1])
    with pytest.raises(ValueError, match="pair"):
        network(jnp.ones((T, D)), state0=(jnp.zeros(3), network.initial_state()[1]))
    cell = network.layers[0]
    with pytest.raises(ValueError, match="input .* a pair, .* got an array of shape"):
        cell(cell.initial_state(), jnp.ones(D))
    masked = cells.MaskedCell(cells.VanillaCell(D, N, key=KEYS[0]))
    with pytest.raises(ValueError, match=r"expected input \(x, keep\)"):
        masked(jnp.zeros(N), jnp.ones(D))
    with pytest.raises(ValueError, match="one boolean; got .*float"):
        masked(jnp.zeros(N), (jnp.ones(D), jnp.ones(D)))
