"""Keras's cells behind `KerasCell`, against Keras itself on JAX."""

import doctest

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax import _activations, cells

keras = pytest.importorskip("keras", reason="keras is not installed: extra peers")

D, N = 3, 4
X = jnp.asarray([0.3, -1.0, 0.7], jnp.float32)
LSTM = (("h", "c"), ("input", "forget", "output"), 4)
GRU = (("h",), ("update", "reset"), 3)

# cell -> options, state names, gate names, number of recurrent blocks
TABLE = {
    "LSTMCell": ({}, *LSTM),
    "GRUCell": ({}, *GRU),
    "GRUCell, reset before": ({"reset_after": False, "recurrent_dropout": 0.5}, *GRU),
    "SimpleRNNCell": ({"dropout": 0.5}, ("h",), (), 1),
}


@pytest.fixture(autouse=True)
def _keras_promotes():
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


def random_like(tree, seed):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape), a.dtype), tree)


def make(name):
    """Return the built layer with random weights, and a state."""
    layer = getattr(keras.layers, name.split(",")[0])(
        N,
        kernel_initializer="zeros",
        recurrent_initializer="zeros",
        **TABLE[name][0],
    )
    layer.build((None, D))
    for variable in layer.trainable_variables:
        variable.assign(random_like(variable.value, len(variable.path)))
    names = TABLE[name][1]
    return layer, random_like([jnp.zeros(N, jnp.float32)] * len(names), 1)


@pytest.mark.parametrize("name", TABLE)
def test_keras_cell_equals_the_layer(name):
    _, state_names, gate_names, blocks = TABLE[name]
    layer, state = make(name)
    cell = cells.KerasCell(layer)

    def by_keras(weights, state):
        batch = [a[None] for a in state]
        frozen = [v.value for v in layer.non_trainable_variables]
        (_, new), _ = layer.stateless_call(weights, frozen, X[None], batch)
        return [a[0] for a in new]

    def by_cell(weights, state):
        return eqx.tree_at(lambda c: c.trainable, cell, weights)(state, X)

    @jax.jit
    def compared(weights, state):
        steps = (by_cell, by_keras)
        news = [step(weights, state) for step in steps]
        return news, [jax.jacrev(step, argnums=(0, 1))(weights, state) for step in steps]

    (new, expected), jacobians = compared(cell.trainable, state)
    assert jax.tree.structure(new) == jax.tree.structure(cell.initial_state())
    for a, b in zip(*map(jax.tree.leaves, (new, expected)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    for a, b in zip(*map(jax.tree.leaves, jacobians), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert all(a.shape == (N,) and not np.any(a) for a in cell.initial_state())
    assert (cell.state_names, cell.gate_names) == (state_names, gate_names)
    assert _activations.activation_kinds(cell, state, X).count("sigmoid") == len(gate_names)

    seen = []
    mapped = cell.map_recurrent(lambda block: seen.append(block) or jnp.zeros_like(block))
    assert mapped is not None and [block.shape for block in seen] == [(N, N)] * blocks
    changed = [a for a, b in zip(cell.trainable, mapped.trainable, strict=True) if a is not b]
    assert [a.shape for a in changed] == [(N, blocks * N)]
    if name == "SimpleRNNCell":  # the block multiplies the column h from the left
        kernel, recurrent, bias = cell.trainable
        np.testing.assert_allclose(
            new[0], np.tanh(seen[0] @ state[0] + X @ kernel + bias), atol=1e-6
        )
        np.testing.assert_array_equal(seen[0], recurrent.T)


@pytest.mark.parametrize("name", ["LSTMCell", "GRUCell"])
def test_shapes_are_checked(name):
    layer, state = make(name)
    cell = cells.KerasCell(layer)
    for call in (
        lambda: cell(state, jnp.stack([X, X])),
        lambda: cell([jnp.stack([a, a]) for a in state], X),
        lambda: cell(X, state),
        lambda: cell(state[0], X),
    ):
        with pytest.raises(ValueError, match=r"KerasCell expected .*cell\(state, input\)"):
            call()


def test_stacked_cells():
    parts = [keras.layers.SimpleRNNCell(n, recurrent_initializer="ones") for n in (N, 2)]
    layer = keras.layers.StackedRNNCells(parts)
    layer.build((None, D))
    cell = cells.KerasCell(layer)
    state = random_like(cell.initial_state(), 1)
    new = cell(state, X)
    lower = cells.KerasCell(parts[0])(state[0], X)
    np.testing.assert_allclose(new[0][0], lower[0], atol=1e-6)
    np.testing.assert_allclose(
        new[1][0], cells.KerasCell(parts[1])(state[1], lower[0])[0], atol=1e-6
    )
    assert (cell.state_names, cell.gate_names, cell.map_recurrent(abs)) == (None, (), None)


def test_variables_are_a_snapshot():
    layer, state = make("SimpleRNNCell")
    cell = cells.KerasCell(layer)
    before = cell(state, X)[0]
    for variable in layer.trainable_variables:
        variable.assign(0 * variable.value)
    np.testing.assert_array_equal(cell(state, X)[0], before)
    layer.trainable = False  # nothing of it is then a parameter that could be mapped
    assert cells.KerasCell(layer).map_recurrent(jnp.tril) is None


def test_what_is_no_cell_raises(monkeypatch):
    with pytest.raises(TypeError, match="Keras 3 cell such as keras.layers.LSTMCell; got Dense"):
        cells.KerasCell(keras.layers.Dense(3))
    with pytest.raises(TypeError, match=r"runs over a whole sequence.*KerasCell\(layer.cell\)"):
        cells.KerasCell(keras.layers.LSTM(3))
    with pytest.raises(ValueError, match=r"no weights yet.*layer.build\(\(None, input_size\)\)"):
        cells.KerasCell(keras.layers.LSTMCell(3))
    with pytest.raises(TypeError, match=r"Keras layer LSTM. .*KerasCell\(layer.cell\)"):
        cells.as_cell(keras.layers.LSTM(3))
    with pytest.raises(TypeError, match=r"Keras layer GRUCell. .*KerasCell\(layer\)"):
        cells.as_cell(keras.layers.GRUCell(3))
    layer, state = make("SimpleRNNCell")
    with pytest.raises(ValueError, match=r"state in float32.*got \[f16\[4\]\]"):
        cells.KerasCell(layer)([state[0].astype(jnp.float16)], X)
    monkeypatch.setattr(keras.config, "backend", lambda: "torch")
    with pytest.raises(ValueError, match="runs on 'torch'.*KERAS_BACKEND=jax before"):
        cells.KerasCell(layer)


def test_example_of_the_docstring():
    """Doctest leaves it out, because Keras is an extra."""
    (example,) = doctest.DocTestFinder(recurse=False).find(cells.KerasCell, globs=dict(vars(cells)))
    for line in example.examples:
        line.options.pop(doctest.SKIP)
    assert doctest.DocTestRunner().run(example) == (0, len(example.examples))
