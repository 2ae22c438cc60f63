"""Training with the hooks of mitigations and with batch normalization, against updates by hand."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

from vanishing_jax import cells, mitigations
from vanishing_jax.cells import BatchNormCell
from vanishing_jax.tasks import Adding
from vanishing_jax.training import SequenceModel, _train
from vanishing_jax.training._objective import Hooks, objective
from vanishing_jax.training._parameters import split

from .small import FirstSign, run, small_model

KEY, BATCH = jr.key(5), 4
PENALTY = mitigations.soft_orthogonality(0.3).penalty
SETTINGS: dict[str, Any] = dict(optimizer=optax.sgd(0.5), steps=2, record_every=1)
PROJECT = mitigations.singular_value_band(0.01).project


def close(found, expected, rtol=1e-4):
    for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-6)


def test_penalty_and_projection_agree_with_updates_written_out():
    model, task = small_model(), FirstSign()
    trained, history = run(model, penalty=PENALTY, project=PROJECT, **SETTINGS)

    @jax.jit
    def update(model, batch):
        def loss(m):
            own = task.loss(jax.vmap(m)(batch[0]), batch[1])
            w = m.cell.weight_hh
            return own + 0.3 * jnp.sum(jnp.square(w.T @ w - jnp.eye(4))), own

        (_, own), gradient = jax.value_and_grad(loss, has_aux=True)(model)
        return jax.tree.map(lambda w, g: w - 0.5 * g, model, gradient), own, gradient

    for number in (1, 2):
        model, own, gradient = update(model, task.sample(jr.fold_in(KEY, number), BATCH))
        u, s, vt = np.linalg.svd(np.asarray(model.cell.weight_hh))
        projected = jnp.asarray((u * np.clip(s, 0.99, 1.01)) @ vt)
        assert np.abs(projected - model.cell.weight_hh).max() > 1e-3
        model = eqx.tree_at(lambda m: m.cell.weight_hh, model, projected)
        np.testing.assert_allclose(history.loss[number - 1], own, rtol=1e-4)
        norm = np.sqrt(sum(np.sum(np.square(g)) for g in jax.tree.leaves(gradient)))
        np.testing.assert_allclose(history.gradient_norm[number - 1], norm, rtol=1e-4)
    close(trained, model)


def test_a_projection_that_is_not_finite_ends_training():
    # The program of the test above: the margin is data.
    spoil = jax.tree.map(lambda margin: margin * jnp.nan, PROJECT)
    model, history = run(small_model(), penalty=PENALTY, project=spoil, **SETTINGS)
    assert history.nonfinite_leaf == "cell.weight_hh after its update"
    assert history.nonfinite_step == 1 and eqx.tree_equal(model, small_model())


def batch_norm_model():
    cell = BatchNormCell(cells.VanillaCell(1, 4, key=jr.key(0)), num_steps=3)
    return SequenceModel(cell, 1, key=jr.key(1))


def by_hand(model, batch, shift):
    """Return the loss on batch statistics and these, step by step over the whole batch.

    `shift` is added to the last h: the gradient with respect to it is that with respect to h_T.
    """
    norm, plain, (inputs, targets) = model.cell, model.cell.cell, batch
    h, means, variances = jnp.zeros((BATCH, 4)), [], []
    for t in range(3):
        parts = {"recurrent": h @ plain.weight_hh.T, "input": inputs[:, t] @ plain.weight_xh.T}
        means.append({name: jnp.mean(a, axis=0) for name, a in parts.items()})
        variances.append({name: jnp.var(a, axis=0) for name, a in parts.items()})
        preactivation = plain.bias[None]
        for name, a in parts.items():
            deviation = jnp.sqrt(variances[-1][name] + 1e-5)
            scaled = (a - means[-1][name][None]) / deviation[None]
            preactivation = preactivation + norm.gain[name][None] * scaled
        h = jnp.tanh(preactivation)
    loss = FirstSign().loss((h + shift) @ model.weight.T + model.bias[None], targets)
    stacked = [jax.tree.map(lambda *rows: jnp.stack(rows), *x) for x in (means, variances)]
    return loss, tuple(stacked)


@pytest.mark.slow
def test_batch_normalization_agrees_with_updates_written_out(monkeypatch):
    settled, seen = _train.settled, []

    def spy(model, *rest):
        seen.append(model.cell.statistics)
        return settled(model, *rest)

    monkeypatch.setattr(_train, "settled", spy)
    monkeypatch.setattr(_train, "_LARGE_BATCH", BATCH)
    model, names = batch_norm_model(), ("recurrent", "input")
    moving = tuple({name: fill((3, 4)) for name in names} for fill in (np.zeros, np.ones))
    # Decay of whatever the optimizer sees: statistics must not be among it.
    optimizer = optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.5))
    settings = {**SETTINGS, "optimizer": optimizer, "checkpoint": True}
    trained, history = run(model, record=("gradient_profile",), **settings)
    update = jax.jit(jax.value_and_grad(by_hand, argnums=(0, 2), has_aux=True))
    for row, number in enumerate((1, 2)):
        batch = FirstSign().sample(jr.fold_in(KEY, number), BATCH)
        (loss, found), (gradient, last) = update(model, batch, jnp.zeros((BATCH, 4)))
        moving = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, moving, found)
        model = jax.tree.map(lambda w, g: w - 0.5 * (g + 0.1 * w), model, gradient)
        np.testing.assert_allclose(history.loss[row], loss, rtol=1e-4)
        # Recorders see the statistics of the batch, too.
        profile = history.records["gradient_profile"][row]
        np.testing.assert_allclose(profile[-1], np.log(np.linalg.norm(last)), rtol=1e-4)
    close(seen[0], moving)
    # At the end those of a batch that no update has seen.
    batch = FirstSign().sample(jr.fold_in(KEY, 0), BATCH)
    (_, found), _ = update(model, batch, jnp.zeros((BATCH, 4)))
    close(trained.cell.statistics, found)
    close(*(eqx.tree_at(lambda m: m.cell.statistics, m, ()) for m in (trained, model)))


@pytest.mark.parametrize("make", [small_model, batch_norm_model])
def test_checkpoints_reach_the_model(make):
    batch = FirstSign().sample(KEY, BATCH)
    parts = split(make())
    for checkpoint in (False, True):

        def loss(params, checkpoint=checkpoint):
            now = parts._replace(params=params)
            return objective(now, FirstSign(), batch, Hooks(), checkpoint=checkpoint, key=KEY)[0]

        program = str(jax.make_jaxpr(loss)(parts.params))
        assert ("remat" in program) == checkpoint


def test_what_takes_a_sequence_model_says_so():
    plain = eqx.nn.Lambda(lambda inputs: inputs[-1])
    model = (jnp.ones(1), plain)
    for settings in ({"penalty": PENALTY}, {"project": PROJECT}, {"checkpoint": True}):
        with pytest.raises(TypeError, match="expected a SequenceModel for .*; got tuple"):
            run(model, **settings)


def test_batch_normalization_of_ragged_sequences_is_refused():
    task = Adding(24, variant="pascanu")
    cell = cells.BatchNormCell(cells.VanillaCell(2, 3, key=jr.key(0)), num_steps=24)
    with pytest.raises(ValueError, match="sequences of one length for batch normalization"):
        run(SequenceModel(cell, 1, key=jr.key(1)), task)
