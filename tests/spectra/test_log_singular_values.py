import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .. import helpers


@pytest.fixture
def vj():
    import vanishing_jax

    return vanishing_jax


def spectrum(vj, jacobians, **options):
    return vj.log_singular_values(vj.JacobianChain(jacobians), **options)


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("family", helpers.FAMILIES)
def test_agrees_with_exact_product(vj, family, direction):
    jacobians, exact = helpers.family_and_exact_logs(family)
    result = spectrum(vj, jacobians, direction=direction)
    found = result.log_singular_values
    assert np.sum(np.isneginf(found)) == np.sum(np.isneginf(exact))
    finite = np.isfinite(exact)
    error = np.abs(found[finite] - exact[finite])
    np.testing.assert_array_less(error, 1e-8)
    np.testing.assert_array_less(error, result.error_bound[finite])


@pytest.mark.parametrize("size", [1e-300, 1e-160, 1e160, 1e308])
def test_entries_at_the_edge_of_the_range(vj, size):
    jacobians = size * np.stack([[[1.0, 1.0], [1.0, -1.0]]] * 5)
    found = spectrum(vj, jacobians).log_singular_values
    np.testing.assert_allclose(found, 5 * np.log(size) + 2.5 * np.log(2), rtol=1e-13)


def test_entries_too_far_apart_are_admitted(vj):
    result = spectrum(vj, np.stack([[[1e300, 1e-300], [1e-300, 1e-300]]] * 2))
    assert result.log_singular_values[0] == pytest.approx(2 * np.log(1e300))
    assert np.isinf(result.error_bound[1])


def test_zero_by_cancellation_is_no_certain_zero(vj):
    W = np.random.default_rng(0).standard_normal((2, 2))
    W[1] = W[0]  # singular, without a zero row or column
    result = spectrum(vj, np.stack([W, W.T]))
    assert result.error_bound[-1] > 1


def test_more_scales_than_the_exponent_range_is_no_number(vj):
    J = np.stack([np.diag(2.0 ** -np.arange(110.0))] * 3).astype(np.float32)
    with jax.enable_x64(False):
        assert np.isnan(vj.spectra.product_log_singular_values(jnp.asarray(J))).all()
    found = spectrum(vj, J).log_singular_values  # float64 has the room
    np.testing.assert_allclose(found, -3 * np.log(2) * np.arange(110.0), atol=1e-9)


@pytest.mark.parametrize("tolerance", [1e-7, 1e-5, 1e-3])
@pytest.mark.parametrize("family", ["tanh, gain 0.5", "tanh, gain 3", "ginibre", "relu first"])
def test_several_steps_at_once_stay_within_the_tolerance(vj, family, tolerance):
    jacobians, exact = helpers.family_and_exact_logs(family)
    for direction in ("forward", "backward"):
        result = spectrum(vj, jacobians, direction=direction, tolerance=tolerance)
        found = result.log_singular_values
        assert result.meets_tolerance
        np.testing.assert_array_equal(np.isneginf(found), np.isneginf(exact))
        finite = np.isfinite(exact)
        error = np.abs(found[finite] - exact[finite])
        np.testing.assert_array_less(error, result.error_bound[finite])


def test_long_chains_are_swept_in_chunks(vj, monkeypatch):
    from vanishing_jax.spectra import _sweep

    jacobians = helpers.tanh_chain(np.random.default_rng(0), 4, 47, 2.0)
    lags = [0, 3, 7, 11, 16, 21, 24, 30, 33, 37, 42, 46]
    whole = spectrum(vj, jacobians, lags=lags)
    backward = spectrum(vj, jacobians, every=4, direction="backward")
    monkeypatch.setattr(_sweep, "_LONGEST_CHUNK", 8)
    parts = spectrum(vj, jacobians, lags=lags)
    np.testing.assert_allclose(parts.log_singular_values, whole.log_singular_values, atol=1e-11)
    parts = spectrum(vj, jacobians, every=4, direction="backward")
    np.testing.assert_allclose(parts.log_singular_values, backward.log_singular_values, atol=1e-11)
    np.testing.assert_array_equal(parts.windows, backward.windows)
    bad = jacobians.copy()
    bad[37, 1, 2] = np.inf
    for direction in ("forward", "backward"):
        with pytest.raises(vj.NonFiniteError, match="t = 38"):
            spectrum(vj, bad, every=4, direction=direction)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_one_jacobian_with_zero_rows_changes_no_other(vj, direction):
    # Columns are balanced step by step: in one chunk with zeros, or alone before a record.
    rng = np.random.default_rng(0)
    jacobians = rng.standard_normal((4, 4, 4)) * [1.0, 0.2, 0.05, 0.01]
    if direction == "backward":
        jacobians = jacobians.swapaxes(1, 2)
    jacobians[2, 1] = 0
    chain = vj.JacobianChain(jacobians)
    found = vj.log_singular_values(chain, lags=range(5), direction=direction)
    for logs, (s, t) in zip(found.log_singular_values, found.windows.tolist(), strict=True):
        exact = helpers.exact_log_singular_values(jacobians[s:t], 60) if t > s else np.zeros(4)
        np.testing.assert_allclose(logs, exact, atol=1e-12)
    whole = vj.log_singular_values(chain, direction=direction).log_singular_values
    np.testing.assert_allclose(whole, exact, atol=1e-12)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_a_batch_of_streamed_chains_is_its_sequences(vj, direction):
    # Some saturate and have shorter intervals than the others.
    gains = jnp.array([0.4, 4.0, 1.0, 2.0])[:, None, None]
    weights = gains * jax.random.normal(jax.random.key(0), (4, 3, 3))
    inputs = jax.random.normal(jax.random.key(1), (4, 15, 3))

    def streamed(W, inputs):
        cell = vj.FunctionCell(lambda W, h, x: jnp.tanh(W @ h + x), W)
        return vj.linearize(cell, vj.rollout(cell, inputs[0], inputs), dense=False)

    batch = eqx.filter_vmap(streamed)(weights, inputs)
    options = {"lags": [9, 12], "direction": direction, "tolerance": 1e-7}
    found = vj.log_singular_values(batch, **options)
    assert found.log_singular_values.shape == (4, 2, 3)
    for i in range(4):
        jacobians = np.asarray(batch[i].segment(0, 15), np.float64)
        for j, lag in enumerate((9, 12)):
            part = jacobians[:lag] if direction == "forward" else jacobians[15 - lag :]
            exact = helpers.exact_log_singular_values(part, 500)
            # A float32 cell gives float32 Jacobians, which another compilation rounds differently.
            atol = 1e-7 if found.dtype == "float64" else 1e-3
            np.testing.assert_allclose(found.log_singular_values[i, j], exact, atol=atol)
    bad = eqx.tree_at(
        lambda c: c.linearization.trajectory.inputs, batch, inputs.at[1, 10].set(jnp.nan)
    )
    with pytest.raises(vj.NonFiniteError, match="of sequence 1 has a NaN .* t = 11"):
        vj.log_singular_values(bad, **options)


@pytest.mark.parametrize("threads_from", [64, 1])
def test_a_batch_is_its_sequences(vj, monkeypatch, threads_from):
    from vanishing_jax.spectra import _sweep_chain

    monkeypatch.setattr(_sweep_chain, "_WORTH_THREADS", threads_from)
    rng = np.random.default_rng(0)
    batch = jnp.asarray(np.stack([helpers.tanh_chain(rng, 4, 9, g) for g in (0.9, 3.0)]))
    chain = eqx.filter_vmap(lambda jacobians: vj.JacobianChain(jacobians))(batch)
    singles = [spectrum(vj, J, every=5).log_singular_values for J in batch]
    found = vj.log_singular_values(chain, every=5)
    assert found.log_singular_values.shape == (2, 2, 4)
    np.testing.assert_allclose(found.log_singular_values, singles, atol=1e-10)


@pytest.mark.parametrize("family", ["tanh, gain 0.9", "tanh, gain 1.5", "orthogonal", "relu"])
def test_float32_arithmetic_over_a_thousand_steps(vj, family):
    rng = np.random.default_rng(0)
    jacobians = {
        "tanh, gain 0.9": lambda: helpers.tanh_chain(rng, 8, 1000, 0.9),
        "tanh, gain 1.5": lambda: helpers.tanh_chain(rng, 8, 1000, 1.5),
        "orthogonal": lambda: helpers.orthogonal_chain(rng, 8, 1000),
        "relu": lambda: np.abs(helpers.relu_chain(rng, 8, 1000)),
    }[family]().astype(np.float32)
    reference = spectrum(vj, jacobians)
    with jax.enable_x64(False):
        found = np.asarray(vj.spectra.product_log_singular_values(jnp.asarray(jacobians)))
    finite = np.isfinite(reference.log_singular_values)
    assert np.max(reference.error_bound) < 1e-5
    np.testing.assert_array_equal(np.isfinite(found), finite)
    np.testing.assert_allclose(found[finite], reference.log_singular_values[finite], atol=1e-2)


@pytest.mark.slow
def test_tanh_network_of_32_units_over_300_steps(vj):
    cell, trajectory = _trained_like(vj, vj.cells.VanillaCell(2, 32, key=jax.random.key(0)), 300)
    jacobians = np.asarray(vj.linearize(cell, trajectory).jacobians, np.float64)
    exact = helpers.exact_log_singular_values(jacobians, 900)
    found = spectrum(vj, jacobians).log_singular_values
    assert exact[-1] < -500
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-8)


@pytest.mark.slow
def test_lstm_with_state_of_64(vj):
    cell, trajectory = _trained_like(vj, vj.cells.LSTMCell(2, 32, key=jax.random.key(0)), 60)
    jacobians = np.asarray(vj.linearize(cell, trajectory).jacobians, np.float64)
    assert jacobians.shape[1:] == (64, 64)
    exact = helpers.exact_log_singular_values(jacobians, 500)
    for direction in ("forward", "backward"):
        found = spectrum(vj, jacobians, direction=direction).log_singular_values
        np.testing.assert_allclose(found, exact, rtol=0, atol=1e-8)


def _trained_like(vj, cell, steps):
    inputs = jax.random.normal(jax.random.key(1), (steps, 2))
    return cell, vj.rollout(cell, cell.initial_state(), inputs)


def test_saturated_network_obeys_the_determinant(vj):
    n, steps = 8, 50
    rng = np.random.default_rng(0)
    W = 20 * rng.standard_normal((n, n)) / np.sqrt(n)
    state, chain, log_slopes = rng.standard_normal(n), [], []
    for _ in range(steps):
        a = W @ state
        e = np.exp(-2 * np.abs(a))
        slope = 4 * e / (1 + e) ** 2
        chain.append(slope[:, None] * W)
        log_slopes.append(np.mean(np.log(slope)))
        state = np.tanh(a)
    found = spectrum(vj, np.stack(chain)).log_singular_values
    assert np.isfinite(found).all()
    expected = np.linalg.slogdet(W).logabsdet / n + np.mean(log_slopes)
    assert np.mean(found) / steps == pytest.approx(expected, rel=1e-12)


def test_order_of_the_product(vj):
    # Two matrices that do not commute: B A has spectral norm sqrt(40), A B has 6.
    A, B, cycle = np.zeros((4, 4)), np.zeros((4, 4)), np.roll(np.eye(4), 1, axis=0)
    A[0, 1] = 2
    B[:2, 0] = 1, 3
    expected = np.linalg.svd(B @ A, compute_uv=False)[0]
    assert expected != pytest.approx(np.linalg.svd(A @ B, compute_uv=False)[0])
    for direction in ("forward", "backward"):
        chain = np.stack([A, B, cycle, cycle, cycle])  # the cycle couples all components
        found = spectrum(vj, chain, direction=direction).log_singular_values
        assert found[0] == pytest.approx(np.log(expected), abs=1e-12)
        assert np.isneginf(found[1:]).all()


def test_window_is_the_product_from_s_to_t(vj):
    jacobians = helpers.ginibre_chain(np.random.default_rng(0), 4, 9)
    for s, t in [(0, 9), (3, 9), (2, 7), (0, 1), (5, 6)]:
        product = np.linalg.multi_dot([*jacobians[s:t][::-1], np.eye(4)])
        found = spectrum(vj, jacobians, window=(s, t))
        np.testing.assert_allclose(
            found.log_singular_values, np.log(np.linalg.svd(product, compute_uv=False)), atol=1e-11
        )
        assert found.windows.tolist() == [s, t]


def test_every_and_lags_record_the_windows_they_name(vj):
    jacobians = helpers.tanh_chain(np.random.default_rng(0), 4, 10, 2.0)
    forward = spectrum(vj, jacobians, every=6, window=(1, 10))
    assert forward.windows.tolist() == [[1, 7], [1, 10]]
    backward = spectrum(vj, jacobians, every=5, window=(1, 10), direction="backward")
    assert backward.windows.tolist() == [[5, 10], [1, 10]]
    chosen = spectrum(vj, jacobians, lags=[0, 5, 7], window=(1, 10))
    assert chosen.windows.tolist() == [[1, 1], [1, 6], [1, 8]]
    assert chosen.lags.tolist() == [0, 5, 7]
    for result in (forward, backward, chosen):
        for (s, t), row in zip(result.windows.tolist(), result.log_singular_values, strict=True):
            single = 0 if s == t else spectrum(vj, jacobians, window=(s, t)).log_singular_values
            np.testing.assert_allclose(row, single, atol=1e-10)


def test_diagonal_chain_over_twenty_thousand_nats(vj):
    steps, w = 1000, np.array([np.exp(10.0), 1.0, 0.5, np.exp(-10.0)])
    found = spectrum(vj, np.stack([np.diag(w)] * steps))
    np.testing.assert_allclose(found.log_singular_values, steps * np.log(w), rtol=1e-14, atol=1e-10)


def test_orthogonal_chain_keeps_every_direction(vj):
    jacobians = helpers.orthogonal_chain(np.random.default_rng(0), 8, 250)
    np.testing.assert_allclose(spectrum(vj, jacobians).log_singular_values, 0, atol=1e-12)


def test_rotated_powers_where_the_formed_product_fails(vj):
    angle = np.pi / 6
    R = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    J = R @ np.diag([2.0, 0.5]) @ R.T
    exact = helpers.exact_log_singular_values(np.stack([J] * 60), 200)
    found = spectrum(vj, np.stack([J] * 60)).log_singular_values
    np.testing.assert_allclose(found, exact, atol=1e-11)
    formed = np.linalg.svd(np.linalg.matrix_power(J, 60), compute_uv=False)
    assert not np.exp(exact[1] - 30) < formed[1] < np.exp(exact[1] + 30)


def test_smallest_chains(vj):
    assert spectrum(vj, np.full((1, 1, 1), -3.0)).log_singular_values == pytest.approx(np.log(3))
    empty = spectrum(vj, np.zeros((0, 2, 2)))
    np.testing.assert_allclose(empty.log_singular_values, 0, atol=1e-12)
    assert np.isneginf(spectrum(vj, np.zeros((3, 2, 2))).log_singular_values).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(1e-3, 1e3))
def test_sum_rule_and_scaling(seed, scale):
    import vanishing_jax as vj

    jacobians = scale * helpers.ginibre_chain(np.random.default_rng(seed), 4, 9)
    result = spectrum(vj, jacobians)
    total = np.sum(np.linalg.slogdet(jacobians).logabsdet)
    assert np.sum(result.log_singular_values) == pytest.approx(
        total, abs=4 * np.max(result.error_bound) + 1e-10
    )
    assert np.all(np.diff(result.log_singular_values) <= 0)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_permuting_units_changes_nothing(seed):
    import vanishing_jax as vj

    rng = np.random.default_rng(seed)
    jacobians = helpers.tanh_chain(rng, 4, 9, 4.0)
    order = rng.permutation(4)
    permuted = jacobians[:, order][:, :, order]
    np.testing.assert_allclose(
        spectrum(vj, permuted).log_singular_values,
        spectrum(vj, jacobians).log_singular_values,
        atol=1e-9,
    )


def test_float32_jacobians_are_computed_on_in_float64(vj):
    jacobians = helpers.tanh_chain(np.random.default_rng(0), 4, 12, 2.0).astype(np.float32)
    result = spectrum(vj, jacobians)
    assert (result.dtype, result.arithmetic_dtype) == ("float32", "float64")
    exact = helpers.exact_log_singular_values(jacobians, 300)
    np.testing.assert_allclose(result.log_singular_values, exact, atol=1e-8)


def test_leading_k_and_tolerance(vj):
    jacobians = helpers.ginibre_chain(np.random.default_rng(0), 4, 9)
    full, leading = spectrum(vj, jacobians), spectrum(vj, jacobians, k=2, tolerance=1e-6)
    np.testing.assert_allclose(leading.log_singular_values, full.log_singular_values[:2], atol=1e-6)
    assert leading.meets_tolerance and "above" not in repr(leading)
    strict = spectrum(vj, jacobians, tolerance=1e-15)
    assert not strict.meets_tolerance and "above the tolerance" in repr(strict)


def test_array_level_function_under_transforms(vj):
    jacobians = jnp.asarray(helpers.ginibre_chain(np.random.default_rng(0), 4, 9))
    plain = vj.spectra.product_log_singular_values(jacobians)
    reference = spectrum(vj, np.asarray(jacobians)).log_singular_values
    atol = 1e-11 if plain.dtype == jnp.float64 else 1e-4
    np.testing.assert_allclose(plain, reference, atol=atol)
    batch = jnp.stack([jacobians, jacobians[::-1]])
    mapped = jax.jit(jax.vmap(vj.spectra.product_log_singular_values))(batch)
    np.testing.assert_allclose(mapped[0], reference, atol=atol)
    assert not np.allclose(mapped[1], reference, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": (3, 2)}, "expected a window"),
        ({"window": (0, 99)}, "expected a window"),
        ({"every": 0}, "expected every >= 1"),
        ({"every": 1, "lags": [1]}, "not both"),
        ({"lags": [3, 1]}, "ascending lags"),
        ({"direction": "sideways"}, "expected direction"),
        ({"k": 9}, "expected k from 1"),
    ],
)
def test_bad_arguments(vj, options, message):
    with helpers.as_a_user(), pytest.raises(ValueError, match=message):
        spectrum(vj, np.stack([np.eye(2)] * 4), **options)


def test_non_finite_jacobian_names_its_step(vj):
    jacobians = np.stack([[[1.0, 1.0], [0.0, 1.0]]] * 9)  # coupled
    jacobians[7, 0, 1] = np.nan
    with pytest.raises(vj.NonFiniteError, match="t = 8"):
        spectrum(vj, jacobians)
    assert np.isfinite(spectrum(vj, jacobians, window=(0, 7)).log_singular_values).all()


def test_traced_jacobians_are_sent_to_the_array_level(vj):
    with pytest.raises(TypeError, match="product_log_singular_values"):
        jax.jit(lambda J: spectrum(vj, J).log_singular_values)(jnp.ones((2, 2, 2)))


def test_streamed_chain_gives_the_same_spectra(vj):
    cell, trajectory = _trained_like(vj, vj.cells.VanillaCell(2, 4, key=jax.random.key(0)), 9)
    dense = vj.linearize(cell, trajectory, dense=True)
    streamed = vj.linearize(cell, trajectory, dense=False)
    for direction in ("forward", "backward"):
        a, b = (vj.log_singular_values(c, every=5, direction=direction) for c in (dense, streamed))
        # A float32 cell gives float32 Jacobians, which another compilation rounds differently.
        atol = 1e-10 if a.dtype == "float64" else 1e-4
        np.testing.assert_allclose(a.log_singular_values, b.log_singular_values, atol=atol)
        np.testing.assert_array_equal(a.windows, b.windows)


def test_keys_among_the_inputs_are_streamed(vj):
    def step(W, h, key):
        keep = jax.random.bernoulli(key, 0.7, h.shape)
        return W @ jnp.where(keep, h, 0)

    W = jnp.asarray([[1.0, 0.5], [-0.5, 1.0]])
    cell, keys = vj.FunctionCell(step, W), jax.random.split(jax.random.key(3), 6)
    trajectory = vj.rollout(cell, jnp.ones(2), keys)
    found = vj.log_singular_values(vj.linearize(cell, trajectory, dense=False))
    jacobians = np.asarray(vj.linearize(cell, trajectory).jacobians, np.float64)
    exact = helpers.exact_log_singular_values(jacobians, 50)
    np.testing.assert_allclose(found.log_singular_values, exact, atol=1e-6)


def test_tolerance_shares_factorizations_where_the_chain_allows(vj):
    def levels(jacobians, tolerance):
        result = spectrum(vj, jacobians, tolerance=tolerance)
        (schedule,) = result._schedules
        assert schedule[:, 0].sum() == len(jacobians)
        return schedule[:, 1]

    rng = np.random.default_rng(0)
    mild = helpers.tanh_chain(rng, 8, 600, 0.9)
    assert levels(mild, None).max() == 0
    assert levels(mild, 1e-6)[2:].min() >= 1 and levels(mild, 1e-3).max() > levels(mild, 1e-8).max()
    hard = helpers.tanh_chain(rng, 8, 600, 12.0)  # two of them lose every digit
    assert levels(hard, 1e-8).max() == 0


def test_new_values_and_lengths_do_not_compile_again(vj):
    traced = []

    def step(W, h, x):
        traced.append(None)
        return jnp.tanh(W @ h + x)

    def streamed(scale, steps):
        cell = vj.FunctionCell(step, jnp.asarray(scale * np.eye(3, k=1) + 0.1))
        inputs = jnp.asarray(np.random.default_rng(0).standard_normal((steps, 3)))
        return vj.linearize(cell, vj.Trajectory(jnp.concatenate([inputs[:1], inputs]), inputs))

    vj.log_singular_values(streamed(0.5, 20), direction="backward")
    count = len(traced)
    for steps in (20, 25, 300):
        chain = streamed(2.0, steps)
        del traced[:]
        vj.log_singular_values(chain, window=(3, 12), tolerance=1e-6)
        vj.lyapunov_exponents(chain)
        assert len(traced) == 0 < count


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_large_batches_are_swept_side_by_side(vj, monkeypatch, direction):
    from vanishing_jax.spectra import _sweep_batch

    def streamed(W, inputs):
        cell = vj.FunctionCell(lambda W, h, x: jnp.tanh(W @ h + x), W)
        return vj.linearize(cell, vj.rollout(cell, inputs[0], inputs), dense=False)

    rng = np.random.default_rng(0)
    gains = np.array([0.5, 1.0, 2.0, 40.0])  # the last one saturates: by itself, step by step
    weights = jnp.asarray(gains[:, None, None] * rng.standard_normal((4, 3, 3)))
    inputs = jnp.asarray(rng.standard_normal((4, 45, 3)))
    stored = jnp.asarray(np.stack([helpers.relu_chain(rng, 3, 45) for _ in range(4)]))
    options = {"lags": [0, 9, 40, 45], "direction": direction}
    for chain in (
        eqx.filter_vmap(streamed)(weights, inputs),
        eqx.filter_vmap(lambda J: vj.JacobianChain(J))(stored),
    ):
        alone = vj.log_singular_values(chain, **options)
        with monkeypatch.context() as patch:
            patch.setattr(_sweep_batch, "_SEQUENCES", 2)
            patch.setattr(_sweep_batch, "_STEPS", 1)
            patch.setattr(_sweep_batch, "_STRETCH", 4 * 9 * 32)
            together = vj.log_singular_values(chain, **options)
        found = together.log_singular_values
        np.testing.assert_array_equal(np.isneginf(found), np.isneginf(alone.log_singular_values))
        finite = np.isfinite(found)
        error = np.abs(found[finite] - alone.log_singular_values[finite])
        np.testing.assert_array_less(error, together.error_bound[finite] + 1e-12)
        assert np.max(together.error_bound[finite]) < 1e-6
        if not chain.is_dense:  # ranks lost on the way may mean that all are swept alone
            assert np.isnan(together.estimated_error)
