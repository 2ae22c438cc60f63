import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from vanishing_jax import rollout
from vanishing_jax.cells import FunctionCell, GRUCell, LSTMCell, StackedCell, VanillaCell
from vanishing_jax.tasks import Padded, TimeSeries, digits
from vanishing_jax.training import SequenceModel, readout_loss

CELLS = {
    "vanilla": lambda key: VanillaCell(1, 4, key=key),
    "lstm": lambda key: LSTMCell(1, 4, key=key),
    "gru": lambda key: GRUCell(1, 4, key=key),
    "stacked": lambda key: StackedCell([LSTMCell(1, 3, key=key), GRUCell(3, 4, key=key)]),
}


@pytest.fixture(params=CELLS)
def model(request):
    key_cell, key_readout = jr.split(jr.key(1))
    return SequenceModel(CELLS[request.param](key_cell), 10, key=key_readout)


def hidden_of(states):
    """Return the hidden vectors of the top layer, written out for the four kinds of cell."""
    while isinstance(states, tuple):
        states = states[-1] if isinstance(states[0], tuple) else states[0]
    return states


def test_output_is_the_readout_of_the_last_state_of_the_rollout(model):
    inputs = jr.normal(jr.key(2), (3, 1))
    states = rollout(model.cell, model.cell.initial_state(), inputs).states
    expected = hidden_of(states)[-1] @ model.weight.T + model.bias
    np.testing.assert_allclose(model(inputs), expected, rtol=1e-5, atol=1e-6)
    stepwise = SequenceModel(model.cell, 10, every_step=True, key=jr.split(jr.key(1))[1])
    expected = hidden_of(states)[1:] @ model.weight.T + np.asarray(model.bias)[None]
    np.testing.assert_allclose(stepwise(inputs), expected, rtol=1e-5, atol=1e-6)


def test_readout_loss_of_the_rollouts_is_the_loss_of_the_model(model):
    task = digits()
    inputs, targets = task.sample(jr.key(3), 2)
    loss = readout_loss(model, task, targets)

    def run(x):
        return rollout(model.cell, model.cell.initial_state(), x).states

    states = jax.vmap(run)(inputs)
    expected = task.loss(jax.vmap(model)(inputs), targets)
    np.testing.assert_allclose(loss(states), expected, rtol=1e-5)
    # One sequence alone, and what back-propagation starts from: only the last state counts.
    single = readout_loss(model, task, targets[0])
    gradient = hidden_of(jax.grad(single)(run(inputs[0])))
    assert gradient.shape == (65, 4)
    assert np.all(gradient[:-1] == 0) and np.any(gradient[-1] != 0)


def test_readout_losses_of_two_models_share_their_compilation():
    traced = []

    @jax.jit
    def evaluate(loss, states):
        traced.append(None)
        return loss(states)

    task, states = digits(), jnp.ones((2, 3, 4))
    _, targets = task.sample(jr.key(3), 2)
    for seed in (0, 1):
        model = SequenceModel(VanillaCell(1, 4, key=jr.key(seed)), 10, key=jr.key(seed))
        expected = task.loss(model.read(states)[:, -1], targets)
        found = evaluate(readout_loss(model, task, targets), states)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert len(traced) == 1


LENGTHS = np.array([2, 4, 1], np.int32)


def ragged(every_step, labels, garbage):
    """Return a task, and a batch of sequences of 2, 4 and 1 steps with `garbage` beyond."""
    rng = np.random.RandomState(0)
    x = rng.normal(size=(3, 4, 1))
    y = rng.randint(0, 2, (3, 4)) if labels else rng.normal(size=(3, 4, 2))
    y[0, 0] = 1
    task = TimeSeries(x, y if every_step else y[:, 0], LENGTHS, num_test=1)
    beyond = np.arange(4) >= LENGTHS[:, None]
    x[beyond] = garbage
    y[beyond] = 10**6 if labels else garbage
    dtype, length = jnp.result_type(float), jnp.asarray(LENGTHS)
    y = jnp.asarray(y if every_step else y[:, 0], jnp.int32 if labels else dtype)
    return task, Padded(jnp.asarray(x, dtype), length), Padded(y, length)


def ragged_model(every_step):
    cell = VanillaCell(1, 3, key=jr.key(0))
    return SequenceModel(cell, 2, every_step=every_step, key=jr.key(1))


def loss_of_each_sequence_alone(model, inputs, targets, every_step, labels):
    """Return the mean loss of the sequences cut off where they end, written out."""
    model, x, y = jax.tree.map(np.asarray, (model, inputs.values, targets.values))
    losses = []
    for i, length in enumerate(LENGTHS):
        h, outputs = np.zeros(3), []
        for t in range(length):
            h = np.tanh(model.cell.weight_hh @ h + model.cell.weight_xh @ x[i, t] + model.cell.bias)
            outputs.append(model.weight @ h + model.bias)
        pairs = zip(outputs, y[i], strict=False) if every_step else [(outputs[-1], y[i])]
        losses.append(
            [np.log(np.exp(o).sum()) - o[z] if labels else np.mean((o - z) ** 2) for o, z in pairs]
        )
    return np.mean([np.mean(of_one) for of_one in losses])


@pytest.mark.as_users
@pytest.mark.parametrize(
    "every_step, labels", [(False, False), (True, False), (False, True), (True, True)]
)
def test_padding_changes_neither_loss_nor_gradient_in_a_bit(every_step, labels):
    model, found = ragged_model(every_step), []
    task = ragged(every_step, labels, 0.0)[0]

    @eqx.filter_jit
    def run(model, inputs, targets):
        def loss(model):
            outputs = jax.vmap(model)(inputs)
            return task.loss(outputs, targets), task.metric(outputs, targets)

        return eqx.filter_value_and_grad(loss, has_aux=True)(model)

    for garbage in (0.0, -3e38, np.nan):
        _, inputs, targets = ragged(every_step, labels, garbage)
        found.append(run(model, inputs, targets))
    (loss, _), gradient = found[0]
    assert all(np.any(np.asarray(leaf) != 0) for leaf in jax.tree.leaves(gradient))
    assert eqx.tree_equal(*found)
    expected = loss_of_each_sequence_alone(model, inputs, targets, every_step, labels)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.as_users
def test_padding_does_not_let_an_exploding_state_overflow():
    # h <- 2 h + x overflows within 2000 steps; the sequence ends after 3, at h = w^2 + w + 1.
    cell = VanillaCell(1, 1, activation="identity", key=jr.key(0))
    cell = eqx.tree_at(
        lambda c: (c.weight_hh, c.weight_xh), cell, (jnp.full((1, 1), 2.0), jnp.ones((1, 1)))
    )
    model = SequenceModel(cell, 1, key=jr.key(1))
    inputs = Padded(jnp.ones((2000, 1)), jnp.asarray(3, jnp.int32))
    value, gradient = eqx.filter_value_and_grad(lambda m: m(inputs)[0])(model)
    np.testing.assert_allclose(value, 7 * model.weight[0, 0], rtol=1e-6)
    np.testing.assert_allclose(gradient.cell.weight_hh, 5 * model.weight, rtol=1e-6)


@pytest.mark.parametrize("every_step", [False, True])
def test_readout_loss_of_padded_sequences_starts_where_each_ends(every_step):
    model, (task, inputs, targets) = ragged_model(every_step), ragged(every_step, False, 5.0)

    @jax.jit
    def run(x):
        states = jax.vmap(lambda x: rollout(model.cell, model.cell.initial_state(), x).states)(x)
        loss, gradient = jax.value_and_grad(readout_loss(model, task, targets))(states)
        first = jax.tree.map(lambda leaf: leaf[0], (states, targets))
        return loss, gradient, readout_loss(model, task, first[1])(first[0])

    loss, gradient, first = run(inputs.values)
    expected = loss_of_each_sequence_alone(model, inputs, targets, every_step, False)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    moments, reached = np.arange(5), np.any(np.asarray(gradient) != 0, axis=-1)
    begin = 1 if every_step else LENGTHS[:, None]
    np.testing.assert_array_equal(reached, (moments >= begin) & (moments <= LENGTHS[:, None]))
    assert first.shape == () and 0 < first < 3 * loss


def test_readout_starts_with_glorot_weights_and_zero_bias():
    model = SequenceModel(VanillaCell(1, 50, key=jr.key(0)), 30, key=jr.key(1))
    assert model.weight.shape == (30, 50)
    bound = np.sqrt(6 / 80)
    assert 0.95 * bound < np.abs(model.weight).max() <= bound
    assert np.all(np.asarray(model.bias) == 0)


def test_what_is_no_cell_or_knows_no_state_is_refused():
    with pytest.raises(TypeError, match="expected a cell"):
        SequenceModel(jnp.tanh, 2, key=jr.key(0))
    with pytest.raises(ValueError, match="does not know the shape of its state"):
        SequenceModel(FunctionCell(lambda p, s, x: s, ()), 2, key=jr.key(0))
