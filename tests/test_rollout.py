import jax
import jax.numpy as jnp
import numpy as np
import pytest

from . import helpers


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


@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        (lambda p, s, x: (s, s), ValueError, "Its first element is the state"),
        (lambda p, s, x: s[:1], ValueError, "must return its state's structure"),
        (lambda p, s, x: s.astype(jnp.float16), ValueError, "returned: f16"),
        (lambda p, s, x: s if float(s[0]) > 0 else x, TypeError, "JAX can trace"),
    ],
)
def test_cells_that_do_not_fit(vj, step, error, message):
    with pytest.raises(error, match=message):
        vj.rollout(vj.FunctionCell(step, None), jnp.ones(2), jnp.ones((3, 2)))


@pytest.mark.parametrize(
    ("state0", "inputs", "message"),
    [
        (jnp.ones(2), jnp.zeros((0, 2)), "length 0"),
        (jnp.ones(2), {"a": jnp.zeros((3, 2)), "b": jnp.zeros((4, 2))}, "one length"),
        (jnp.ones(2), jnp.asarray(1.0), "leading time axis"),
        (jnp.ones(2), {}, "at least one input"),
        (jnp.zeros(2, jnp.int32), jnp.zeros((3, 2)), "floating-point"),
    ],
)
def test_bad_input(vj, state0, inputs, message):
    with pytest.raises(ValueError, match=message):
        vj.rollout(vj.FunctionCell(lambda p, s, x: s, None), state0, inputs)


def test_a_plain_function_is_not_guessed_at(vj):
    with pytest.raises(TypeError, match="FunctionCell"):
        vj.rollout(lambda s, x: s, jnp.ones(2), jnp.ones((3, 2)))


def test_object_arrays_and_float64_are_named(vj):
    cell = vj.FunctionCell(lambda p, s, x: s, None)
    with pytest.raises(TypeError, match="dtype object"):
        vj.rollout(cell, jnp.ones(2), np.array([[None]], dtype=object))
    if jnp.result_type(float) == jnp.float32:
        with pytest.warns(UserWarning, match="jax_enable_x64 is off"):
            vj.rollout(cell, jnp.ones(2), np.zeros((3, 2)))
