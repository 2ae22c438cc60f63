import jax
import jax.numpy as jnp
import numpy as np
import pytest

from . import helpers

pytestmark = pytest.mark.as_users


@pytest.fixture
def vj():
    import vanishing_jax

    return vanishing_jax


def test_states_against_a_python_loop(vj):
    cell = vj.cells.LSTMCell(2, 3, key=jax.random.key(0))
    inputs = jax.random.normal(jax.random.key(1), (5, 2))
    states = [cell.initial_state()]
    for x in inputs:
        states.append(cell(states[-1], x))
    expected = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    found = vj.rollout(cell, cell.initial_state(), inputs)
    helpers.assert_tree_allclose(found.states, expected, rtol=1e-6, atol=1e-7)
    assert found.num_steps == 5 and "steps=5" in repr(found)


def test_any_state_any_input_and_one_step(vj):
    def step(w, state, input):
        return {"h": w * state["h"] + input["x"], "count": state["count"] + 1}

    cell = vj.FunctionCell(step, jnp.asarray(0.5))
    state0 = {"h": jnp.ones(2), "count": jnp.asarray(0)}
    found = vj.rollout(cell, state0, {"x": jnp.zeros((1, 2))})
    np.testing.assert_array_equal(found.states["h"], [[1, 1], [0.5, 0.5]])
    np.testing.assert_array_equal(found.states["count"], [0, 1])


def test_transforms(vj):
    cell = vj.cells.VanillaCell(1, 3, key=jax.random.key(0))
    inputs = jax.random.normal(jax.random.key(1), (4, 6, 1))
    state0 = cell.initial_state()
    run = lambda x: vj.rollout(cell, state0, x).states
    batch = jax.vmap(jax.jit(run))(inputs)
    assert batch.shape == (4, 7, 3)
    np.testing.assert_allclose(batch[2], run(inputs[2]), atol=1e-6)
    assert jnp.all(jnp.isfinite(jax.grad(lambda x: run(x)[-1].sum())(inputs[0])))


def test_traces_the_cell_a_fixed_number_of_times(vj):
    calls = []

    def step(w, state, input):
        calls.append(None)
        return w * state + input

    cell = vj.FunctionCell(step, jnp.asarray(0.5))
    jax.jit(lambda x: vj.rollout(cell, jnp.ones(1), x).states)(jnp.zeros((50, 1)))
    assert len(calls) <= 3  # the structure check, the scan body, its carry's fixed point
