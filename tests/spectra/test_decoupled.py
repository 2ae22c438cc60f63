from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from .. import helpers


@pytest.fixture
def vj():
    import vanishing_jax

    return vanishing_jax


def leaky(vj, w, steps, *, activation=lambda x: x, dense=False, inputs=None):
    """Return the chain of h' = f(w h + x)."""
    w = jnp.asarray(w)
    cell = vj.FunctionCell(lambda w, h, x: activation(w * h + x), w)
    inputs = jnp.zeros((steps, len(w)), w.dtype) if inputs is None else jnp.asarray(inputs, w.dtype)
    return vj.linearize(cell, vj.rollout(cell, jnp.ones_like(w), inputs), dense=dense)


def block_diagonal(rng, sizes, steps):
    """Return a chain of Gaussian blocks of these sizes, its components shuffled."""
    n = sum(sizes)
    J = np.zeros((steps, n, n))
    for size, end in zip(sizes, np.cumsum(sizes), strict=True):
        inside = slice(end - size, end)
        J[:, inside, inside] = rng.standard_normal((steps, size, size))
    order = rng.permutation(n)
    return J[:, order][:, :, order]


def whole(chain, lags, direction: Any = "forward", quantity: Any = "singular values"):
    """Return the logs by the general path, whatever the chain."""
    from vanishing_jax.spectra._finish import log_r_diagonal, log_singular_values_of
    from vanishing_jax.spectra._streams import feed_of
    from vanishing_jax.spectra._sweep import Sweep

    T = chain.num_steps
    sweep = Sweep(feed_of(chain, 0, T, direction), chain.state_size, T)
    finish = log_singular_values_of if quantity == "singular values" else log_r_diagonal
    return [finish(sweep.run(lag)) for lag in lags]


@pytest.mark.parametrize("dense", [True, False])
def test_powers_of_the_diagonal(vj, dense, monkeypatch):
    from vanishing_jax.spectra import _streams

    monkeypatch.setattr(_streams, "_LONGEST", 64)  # most stretches without a record
    w, T = np.array([0.5, -0.9, 1.1, 1e-3]), 300
    chain = leaky(vj, w, T, dense=dense)
    assert [b.tolist() for b in vj.spectra.decoupled_blocks(chain)] == [[0], [1], [2], [3]]
    expected = T * np.log(np.abs(w))
    for direction in ("forward", "backward"):
        result = vj.log_singular_values(chain, direction=direction)
        error = np.abs(result.log_singular_values - np.sort(expected)[::-1])
        np.testing.assert_array_less(error, result.error_bound)
        assert result.error_bound.max() < 1e-11
    rates = vj.lyapunov_exponents(chain)
    np.testing.assert_allclose(rates.exponents, np.sort(expected)[::-1] / T, rtol=1e-14)
    assert rates.sum_rule_residual < 1e-13


@pytest.mark.parametrize("dense", [True, False])
def test_complex_diagonal_has_each_modulus_twice(vj, dense):
    # A linear recurrent unit: h' = lambda h + gamma x.
    eigenvalues, T = np.array([0.99, 0.5, 0.9]) * np.exp(1j * np.array([0.1, 2.0, 3.0])), 700
    cell = vj.FunctionCell(lambda w, h, x: w * h + x, jnp.asarray(eigenvalues))
    trajectory = vj.rollout(cell, jnp.ones(3, complex), jnp.ones((T, 1), complex))
    chain = vj.linearize(cell, trajectory, dense=dense)
    blocks = [block.tolist() for block in vj.spectra.decoupled_blocks(chain)]
    assert blocks == [[0, 3], [1, 4], [2, 5]]
    result = vj.log_singular_values(chain, lags=[0, 1, T])
    expected = np.repeat(np.log([0.99, 0.9, 0.5]), 2) * np.array([0, 1, T])[:, None]
    error = np.abs(result.log_singular_values - expected)
    # The entries are those of the rounded eigenvalues: a few eps per step on top of the bound.
    np.testing.assert_array_less(error, result.error_bound + T * 2e-16)
    assert result.error_bound.max() < 1e-11
    rates = vj.lyapunov_exponents(chain).exponents
    np.testing.assert_allclose(rates, expected[-1] / T, rtol=1e-12)


def test_blocks_of_several_sizes(vj, monkeypatch):
    from vanishing_jax.spectra import _streams

    monkeypatch.setattr(_streams, "_LONGEST", 8)  # two stretches
    J = block_diagonal(np.random.default_rng(0), [1, 3, 1, 3], 16)
    chain = vj.JacobianChain(J)
    assert sorted(len(block) for block in vj.spectra.decoupled_blocks(chain)) == [1, 1, 3, 3]
    lags = [0, 3, 7, 14, 15, 16]
    for direction in ("forward", "backward"):
        result = vj.log_singular_values(chain, lags=lags, direction=direction)
        for (s, t), logs, bound in zip(
            result.windows, result.log_singular_values, result.error_bound, strict=True
        ):
            exact = helpers.exact_log_singular_values(J[s:t], 150) if s < t else 0
            np.testing.assert_array_less(np.abs(logs - exact), bound)
        assert result.error_bound.max() < 1e-8
    part = vj.log_singular_values(chain, window=(2, 13), k=3, tolerance=1e-6, lags=[1, 2, 3, 11])
    expected = helpers.exact_log_singular_values(J[2:13], 100)[:3]
    np.testing.assert_allclose(part.log_singular_values[-1], expected, atol=1e-6)
    assert part.meets_tolerance


def test_against_the_general_path_and_each_block_alone(vj):
    J = block_diagonal(np.random.default_rng(1), [1, 3, 1, 3], 400)
    chain = vj.JacobianChain(J)
    spectrum = vj.log_singular_values(chain, lags=[30, 400])
    general = whole(vj.JacobianChain(J[:30]), [30])[0]
    np.testing.assert_allclose(spectrum.log_singular_values[0], general, atol=1e-9)
    # Over 400 steps the general path loses which block is which: it is 2 nats off.
    exact = [
        helpers.exact_log_singular_values(J[:, block][:, :, block], 500)
        for block in vj.spectra.decoupled_blocks(chain)
    ]
    error = np.abs(spectrum.log_singular_values[1] - np.sort(np.concatenate(exact))[::-1])
    np.testing.assert_array_less(error, spectrum.error_bound[1])
    result = vj.lyapunov_exponents(chain)
    alone = [
        vj.lyapunov_exponents(vj.JacobianChain(J[:, block][:, :, block])).exponents
        for block in vj.spectra.decoupled_blocks(chain)
    ]
    alone = np.sort(np.concatenate(alone))[::-1]
    np.testing.assert_allclose(result.exponents, alone, atol=1e-12)
    assert result.sum_rule_residual < 1e-12 and np.all(result.standard_error > 0)
    # The whole chain's growth from a start that mixes the blocks has the same limit.
    mixed = np.sort(whole(chain, [400], quantity="growth")[-1])[::-1] / 400
    gap = np.max(np.abs(mixed - alone))
    assert 1e-6 < gap < 0.05
    assert vj.lyapunov_exponents(chain, k=2).exponents.tolist() == result.exponents[:2].tolist()


def test_diagonal_lstm_pairs_its_states(vj):
    # Diagonal recurrent weights couple h_i and c_i only: c' = f c + i tanh(h), h' = o tanh(c').
    def step(w, state, x):
        h, c = state
        gate = jax.nn.sigmoid(w * h + x)
        c = gate * c + (1 - gate) * jnp.tanh(w * h)
        return gate * jnp.tanh(c), c

    cell = vj.FunctionCell(step, jnp.array([0.9, 2.0, -1.5]))
    inputs = jnp.asarray(np.random.default_rng(0).standard_normal((30, 3)))
    trajectory = vj.rollout(cell, (jnp.full(3, 0.3), jnp.full(3, 0.7)), inputs)
    for mode in ("fwd", "rev"):
        chain = vj.linearize(cell, trajectory, dense=False, mode=mode)
        blocks = [block.tolist() for block in vj.spectra.decoupled_blocks(chain)]
        assert blocks == [[0, 3], [1, 4], [2, 5]]
        exact = helpers.exact_log_singular_values(np.asarray(chain.segment(0, 30)), 200)
        for direction in ("forward", "backward"):
            found = vj.log_singular_values(chain, direction=direction).log_singular_values
            np.testing.assert_allclose(found, exact, atol=1e-9)


def test_pairs_that_stop_turning(vj, monkeypatch):
    from vanishing_jax.spectra import _streams

    rng = np.random.default_rng(0)
    J = np.zeros((60, 6, 6))
    for pair in range(3):
        a, b = rng.standard_normal((2, 60))
        turn = np.moveaxis(np.array([[a, -b], [b, a]]), -1, 0)
        J[:, 2 * pair : 2 * pair + 2, 2 * pair : 2 * pair + 2] = turn
    J[20, 0, 1] *= 2  # the first from step 21, the second from step 51 is no rotation any more
    J[50, 2, 2] *= 3
    monkeypatch.setattr(_streams, "_LONGEST", 16)
    exact = helpers.exact_log_singular_values(J, 200)
    for direction in ("forward", "backward"):
        result = vj.log_singular_values(vj.JacobianChain(J), direction=direction)
        error = np.abs(result.log_singular_values - exact)
        np.testing.assert_array_less(error, result.error_bound)


def test_numbers_at_the_edge_of_the_range(vj):
    numbers = np.array([1e308, 1e-308, 5e-324, 1.0])
    result = vj.log_singular_values(vj.JacobianChain(np.stack([np.diag(numbers)] * 2000)))
    expected = 2000 * np.sort(np.log(numbers))[::-1]
    np.testing.assert_allclose(result.log_singular_values, expected, rtol=1e-14, atol=1e-12)
    turn = np.stack([1e308 * np.array([[1.0, -1.5], [1.5, 1.0]])] * 3)
    found = vj.log_singular_values(vj.JacobianChain(turn)).log_singular_values
    chain = np.zeros((3, 4, 4))
    chain[:, :2, :2], chain[:, 2:, 2:] = turn, 1e-320 * turn / 1e308
    found = vj.log_singular_values(vj.JacobianChain(chain)).log_singular_values
    expected = 3 * (np.log(1e308) + 0.5 * np.log(3.25))
    np.testing.assert_allclose(found[:2], expected, rtol=1e-14)
    small = 3 * np.log(np.hypot(*chain[0, 2:, 2]))
    np.testing.assert_allclose(found[2:], small, rtol=1e-3)  # subnormal, hypot as good as any


def test_dead_units_are_exact_zeros(vj):
    inputs = np.array([[1.0, -9.0, 1.0], [1.0, 1.0, 1.0], [-9.0, 1.0, 1.0]])
    chain = leaky(vj, [0.5, 0.5, 0.25], 3, activation=jax.nn.relu, inputs=inputs)
    result = vj.log_singular_values(chain, every=1)
    expected = np.log(0.25) * np.arange(1, 4)
    np.testing.assert_array_equal(np.sum(np.isneginf(result.log_singular_values), -1), [1, 1, 2])
    assert np.all(result.error_bound[np.isneginf(result.log_singular_values)] == 0)
    assert result.log_singular_values[2, 0] == pytest.approx(expected[2])
    rates = vj.lyapunov_exponents(chain)
    assert np.isneginf(rates.exponents).tolist() == [False, True, True]
    assert np.isnan(rates.sum_rule_residual)


@pytest.mark.parametrize("dense", [True, False])
def test_non_finite_entry_names_its_step(vj, dense):
    # States stay 1, but for sqrt(1 - 1), whose derivative is infinite; then x brings them back.
    inputs = np.zeros((40, 3))
    inputs[30:32, 0] = inputs[20:22, 2] = [-1, 1]
    chain = leaky(vj, np.ones(3, np.float32), 40, activation=jnp.sqrt, inputs=inputs)
    if dense:
        J = np.stack([np.diag([0.5, 0.25, 2.0])] * 40)
        J[30, 0, 0] = J[20, 2, 2] = np.inf
        chain = vj.JacobianChain(J)
    with pytest.raises(vj.NonFiniteError, match="t = 21 "):
        vj.log_singular_values(chain)
    with pytest.raises(vj.NonFiniteError, match="t = 21 "):
        vj.lyapunov_exponents(chain)
    with pytest.raises(vj.NonFiniteError, match="t = 31 "):
        vj.log_singular_values(chain, direction="backward")
    assert np.isfinite(vj.log_singular_values(chain, window=(0, 20)).log_singular_values).all()


@pytest.mark.parametrize("dense", [True, False])
def test_float32_is_widened_exactly(vj, dense):
    inputs = np.random.default_rng(0).standard_normal((50, 3))
    w = np.array([0.9, 0.7, -0.8], np.float32)
    chain = leaky(vj, w, 50, activation=jnp.tanh, inputs=inputs, dense=dense)
    result = vj.log_singular_values(chain)
    assert (result.dtype, result.arithmetic_dtype) == ("float32", "float64")
    stored = np.asarray(chain.segment(0, 50)).astype(np.float64)
    expected = np.sum(np.log(np.abs(stored[:, [0, 1, 2], [0, 1, 2]])), axis=0)
    # Streamed float32 derivatives may round differently from compilation to compilation.
    atol = 1e-12 if dense else 1e-4
    np.testing.assert_allclose(result.log_singular_values, np.sort(expected)[::-1], atol=atol)


def test_a_batch_is_its_sequences(vj):
    rng = np.random.default_rng(0)
    order = [1, 3, 0, 2]
    batch = np.stack([block_diagonal(np.random.default_rng(2), [1, 2, 1], 9) for _ in range(3)])
    batch = batch * rng.uniform(0.5, 2, (3, 9, 1, 1))
    batch = batch[:, :, order][..., order]
    chain = eqx.filter_vmap(lambda J: vj.JacobianChain(J))(jnp.asarray(batch))
    assert len(vj.spectra.decoupled_blocks(chain)) == 3
    found = vj.log_singular_values(chain, every=4)
    assert found.log_singular_values.shape == (3, 3, 4) == found.error_bound.shape
    for J, logs in zip(batch, found.log_singular_values, strict=True):
        single = vj.log_singular_values(vj.JacobianChain(J), every=4).log_singular_values
        np.testing.assert_allclose(logs, single, atol=1e-12)


def test_a_large_state_needs_no_square(vj):
    # 30000 components: one Jacobian alone would take 3.6 GB, n tangents a minute.
    n, traced = 30_000, []
    w = np.linspace(0.5, 1.5, n).astype(np.float32)

    def activation(x):
        traced.append(None)
        return x

    chain = leaky(vj, w, 20, activation=activation)
    del traced[:]
    found = vj.log_singular_values(chain)
    expected = 20 * np.log(np.sort(w.astype(np.float64))[::-1])
    np.testing.assert_allclose(found.log_singular_values, expected, atol=1e-12)
    assert found.error_bound.max() < 1e-12 and len(traced) == 2  # the program, and its derivative
    vj.lyapunov_exponents(chain)
    vj.log_singular_values(chain, direction="backward")
    assert len(traced) == 2


def test_coupled_chains_stay_whole(vj):
    from vanishing_jax.spectra._streams import is_whole, partition

    rng = np.random.default_rng(0)
    chain = vj.JacobianChain(rng.standard_normal((3, 4, 4)))
    assert [b.tolist() for b in vj.spectra.decoupled_blocks(chain)] == [[0, 1, 2, 3]]
    assert is_whole(partition(chain, 0, 3))
    # Streamed, one large block and one number: the frame is pushed through the whole.
    W = jnp.asarray(rng.standard_normal((3, 3)))
    cell = vj.FunctionCell(lambda W, s, x: (jnp.tanh(W @ s[0]), 0.5 * s[1]), W)
    state0 = (jnp.ones(3, W.dtype), jnp.ones(1, W.dtype))
    chain = vj.linearize(cell, vj.rollout(cell, state0, jnp.zeros((4, 1))), dense=False)
    assert [b.tolist() for b in vj.spectra.decoupled_blocks(chain)] == [[0, 1, 2], [3]]
    assert is_whole(partition(chain, 0, 4))


def test_window_and_traced_chains(vj):
    J = np.stack([np.eye(3)] * 4)
    J[2, 0, 1] = 1.0
    chain = vj.JacobianChain(J)
    blocks = vj.spectra.decoupled_blocks
    assert len(blocks(chain)) == 2 and len(blocks(chain, window=(0, 2))) == 3
    with pytest.raises(ValueError, match="expected a window"):
        blocks(chain, window=(0, 9))
    with pytest.raises(TypeError, match="traced"):
        jax.jit(lambda J: blocks(vj.JacobianChain(J)) and 0)(jnp.asarray(J))


def test_a_batch_of_streamed_chains_decouples(vj):
    def step(w, h, x):
        return w * h + x

    def chain(h, x):
        cell = vj.FunctionCell(step, jnp.asarray([0.9, -0.5, 0.1]))
        return vj.linearize(cell, vj.rollout(cell, h, x), dense=False)

    batch = eqx.filter_vmap(chain)(jnp.ones((2, 3)), jnp.ones((2, 7, 3)))
    assert len(vj.spectra.decoupled_blocks(batch)) == 3
    found = vj.log_singular_values(batch, every=3, direction="backward").log_singular_values
    expected = np.outer([3, 6, 7], np.log([0.9, 0.5, 0.1]))
    np.testing.assert_allclose(found, [expected] * 2, rtol=1e-13)
