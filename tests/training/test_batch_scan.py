"""The scan with a written-out backward pass against JAX's differentiation of the plain one."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from vanishing_jax import recipes
from vanishing_jax.cells import GRUCell, LSTMCell, StackedCell, VanillaCell, hidden_output
from vanishing_jax.cells._affine import AbstractAffineCell
from vanishing_jax.tasks import Padded
from vanishing_jax.training import SequenceModel

from .small import FirstSign, run

D, N, BATCH = 3, 4, 5
CELLS = {
    "tanh": lambda key: VanillaCell(D, N, key=key),
    "relu": lambda key: VanillaCell(D, N, activation="relu", key=key),
    "no bias": lambda key: VanillaCell(D, N, bias_initializer=None, key=key),
    "lstm": lambda key: LSTMCell(D, N, key=key),
    "gru": lambda key: GRUCell(D, N, key=key),
}


def model_of(name, every_step=False):
    """Return a model none of whose arrays is zero: a fresh bias is, and would hide a wrong one."""
    key_cell, key_readout, key_noise = jr.split(jr.key(0), 3)
    model = SequenceModel(CELLS[name](key_cell), 2, every_step=every_step, key=key_readout)
    arrays, static = eqx.partition(model, eqx.is_inexact_array)
    leaves, treedef = jax.tree.flatten(arrays)
    noise = [jr.normal(jr.fold_in(key_noise, i), x.shape, x.dtype) for i, x in enumerate(leaves)]
    moved = [x + n / 2 for x, n in zip(leaves, noise, strict=True)]
    return eqx.combine(jax.tree.unflatten(treedef, moved), static)


def batch_of(time):
    return jr.normal(jr.key(1), (BATCH, time, D))


def padded_batch_of(time):
    lengths = jnp.asarray([1, time, max(1, time - 2), time, max(1, time // 2)], jnp.int32)
    return Padded(batch_of(time), lengths)


def plain(model, inputs):
    return jax.vmap(model.run)(inputs)


def fast(model, inputs):
    return model.run_batch(inputs)


def loss(arrays, static, values, inputs, forward):
    """Return a number that depends on outputs and final states, with another weight for each."""
    inputs = eqx.tree_at(lambda p: p.values, inputs, values) if static[1] else values
    outputs, states = forward(eqx.combine(arrays, static[0]), inputs)
    total = jnp.zeros((), outputs.dtype)
    for leaf in jax.tree.leaves((outputs, states)):
        weights = jnp.linspace(0.5, 1.5, leaf.size, dtype=leaf.dtype).reshape(leaf.shape)
        total = total + jnp.sum(weights * jnp.sin(leaf))
    return total, (outputs, states)


def results(model, inputs, forward):
    """Return outputs, states, and gradients by the model and by the inputs."""
    arrays, static = eqx.partition(model, eqx.is_inexact_array)
    padded = isinstance(inputs, Padded)
    values = inputs.values if padded else inputs

    @jax.jit
    def differentiate(arrays, values):
        def of(arrays, values):
            return loss(arrays, (static, padded), values, inputs, forward)

        return jax.grad(of, argnums=(0, 1), has_aux=True)(arrays, values)

    return differentiate(arrays, values)


def assert_alike(found, expected):
    # To rounding: sums of some hundred terms of order 1.
    tolerance = 1e-12 if jnp.result_type(float) == jnp.float64 else 2e-4
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(b).max())


@pytest.mark.parametrize("name", CELLS)
def test_every_part_of_an_affine_cell_makes_its_call(name):
    cell = model_of(name).cell
    assert isinstance(cell, AbstractAffineCell)
    state = jax.tree.map(lambda x: x + jnp.linspace(-1, 1, N, dtype=x.dtype), cell.initial_state())
    x, h = jnp.arange(1.0, D + 1), hidden_output(cell, state)
    preactivations = [
        sum(w @ v for w, v in ((m.hidden, h), (m.input, x)) if w is not None)
        + (0 if m.bias is None else m.bias)
        for m in cell.affine_maps()
    ]
    # What is left of the cell without its arrays has to do.
    rest = eqx.filter(cell, eqx.is_array, inverse=True)
    assert_alike(rest.advance(state, preactivations), cell(state, x))


@pytest.mark.parametrize(
    "name, time, every_step, padded",
    [
        ("tanh", 20, False, False),  # two chunks of ten steps
        ("lstm", 11, True, True),  # a prime number: chunks of one
        ("gru", 9, False, True),
        pytest.param("no bias", 6, True, False, marks=pytest.mark.slow),
        pytest.param("relu", 1, False, False, marks=pytest.mark.slow),
    ],
)
def test_gradients_are_those_of_automatic_differentiation(name, time, every_step, padded):
    model, inputs = model_of(name, every_step), (padded_batch_of if padded else batch_of)(time)
    found, expected = (results(model, inputs, forward) for forward in (fast, plain))
    if time > 1:  # from h = 0 one step has no gradient by the recurrent weights
        assert all(np.any(np.asarray(leaf) != 0) for leaf in jax.tree.leaves(expected))
    assert_alike(found, expected)


@pytest.mark.as_users
def test_gradients_survive_saturation():
    # At |preactivation| = 12 the derivative of tanh is 1.5e-10: 1 - tanh^2 is 0 in float32.
    model = model_of("tanh")
    model = eqx.tree_at(lambda m: m.cell.bias, model, jnp.full(N, 12.0))
    model = eqx.tree_at(lambda m: m.cell.weight_hh, model, model.cell.weight_hh / 100)
    found, expected = (results(model, 0 * batch_of(1), forward) for forward in (fast, plain))
    gradient = found[0][0].cell.bias
    assert np.all((np.abs(gradient) > 1e-13) & (np.abs(gradient) < 1e-8))
    np.testing.assert_allclose(gradient, expected[0][0].cell.bias, rtol=1e-5)


@pytest.mark.as_users
@pytest.mark.slow
def test_garbage_beyond_the_end_changes_no_gradient_in_a_bit():
    model, found = model_of("lstm"), []
    for garbage in (0.0, jnp.nan):
        inputs = padded_batch_of(6)
        inside = inputs.mask(6)[..., None]
        values = jnp.where(inside, inputs.values, jnp.asarray(garbage, inputs.values.dtype))
        found.append(results(model, Padded(values, inputs.length), fast))
    assert eqx.tree_equal(*found)


@pytest.mark.slow
@pytest.mark.parametrize("over", ["vmap", "map"])
def test_several_models_at_once(over):
    inputs = batch_of(6)
    arrays, static = eqx.partition(model_of("gru"), eqx.is_inexact_array)
    stacked = jax.tree.map(lambda x: jnp.stack([x, -x / 2]), arrays)

    def gradient(arrays, forward):
        return jax.grad(loss, has_aux=True)(arrays, (static, False), inputs, inputs, forward)

    def together(forward):
        def one(arrays):
            return gradient(arrays, forward)

        return jax.vmap(one)(stacked) if over == "vmap" else jax.lax.map(one, stacked)

    assert_alike(jax.jit(lambda: together(fast))(), jax.jit(lambda: together(plain))())


@pytest.mark.slow
def test_second_derivatives():
    model, inputs = model_of("tanh"), batch_of(4)
    arrays, static = eqx.partition(model, eqx.is_inexact_array)
    tangent = jax.tree.map(jnp.ones_like, arrays)

    def curvature(forward):
        def gradient(arrays):
            return jax.grad(lambda a: loss(a, (static, False), inputs, inputs, forward)[0])(arrays)

        return jax.jit(lambda: jax.jvp(gradient, (arrays,), (tangent,))[1])()

    assert_alike(curvature(fast), curvature(plain))


@pytest.mark.slow
@pytest.mark.parametrize("checkpoint", [False, True])
def test_other_cells_and_checkpoints_run_as_under_vmap(checkpoint):
    key = jr.key(0)
    cell = StackedCell([VanillaCell(D, N, key=key), GRUCell(N, N, key=key)])
    models = [model_of("tanh")] if checkpoint else [SequenceModel(cell, 2, key=key)]
    for model in models:
        found = jax.jit(lambda x, m=model: m.run_batch(x, checkpoint=checkpoint))(batch_of(4))
        assert_alike(found, jax.jit(lambda x, m=model: plain(m, x))(batch_of(4)))


def test_wrong_shapes_are_refused_in_the_words_of_the_cell():
    with pytest.raises(ValueError, match=r"VanillaCell expected input of shape \(3,\)"):
        model_of("tanh").run_batch(jnp.zeros((BATCH, 4, D + 1)))


@pytest.mark.slow
def test_training_is_that_of_any_callable():
    """A model hidden in a function is trained by the plain scan: the same losses come out."""

    class Hidden(eqx.Module):
        model: SequenceModel

        def __call__(self, inputs):
            return self.model(inputs)

    task = FirstSign()
    model, _ = recipes.parse("tanh").build(task, N, key=jr.key(0))
    (_, found), (_, expected) = run(model, task), run(Hidden(model), task)
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-4)
