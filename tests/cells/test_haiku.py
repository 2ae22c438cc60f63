"""Haiku's cores behind `HaikuCell`, against Haiku itself."""

import doctest
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax import _activations, cells

from .. import helpers

hk = pytest.importorskip("haiku", reason="dm-haiku is not installed: extra peers")

D, N = 3, 4
X = jnp.asarray([0.3, -1.0, 0.7], jnp.float32)

# core -> state names, gate names, number of recurrent blocks
CORES = {
    "LSTM": (("h", "c"), ("forget", "input", "output"), 4),
    "GRU": (("h",), ("update and reset",), 3),
    "VanillaRNN": (("h",), (), 1),
}


def step(name) -> Any:
    return hk.without_apply_rng(hk.transform(lambda x, s: getattr(hk, name)(N)(x, s)))


def random_like(tree, seed):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape), jnp.float32), tree)


def make(name):
    """Return the cell, the pair that Haiku makes of the same core, parameters and a state."""
    state = hk.LSTMState(jnp.zeros(N), jnp.zeros(N)) if name == "LSTM" else jnp.zeros(N)
    state = random_like(state, 0)
    params = random_like(jax.eval_shape(step(name).init, jax.random.key(0), X, state), 1)
    return cells.HaikuCell(lambda: getattr(hk, name)(N), params), step(name), params, state


def assert_equal(a, b, tolerance=0.0):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", CORES)
def test_haiku_cell_equals_the_core(name):
    state_names, gate_names, blocks = CORES[name]
    cell, pair, params, state = make(name)

    def by_haiku(params, state):
        return pair.apply(params, X, state)[1]

    def by_cell(params, state):
        return eqx.tree_at(lambda c: c.params, cell, params)(state, X)

    def by_pair(params, state):
        return cells.HaikuCell(pair, params)(state, X)

    @jax.jit
    def compared(params, state):
        steps = (by_cell, by_pair, by_haiku)
        news = [step(params, state) for step in steps]
        jacobians = [jax.jacrev(step, argnums=(0, 1))(params, state) for step in steps[::2]]
        return news, jacobians

    (new, again, expected), jacobians = compared(params, state)
    assert jax.tree.structure(new) == jax.tree.structure(state)
    assert_equal(new, expected, 1e-6)
    assert_equal(again, expected, 1e-6)
    assert_equal(*jacobians, tolerance=1e-6)
    zero = cell.initial_state()
    assert jax.tree.structure(zero) == jax.tree.structure(state)
    assert all(a.dtype == np.float32 and not np.any(a) for a in jax.tree.leaves(zero))
    assert (cell.state_names, cell.gate_names) == (state_names, gate_names)
    assert _activations.activation_kinds(cell, state, X).count("sigmoid") == len(gate_names)

    seen = []
    mapped = cell.map_recurrent(lambda block: seen.append(block) or jnp.zeros_like(block))
    assert mapped is not None and [block.shape for block in seen] == [(N, N)] * blocks
    h, other = (
        (state[0], state._replace(hidden=2 * state[0])) if blocks == 4 else (state, 2 * state)
    )
    if name != "GRU":  # without recurrent weights the step does not see h
        assert_equal(mapped(state, X), mapped(other, X))
    if name == "VanillaRNN":  # the block multiplies the column h from the left
        given, bias = (params[f"vanilla_rnn/linear{i}"] for i in ("", "_1"))
        expected = seen[0] @ h + X @ given["w"] + given["b"] + bias["b"]
        np.testing.assert_allclose(cell(state, X), jnp.maximum(expected, 0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", CORES)
def test_shapes_are_checked(name):
    cell, _, _, state = make(name)
    for call in (
        lambda: cell(state, jnp.stack([X, X])),  # Haiku alone would take the batch
        lambda: cell(jax.tree.map(lambda a: jnp.stack([a, a]), state), X),
        lambda: cell(X, state),
    ):
        with pytest.raises(ValueError, match=r"HaikuCell expected .*cell\(state, input\)"):
            call()


class Model(hk.Module):
    """Two cores of one kind in a module, as in a trained model."""

    def __call__(self, inputs):
        for name in ("lower", "upper"):
            core = hk.LSTM(N, name=name)
            inputs, _ = hk.dynamic_unroll(core, inputs, core.initial_state(None))
        return hk.Linear(1)(inputs)


def test_parameters_of_a_larger_model():
    whole = hk.transform(lambda xs: Model()(xs))
    with jax.numpy_dtype_promotion("standard"):
        shapes = jax.eval_shape(whole.init, jax.random.key(0), jnp.ones((2, D), jnp.float32))
    params = random_like(shapes, 2)
    cell = cells.HaikuCell(lambda: hk.LSTM(N, name="upper"), params)
    assert list(cell.params) == ["upper/linear"]
    np.testing.assert_array_equal(
        cell.params["upper/linear"]["w"], params["model/upper/linear"]["w"]
    )
    with pytest.raises(ValueError, match=r"'lstm' nowhere.*model/upper/linear.*name="):
        cells.HaikuCell(lambda: hk.LSTM(N), params)
    twice = params | {"other/upper/linear": params["model/upper/linear"]}
    with pytest.raises(ValueError, match=r"several modules, \['model/', 'other/'\]"):
        cells.HaikuCell(lambda: hk.LSTM(N, name="upper"), twice)
    with pytest.raises(ValueError, match="hidden size 5.* have 4"):
        cells.HaikuCell(lambda: hk.LSTM(N + 1, name="upper"), params)


def test_cores_that_are_not_known():
    def build():
        return hk.DeepRNN([hk.GRU(N), jnp.tanh, hk.GRU(2)])

    lower, upper = jnp.zeros(N, jnp.float32), jnp.zeros(2, jnp.float32)
    pair: Any = hk.transform(lambda x, s: build()(x, s))
    params = random_like(jax.eval_shape(pair.init, jax.random.key(0), X, (lower, upper)), 3)
    cell = cells.HaikuCell(build, params)
    state = random_like(cell.initial_state(), 4)
    assert_equal(
        *jax.jit(lambda s: (cell(s, X), pair.apply(params, None, X, s)[1]))(state), tolerance=1e-6
    )
    assert (cell.state_names, cell.gate_names, cell.map_recurrent(abs)) == (None, (), None)
    assert cells.HaikuCell(pair, params).state_names is None
    with pytest.raises(ValueError, match="pass state0"):
        cells.HaikuCell(pair, params).initial_state()
    with pytest.raises(ValueError, match=r"did not find.*'gru.*' .*params hold \['other'\]"):
        cells.HaikuCell(build, {"other": {"w": X}})(state, X)


def test_what_is_no_core_raises():
    _, pair, params, state = make("GRU")
    with pytest.raises(TypeError, match=r"lambda: hk.LSTM\(64\).*got int"):
        cells.HaikuCell(3, params)
    with pytest.raises(TypeError, match="builds a core.*returned int"):
        cells.HaikuCell(lambda: 3, params)
    with helpers.as_a_user(), pytest.raises(ValueError, match="mapping of module names"):
        cells.HaikuCell(pair, {"w": X})  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="got a transform_with_state"):
        cells.HaikuCell(hk.transform_with_state(lambda x, s: (x, s)), params)
    with pytest.raises(
        ValueError, match=r"core\(input, state\) -> \(output, state\).*got f32\[4\]"
    ):
        cells.HaikuCell(hk.transform(lambda x, s: s), params)(state, X)
    noisy = hk.transform(lambda x, s: (hk.dropout(hk.next_rng_key(), 0.5, x), s))
    with pytest.raises(ValueError, match="deterministic step.*Switch dropout"):
        cells.HaikuCell(noisy, params)(state, X)
    with pytest.raises(TypeError, match=r"hk.transform returns.*HaikuCell\(lambda: hk.LSTM"):
        cells.as_cell(pair)


def test_example_of_the_docstring():
    """Doctest leaves it out, because Haiku is an extra."""
    (example,) = doctest.DocTestFinder(recurse=False).find(cells.HaikuCell, globs=dict(vars(cells)))
    for line in example.examples:
        line.options.pop(doctest.SKIP)
    with jax.numpy_dtype_promotion("standard"):
        assert doctest.DocTestRunner().run(example) == (0, len(example.examples))
