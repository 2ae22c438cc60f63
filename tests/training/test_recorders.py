import inspect
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

from vanishing_jax import cells
from vanishing_jax.tasks import Padded, TimeSeries
from vanishing_jax.training import SequenceModel, readout_loss
from vanishing_jax.training._parameters import split
from vanishing_jax.training._recorders import RECORDERS, Update

from .small import FirstSign, run, small_model

SGD = optax.chain(optax.clip_by_global_norm(0.2), optax.sgd(0.3))
SETTINGS: dict[str, Any] = dict(
    optimizer=SGD, steps=5, record_every=3, record=tuple(RECORDERS), key=jr.key(5)
)


@pytest.fixture(scope="module")
def history():
    return run(small_model(), **SETTINGS)[1]


@pytest.fixture(scope="module")
def updates():
    """Return (model before, batch, gradient, its norm, loss) of updates 1 to 5, by hand."""
    model, task, found = small_model(), FirstSign(), []
    grad = jax.jit(jax.value_and_grad(lambda m, x, y: task.loss(jax.vmap(m)(x), y)))
    for number in range(1, 6):
        batch = task.sample(jr.fold_in(jr.key(5), number), 4)
        loss, gradient = grad(model, *batch)
        norm = np.sqrt(sum(np.sum(np.square(g)) for g in jax.tree.leaves(gradient)))
        found.append((model, batch, gradient, norm, loss))
        model = jax.tree.map(
            lambda w, g: w - 0.3 * g * min(1, 0.2 / norm),  # noqa: B023
            model,
            gradient,
        )
    return found


def test_shapes_and_labels(history):
    shapes = {name: record.shape for name, record in history.records.items()}
    assert shapes == {
        "gradient_profile": (2, 4),
        "saturation": (2, 1),
        "update_ratio": (2, 5),
        "exponents": (2, 4),
    }
    names = ("cell.weight_hh", "cell.weight_xh", "cell.bias", "weight", "bias")
    assert history.labels == {"saturation": ("tanh",), "update_ratio": names}


def test_gradient_profile_is_of_the_update_that_ends_the_record(history, updates):
    for row, (model, (inputs, targets), *_) in zip((0, 1), (updates[2], updates[4]), strict=True):

        def states(shifts):
            h, found = jnp.zeros((4, 4)) + shifts[0], []  # batch hidden
            for t in range(3):
                found.append(h)
                h = jnp.tanh(
                    h @ model.cell.weight_hh.T  # noqa: B023
                    + inputs[:, t] @ model.cell.weight_xh.T  # noqa: B023
                    + model.cell.bias[None]  # noqa: B023
                )
                h = h + shifts[t + 1]
            return jnp.stack([*found, h], axis=1)

        loss = readout_loss(model, FirstSign(), targets)
        gradient = jax.grad(lambda s, loss=loss: loss(states(s)))(jnp.zeros((4, 4, 4)))
        expected = np.log([np.linalg.norm(g) for g in np.asarray(gradient)])
        np.testing.assert_allclose(history.records["gradient_profile"][row], expected, atol=1e-4)


def test_update_ratio_is_that_of_each_array(history, updates):
    last, _, gradient, norm, _ = updates[4]
    step = 0.3 * min(1, 0.2 / norm)
    expected = [
        step * np.linalg.norm(g) / np.linalg.norm(w)
        for w, g in zip(*map(jax.tree.leaves, (last, gradient)), strict=True)
    ]
    np.testing.assert_allclose(history.records["update_ratio"][1], expected, rtol=1e-3)


def test_history_prints_both_ends(history):
    text = str(history)
    profile = history.records["gradient_profile"][:, 0]
    assert f"log ||dL/ds_0|| {profile[0]:.4g} -> {profile[1]:.4g}" in text
    ratios = np.median(history.records["update_ratio"], axis=1)
    assert f"median update ratio {ratios[0]:.4g} -> {ratios[1]:.4g}" in text


def test_recording_changes_no_update(history, updates):
    losses = [loss for *_, loss in updates]
    np.testing.assert_allclose(history.loss, [np.mean(losses[:3]), np.mean(losses[3:])], rtol=1e-4)


def update_of(cell, inputs, task=None) -> Update:
    task = FirstSign() if task is None else task
    model = SequenceModel(cell, 1, key=jr.key(0))
    params = split(model).params
    return Update(model, task, inputs, None, params, params)


def linear(diagonal):
    cell = cells.VanillaCell(1, len(diagonal), activation="identity", key=jr.key(0))
    return eqx.tree_at(lambda c: c.weight_hh, cell, jnp.diag(jnp.asarray(diagonal)))


@pytest.mark.as_users
def test_exponents_are_the_logs_of_a_diagonal_recurrence():
    record = eqx.filter_jit(RECORDERS["exponents"].record)
    inputs = jnp.ones((2, 200, 1))
    weights = [0.2, -1.5, 0.9, 0.0, 0.6]
    found = record(update_of(linear(weights), inputs))
    np.testing.assert_allclose(found, np.log([1.5, 0.9, 0.6, 0.2]), atol=1e-4)
    assert np.all(record(update_of(linear([0.0] * 5), inputs)) == -np.inf)


def test_exponents_end_where_the_sequence_does():
    # The slope of tanh is 1 at h = 0, where inputs of 0 leave it, and less where they are 1.
    cell = cells.VanillaCell(1, 1, key=jr.key(0))
    cell = eqx.tree_at(
        lambda c: (c.weight_hh, c.weight_xh), cell, (jnp.full((1, 1), 0.5), jnp.ones((1, 1)))
    )
    values = jnp.zeros((1, 90, 1)).at[:, 30:].set(1.0)
    inputs = Padded(values, jnp.array([30], jnp.int32))
    found = eqx.filter_jit(RECORDERS["exponents"].record)(update_of(cell, inputs))
    np.testing.assert_allclose(found, np.log([0.5]), rtol=1e-5)


def test_saturation_counts_units_and_leaves_padding_out():
    # Units with weight 0 stay at bias; tanh' < 0.1 beyond 1.818.
    cell = cells.VanillaCell(1, 4, key=jr.key(0))
    cell = eqx.tree_at(
        lambda c: (c.weight_hh, c.weight_xh, c.bias),
        cell,
        (jnp.zeros((4, 4)), jnp.array([[0.0], [0.0], [1.0], [1.0]]), jnp.array([2.0, 1.0, 0, 0])),
    )
    x = np.zeros((3, 4, 1))
    x[0, :2] = 5  # both steps of a sequence of two
    x[0, 2:] = np.nan
    task = TimeSeries(np.nan_to_num(x), np.zeros((3, 1)), np.array([2, 4, 4]), num_test=1)
    inputs, _ = task.sample(jr.key(0), 3)
    inputs = eqx.tree_at(
        lambda p: (p.values, p.length),
        inputs,
        (jnp.asarray(x), jnp.array([2, 4, 4], inputs.length.dtype)),
    )
    found = eqx.filter_jit(RECORDERS["saturation"].record)(update_of(cell, inputs, task))
    np.testing.assert_allclose(found, [(10 * 1 + 2 * 2) / 40], rtol=1e-6)


def test_every_recorder_says_what_it_returns():
    for name, recorder in RECORDERS.items():
        assert recorder.record.__name__ == name
        assert (inspect.getdoc(recorder.record) or "").startswith("Return")


def test_what_cannot_be_recorded_is_refused():
    with pytest.raises(ValueError, match="'gradient_profile', 'saturation', .*got 'clips'"):
        run(small_model(), record=("clips",))


def test_what_rolls_a_cell_out_takes_a_sequence_model():
    with pytest.raises(TypeError, match="'exponents' takes a SequenceModel; got tuple"):
        run((jnp.ones(1),), record=("exponents",))
