import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from vanishing_jax import rollout
from vanishing_jax.cells import FunctionCell, GRUCell, LSTMCell, StackedCell, VanillaCell
from vanishing_jax.tasks import digits
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
