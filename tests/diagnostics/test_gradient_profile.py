import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from .. import tables


@pytest.fixture
def vj():
    import vanishing_jax

    return vanishing_jax


LOSSES = {
    "last step": lambda states: sum(jnp.sum(x[-1] ** 2) for x in jax.tree.leaves(states)),
    "every step": lambda states: sum(jnp.sum(jnp.sin(x)) for x in jax.tree.leaves(states)),
    "middle step": lambda states: sum(jnp.sum(x[1] ** 3) for x in jax.tree.leaves(states)),
}


@functools.cache
def brute_force(name):
    """Return ||dL/ds_t|| and ||step t's share of dL/dtheta|| through injected perturbations.

    One row for each loss, in one program.
    """
    from vanishing_jax._tree import state_layout

    cell, state0, inputs = tables.CELLS[name]()
    layout = state_layout(state0)
    steps = len(jax.tree.leaves(inputs)[0])
    parameters, static = eqx.partition(cell, eqx.is_inexact_array)

    def total(perturbations, copies):
        # Each step has its own copy of the parameters, and each state a perturbation of zero.
        state = layout.unravel(layout.ravel(state0) + perturbations[0], state0)
        states = [state]
        for t in range(steps):
            x = jax.tree.map(lambda leaf: leaf[t], inputs)  # noqa: B023
            state = eqx.combine(copies[t], static)(state, x)
            state = layout.unravel(layout.ravel(state) + perturbations[t + 1], state)
            states.append(state)
        states = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
        return jnp.stack([loss(states) for loss in LOSSES.values()])

    zeros = jnp.zeros((steps + 1, layout.size), layout.dtype)
    by_state, by_step = jax.jit(jax.jacrev(total, (0, 1)))(zeros, [parameters] * steps)
    flat = [
        np.concatenate([np.reshape(x, (len(LOSSES), -1)) for x in jax.tree.leaves(share)], axis=1)
        for share in by_step
    ]
    norms = np.linalg.norm(by_state, axis=2), np.linalg.norm(np.stack(flat, axis=1), axis=2)
    return dict(zip(LOSSES, zip(*norms, strict=True), strict=True))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", ["VanillaCell", "LSTMCell", "GRUCell", "FunctionCell"])
def test_agrees_with_injected_perturbations(vj, name, loss):
    cell, state0, inputs = tables.CELLS[name]()
    by_state, by_step = brute_force(name)[loss]
    profile = vj.gradient_profile(cell, state0, inputs, loss=LOSSES[loss])
    tolerance = 1e-12 if by_state.dtype == jnp.float64 else 2e-5
    np.testing.assert_allclose(np.exp(profile.log_norm), by_state, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(
        np.exp(profile.log_parameter_norm), by_step, rtol=tolerance, atol=tolerance
    )


def test_same_decay_as_the_chain(vj):
    cell, state0, inputs = tables.CELLS["LSTMCell"]()
    trajectory = vj.rollout(cell, state0, inputs)
    chain = vj.linearize(cell, trajectory)
    profile = vj.gradient_profile(
        cell, state0, inputs, loss=lambda s: jnp.sum(s[0][-1]) + jnp.sum(s[1][-1])
    )
    back = [chain.rmv(jnp.ones(6, chain.dtype), window=(s, 3)) for s in range(4)]
    np.testing.assert_allclose(
        profile.log_norm, [np.log(np.linalg.norm(v)) for v in back], atol=1e-5
    )


@pytest.mark.parametrize(("factor", "steps"), [(0.5, 1900), (3.0, 500), (1e-20, 60), (1e20, 60)])
def test_right_where_float32_gives_zero_or_infinity(vj, factor, steps):
    def step(w, state, input):
        del input
        return jax.lax.stop_gradient(state - w * state) + w * state  # stays at 1, derivative w

    cell = vj.FunctionCell(step, jnp.asarray(factor, jnp.float32))
    inputs, state0 = jnp.zeros((steps, 0)), jnp.ones(1, jnp.float32)
    last = lambda states: jnp.sum(states[-1])
    profile = vj.gradient_profile(cell, state0, inputs, loss=last)
    expected = np.log(np.float32(factor).astype(np.float64)) * np.arange(steps, -1, -1)
    assert profile.log_norm.dtype == jnp.float32
    np.testing.assert_allclose(profile.log_norm, expected, rtol=1e-6, atol=1e-4)
    plain = jax.grad(lambda s: last(vj.rollout(cell, s, inputs).states))(state0)
    assert not (np.isfinite(plain) & (plain != 0)).all()


def test_sum_of_contributions_is_the_gradient(vj):
    # One scalar parameter: contributions of one sign add up to |dL/dw|.
    cell = vj.FunctionCell(lambda w, h, x: w * h + x, jnp.asarray(0.9))
    inputs, state0 = jnp.ones((12, 1)), jnp.ones(1)
    loss = lambda states: jnp.sum(states[-1])
    profile = vj.gradient_profile(cell, state0, inputs, loss=loss)
    total = jax.grad(lambda c: loss(vj.rollout(c, state0, inputs).states))(cell).params
    assert np.sum(np.exp(profile.log_parameter_norm)) == pytest.approx(float(total), rel=1e-5)


def test_exact_zeros(vj):
    cell = vj.FunctionCell(lambda p, h, x: 0 * h + x, None)
    last = lambda states: jnp.sum(states[-1])
    profile = vj.gradient_profile(cell, jnp.ones(2), jnp.ones((3, 2)), loss=last)
    assert np.isneginf(profile.log_norm[:-1]).all() and np.isfinite(profile.log_norm[-1])
    assert np.isneginf(profile.log_parameter_norm).all()  # no parameters


def test_transforms(vj):
    cell, state0, inputs = tables.CELLS["VanillaCell"]()
    run = lambda x: vj.gradient_profile(cell, state0, x, loss=LOSSES["last step"]).log_norm
    batch = jax.vmap(jax.jit(run))(jnp.stack([inputs, 2 * inputs]))
    np.testing.assert_allclose(batch[1], run(2 * inputs), atol=1e-5)
    assert jnp.all(jnp.isfinite(jax.grad(lambda x: run(x)[0])(inputs)))
    assert "3 steps" in repr(vj.gradient_profile(cell, state0, inputs, loss=LOSSES["last step"]))


def test_the_older_order_works_and_warns(vj):
    cell, state0, inputs = tables.CELLS["VanillaCell"]()
    loss = LOSSES["last step"]
    expected = vj.gradient_profile(cell, state0, inputs, loss=loss)
    with pytest.warns(DeprecationWarning, match=r"write gradient_profile\(..., loss=loss\)"):
        found = vj.gradient_profile(loss, cell, state0, inputs)
    np.testing.assert_array_equal(found.log_norm, expected.log_norm)
    with pytest.raises(TypeError, match="loss"):
        vj.gradient_profile(cell, state0, inputs)


def test_loss_must_be_one_real_number(vj):
    cell, state0, inputs = tables.CELLS["VanillaCell"]()
    with pytest.raises(ValueError, match="one real number"):
        vj.gradient_profile(cell, state0, inputs, loss=lambda states: states[-1])


def test_nan_is_not_taken_for_zero(vj):
    cell = vj.FunctionCell(lambda w, s, x: w * jnp.sqrt(0 * s) + x, jnp.asarray(1.0))
    with pytest.raises(vj.NonFiniteError, match="NaN from t = "):
        vj.gradient_profile(cell, jnp.ones(2), jnp.ones((3, 2)), loss=LOSSES["last step"])
    profile = jax.jit(lambda x: vj.gradient_profile(cell, jnp.ones(2), x, loss=LOSSES["last step"]))
    assert np.isnan(profile(jnp.ones((3, 2))).log_norm).any()


def test_integer_leaves_pass_through(vj):
    cell = vj.FunctionCell(lambda w, s, x: (w * s[0], s[1] + 1), jnp.asarray(0.5))
    state0 = (jnp.ones(1), jnp.asarray(0))
    profile = vj.gradient_profile(cell, state0, jnp.zeros((3, 0)), loss=lambda s: jnp.sum(s[0][-1]))
    np.testing.assert_allclose(profile.log_norm, np.log(0.5) * np.arange(3, -1, -1), atol=1e-6)
