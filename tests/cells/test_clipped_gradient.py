import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vanishing_jax as vj
from vanishing_jax import cells
from vanishing_jax.diagnostics._gradient_by_lag import gradient_norms, make_batch, run
from vanishing_jax.diagnostics._inputs import Sequences
from vanishing_jax.diagnostics._interventions import unchanged

N, T = 3, 5
WEIGHTS = jnp.array([[2.0, -1.0, 0.5], [0.5, 1.5, 1.0], [-1.0, 0.3, 2.0]])
DIRECT = np.array([[0.1, -0.2, 0.3]] * 4 + [[1.0, 2.0, -0.5]])  # dl/dh_t, t = 1..T


def plain():
    cell = cells.VanillaCell(N, N, activation="identity", key=jax.random.key(0))
    return cell.map_recurrent(lambda _: WEIGHTS.astype(cell.weight_hh.dtype))


def gradient(cell, h0):
    def loss(h0):
        step = lambda h, x: (cell(h, x),) * 2
        _, states = jax.lax.scan(step, h0, jnp.zeros((T, N)))
        return jnp.sum(states * DIRECT)

    return jax.grad(loss)(h0)


def by_norm(g, c):
    return g * min(1, c / np.linalg.norm(g))


def by_value(g, c):
    return np.clip(g, -c, c)


@pytest.mark.as_users
@pytest.mark.parametrize("by, clip", [("norm", by_norm), ("value", by_value)])
def test_agrees_with_the_loop_written_out(by, clip):
    expected = np.zeros(N)
    for direct in DIRECT[::-1]:
        expected = clip(np.asarray(WEIGHTS).T @ (expected + direct), 2.5)
    cell = cells.ClippedGradientCell(plain(), 2.5, by=by)
    found = jax.jit(gradient)(cell, jnp.ones(N))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    unclipped = jax.jit(gradient)(plain(), jnp.ones(N))
    assert np.linalg.norm(unclipped) > 2 * np.linalg.norm(expected)  # it did bind


def test_each_sequence_is_clipped_for_itself_and_small_gradients_are_left_alone():
    cell = cells.ClippedGradientCell(
        cells.FunctionCell(lambda w, h, x: w * h * x, jnp.array(1.0)), 1.0
    )
    back = jax.vmap(jax.grad(lambda h, x: jnp.sum(cell(h, x))), in_axes=(None, 0))
    found = back(jnp.ones(2), jnp.array([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0], [3e30, -4e30]]))
    np.testing.assert_allclose(found, [[0.6, 0.8], [0.3, 0.4], [0, 0], [0.6, -0.8]], rtol=1e-6)


def test_forward_mode_sees_the_cell_inside():
    cell = cells.ClippedGradientCell(plain(), 1e-3)
    h, x = jnp.ones(N), jnp.ones(N)
    np.testing.assert_array_equal(cell(h, x), plain()(h, x))
    np.testing.assert_array_equal(jax.jacfwd(cell)(h, x), jax.jacfwd(plain())(h, x))


def test_leaves_of_several_dtypes_share_one_norm():
    inside = cells.FunctionCell(lambda w, s, x: jax.tree.map(lambda a: 30 * a, s), jnp.ones(()))
    cell = cells.ClippedGradientCell(inside, 5.0)
    state = {"half": jnp.ones(1, jnp.float16), "single": jnp.ones(1, jnp.float32)}

    def loss(state):
        new = cell(state, 0.0)
        return 3 * jnp.sum(new["half"]).astype(jnp.float32) + 4 * jnp.sum(new["single"])

    found = jax.grad(loss)(state)
    np.testing.assert_allclose([found["half"][0], found["single"][0]], [3, 4], rtol=1e-3)
    assert found["half"].dtype == jnp.float16


@pytest.mark.parametrize("by", ["norm", "value"])
def test_gradient_profile_shows_what_back_propagation_really_carries(by):
    # Clipped within and around other cells, with a loss at every step, against injected
    # perturbations.
    inside = cells.ClippedGradientCell(plain(), 0.8, by=by)
    cell = cells.ClippedGradientCell(cells.LeakyCell(inside, 0.8), 1.0, by=by)
    h0, inputs = jnp.full(N, 0.3), jnp.sin(jnp.arange(1.0 * T * N)).reshape(T, N)

    def loss(states):
        return jnp.sum(jnp.sin(states[1:]) * DIRECT)

    @jax.jit
    @functools.partial(jax.grad, argnums=1)
    def gradients(cell, perturbations):
        def step(h, xs):
            h = cell(h, xs[0]) + xs[1]
            return h, h

        h = h0 + perturbations[0]
        states = jax.lax.scan(step, h, (inputs, perturbations[1:]))[1]
        return loss(jnp.concatenate([h[None], states]))

    norms = lambda cell: np.linalg.norm(gradients(cell, jnp.zeros((T + 1, N))), axis=1)
    profile = vj.gradient_profile(cell, h0, inputs, loss=loss)
    np.testing.assert_allclose(np.exp(profile.log_norm), norms(cell), rtol=1e-5)
    # Either of them did bind.
    for other in (cell.cell, cells.ClippedGradientCell(cells.LeakyCell(plain(), 0.8), 1.0, by=by)):
        assert np.abs(norms(other) - np.exp(profile.log_norm)).max() > 1e-2


def linear(factor):
    step = lambda w, h, x: jax.lax.stop_gradient(h - w * h) + w * h  # stays, with derivative w
    return cells.FunctionCell(step, jnp.asarray(factor, jnp.float32))


@pytest.mark.parametrize("factor", [3.0, 0.5])
def test_gradient_profile_clips_in_units_of_the_loss_far_out_of_range(factor):
    # 3^400 clipped to 0.1 at each step; 0.5^1500 clipped once.
    T = 400 if factor > 1 else 1500
    cell = cells.ClippedGradientCell(linear(factor), 0.1)
    last = lambda states: jnp.sum(states[-1])
    inputs, h0 = jnp.zeros((T, 0)), jnp.ones(1, jnp.float32)
    found = vj.gradient_profile(cell, h0, inputs, loss=last).log_norm
    lags = np.arange(T - 1, -1, -1)
    expected = np.log(0.1) + (0 if factor > 1 else np.log(0.5)) * lags
    np.testing.assert_allclose(found, [*expected, 0], rtol=1e-6, atol=1e-4)


def test_diagnosis_clips_a_loss_and_no_probe():
    cell = unchanged(cells.ClippedGradientCell(linear(3.0), 0.1), 0)

    def carried(loss):
        state0, inputs = jnp.ones(1, jnp.float32), np.zeros((1, 4, 0), np.float32)
        batch = make_batch(state0, Sequences(inputs, loss, np.full(1, 4, np.int32)))
        log_norm, last = gradient_norms(cell, batch, run(cell, batch).states)
        assert last == 4
        return log_norm[0, :, 0]

    with_loss = carried(lambda states: jnp.sum(states[:, -1]))
    np.testing.assert_allclose(with_loss, np.log([0.1] * 4 + [1]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(carried(None), np.log(3.0) * np.arange(4, -1, -1), rtol=1e-5)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="positive threshold; got 0"):
        cells.ClippedGradientCell(plain(), 0.0)
    with pytest.raises(ValueError, match="by 'norm' or 'value'; got 'sign'"):
        cells.ClippedGradientCell(plain(), 1.0, by="sign")
