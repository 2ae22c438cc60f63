import functools

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from .. import helpers

# One shape for most tests, so that the passes are compiled once. Dense chains are computed on in
# float64 whatever the x64 flag.
N, STEPS, K, EXTRA = 12, 20, 2, 2


@pytest.fixture
def vj():
    import vanishing_jax

    return vanishing_jax


@pytest.fixture
def leading():
    from vanishing_jax.spectra._leading import leading_singular_values

    return leading_singular_values


def product_of(jacobians):
    product = np.eye(jacobians.shape[-1])
    for J in jacobians:
        product = J @ product
    return product


def with_spectrum(rng, logs):
    """Return two steps whose product has exactly the singular values exp(logs), of any range."""
    before, after = np.linalg.qr(rng.standard_normal((2, len(logs), len(logs))))[0]
    half = np.diag(np.exp(logs / 2))
    return np.stack([half @ before, after @ half])


def sines(found, expected):
    """Return the sine of the angle between each column of `found` and of `expected`."""
    along = np.sum(found * expected, axis=0)
    return np.linalg.norm(found - expected * along, axis=0)


@pytest.mark.parametrize("family", helpers.FAMILIES)
def test_agrees_with_exact_product_within_its_own_error(vj, leading, family):
    jacobians = helpers.FAMILIES[family](np.random.default_rng(3), N, STEPS)
    exact = helpers.exact_log_singular_values(jacobians, 700)[:K]
    result = leading(vj.JacobianChain(jacobians), K, oversample=EXTRA)
    assert result.converged and result.meets_tolerance and "converged" in repr(result)
    np.testing.assert_array_less(
        np.abs(result.log_singular_values - exact), result.error_bound + 1e-15
    )
    np.testing.assert_array_less(result.error_bound, 1e-6)


def test_error_is_honest_after_any_number_of_passes(vj, leading):
    rng = np.random.default_rng(0)
    ratios = []
    for trial, family in enumerate([*helpers.FAMILIES] * 2):
        jacobians = helpers.FAMILIES[family](rng, N, STEPS)
        exact = helpers.exact_log_singular_values(jacobians[:5], 700)[:K]
        for passes in (2, 3, 5, 40):
            result = leading(
                vj.JacobianChain(jacobians), K, oversample=EXTRA, window=(0, 5), max_passes=passes,
                key=jax.random.key(trial),
            )  # fmt: skip
            error = np.abs(result.log_singular_values - exact)
            ratios.append(np.max(error / (result.error_bound + 1e-10)))
    assert np.max(ratios) < 0.5


def test_one_pass_forward_would_be_wrong(vj, leading):
    # The reason to go back and forth: what a projection of the forward product alone gives.
    jacobians = helpers.ginibre_chain(np.random.default_rng(1), N, STEPS)
    block = np.linalg.qr(np.random.default_rng(2).standard_normal((N, K + EXTRA)))[0]
    product = product_of(jacobians)
    forward = np.log(np.linalg.svd(product @ block, compute_uv=False)[:K])
    exact = np.log(np.linalg.svd(product, compute_uv=False)[:K])
    assert np.min(np.abs(forward - exact)) > 0.05
    found = leading(vj.JacobianChain(jacobians), K, oversample=EXTRA).log_singular_values
    np.testing.assert_allclose(found, exact, atol=1e-9)


@pytest.mark.parametrize("family", ["tanh, gain 3", "ginibre", "relu", "triangular"])
def test_vectors_and_their_signs(vj, leading, family):
    jacobians = helpers.FAMILIES[family](np.random.default_rng(5), N, STEPS)
    left, sigma, right = np.linalg.svd(product_of(jacobians[2:6]))
    result = leading(
        vj.JacobianChain(jacobians), K, oversample=EXTRA, window=(2, 6), tolerance=1e-12
    )
    assert np.max(result.vector_error) < 1e-4
    for found, expected in (
        (result.right_vectors, right[:K].T),
        (result.left_vectors, left[:, :K]),
    ):
        np.testing.assert_array_less(sines(found, expected), result.vector_error + 1e-12)
        np.testing.assert_allclose(found.T @ found, np.eye(K), atol=1e-12)
    peaks = result.right_vectors[np.argmax(np.abs(result.right_vectors), axis=0), np.arange(K)]
    assert np.all(peaks > 0)
    image = product_of(jacobians[2:6]) @ result.right_vectors
    np.testing.assert_allclose(image, result.left_vectors * sigma[:K], atol=1e-4 * sigma[0])


@pytest.mark.parametrize("top", [0.0, 20.0, 400.0])
def test_small_gaps_below_a_direction_of_any_size(vj, leading, top):
    # The other values lie within 1 nat: the third and the seventh are 0.1 apart.
    logs = np.concatenate([[top], -np.linspace(0.05, 1, 39)])
    jacobians = with_spectrum(np.random.default_rng(0), logs)
    few = leading(vj.JacobianChain(jacobians), 3, oversample=3)
    assert not few.converged and "raise max_passes=40 or oversample=3" in few.status
    error = np.abs(few.log_singular_values - logs[:3])
    np.testing.assert_array_less(error, few.error_bound + 1e-13)
    result = leading(vj.JacobianChain(jacobians), 3, oversample=20)
    assert result.converged and result.num_passes < 40
    np.testing.assert_array_less(
        np.abs(result.log_singular_values - logs[:3]), result.error_bound + 1e-13
    )
    np.testing.assert_allclose(result.log_singular_values, logs[:3], atol=1e-7)


def test_diagonal_chain_beyond_the_range_of_floats(vj, leading):
    rates = -np.arange(1.0, N + 1) * 20
    chain = vj.JacobianChain(np.stack([np.diag(np.exp(rates))] * STEPS))
    result = leading(chain, K, oversample=EXTRA)
    np.testing.assert_allclose(result.log_singular_values, STEPS * rates[:K], rtol=1e-14)
    np.testing.assert_allclose(np.abs(result.right_vectors), np.eye(N)[:, :K], atol=1e-12)


def test_orthogonal_chain_has_equal_values_and_no_vectors_of_its_own(vj, leading):
    jacobians = helpers.orthogonal_chain(np.random.default_rng(0), N, STEPS)
    result = leading(vj.JacobianChain(jacobians), K, oversample=EXTRA)
    assert result.num_passes == 2
    np.testing.assert_allclose(result.log_singular_values, 0, atol=1e-12)
    np.testing.assert_allclose(result.vector_error, 1)


@pytest.mark.parametrize("activation_first", [False, True])
def test_exact_zeros(vj, leading, activation_first):
    jacobians = helpers.orthogonal_chain(np.random.default_rng(0), N, STEPS)
    mask = np.diag((np.arange(N) == 4) * 1.0)
    jacobians[7] = jacobians[7] @ mask if activation_first else mask @ jacobians[7]
    result = leading(vj.JacobianChain(jacobians), K, oversample=EXTRA)
    np.testing.assert_allclose(result.log_singular_values, [0, -np.inf], atol=1e-12)
    assert result.converged and result.error_bound[1] == 0 and result.vector_error[1] == 1
    nothing = leading(vj.JacobianChain(np.zeros((STEPS, N, N))), K, oversample=EXTRA)
    assert np.isneginf(nothing.log_singular_values).all() and nothing.converged


def test_not_converged_is_said(vj, leading):
    jacobians = helpers.ginibre_chain(np.random.default_rng(0), N, STEPS)
    result = leading(vj.JacobianChain(jacobians), K, oversample=0, window=(0, 1), max_passes=2)
    assert not result.converged and "raise max_passes=2" in result.status
    assert not result.meets_tolerance and "above the tolerance" in repr(result)


def test_whole_spectrum_and_smallest_chains(vj, leading):
    jacobians = helpers.ginibre_chain(np.random.default_rng(0), N, STEPS)
    everything = leading(vj.JacobianChain(jacobians), N)
    exact = helpers.exact_log_singular_values(jacobians, 200)
    np.testing.assert_allclose(everything.log_singular_values, exact, atol=1e-9)
    empty = leading(vj.JacobianChain(jacobians), K, oversample=EXTRA, window=(3, 3))
    np.testing.assert_allclose(empty.log_singular_values, 0, atol=1e-14)
    one = leading(vj.JacobianChain(np.full((1, 1, 1), -3.0)), 1)
    assert one.log_singular_values == pytest.approx(np.log(3)) and one.left_vectors[0, 0] == -1


def test_another_start_gives_the_same_values(vj, leading):
    chain = vj.JacobianChain(helpers.ginibre_chain(np.random.default_rng(0), N, STEPS))
    first, again, other = (
        leading(chain, K, oversample=EXTRA, key=key)
        for key in (jax.random.key(1), jax.random.key(1), jax.random.key(2))
    )
    np.testing.assert_array_equal(first.log_singular_values, again.log_singular_values)
    np.testing.assert_allclose(first.log_singular_values, other.log_singular_values, atol=1e-8)
    assert np.any(first.log_singular_values != other.log_singular_values)


@pytest.mark.parametrize("name", ["VanillaCell", "LSTMCell"])
def test_streamed_cell_agrees_with_the_exact_product(vj, leading, name):
    cell = getattr(vj.cells, name)(2, 8, key=jax.random.key(0))
    inputs = jax.random.normal(jax.random.key(1), (12, 2))
    trajectory = vj.rollout(cell, cell.initial_state(), inputs)
    chain = vj.linearize(cell, trajectory, dense=False)
    result = leading(chain, K, oversample=EXTRA)
    assert not chain.is_dense and result.arithmetic_dtype == result.dtype == str(chain.dtype)
    exact = helpers.exact_log_singular_values(vj.linearize(cell, trajectory).jacobians, 200)[:K]
    np.testing.assert_array_less(
        np.abs(result.log_singular_values - exact), result.error_bound + 1e-10
    )
    assert np.max(result.error_bound) < (1e-6 if chain.dtype == np.float64 else 1e-2)
    shares = result.block_loadings()
    assert set(shares) == set(chain.blocks)
    np.testing.assert_allclose(sum(shares.values()), 1, atol=1e-6)
    if name == "LSTMCell":
        cells = result.block_loadings("left")["c"]
        np.testing.assert_allclose(cells, np.sum(result.left_vectors[8:] ** 2, axis=0))


def test_float32_cell_says_so_and_counts_its_rounding(vj, leading):
    cell = vj.cells.VanillaCell(2, 40, dtype=jnp.float32, key=jax.random.key(0))
    inputs = jax.random.normal(jax.random.key(1), (30, 2), jnp.float32)
    trajectory = vj.rollout(cell, jnp.zeros(40, jnp.float32), inputs)
    result = leading(vj.linearize(cell, trajectory, dense=False), 4)
    assert result.dtype == result.arithmetic_dtype == "float32"
    # The reference: the same Jacobians, rounded to float32, multiplied exactly.
    exact = helpers.exact_log_singular_values(vj.linearize(cell, trajectory).jacobians, 100)[:4]
    error = np.abs(result.log_singular_values - exact)
    assert 1e-8 < np.max(error) and np.all(error < result.rounding_error)
    assert np.max(result.error_bound) < 1e-3
    # No number of passes reaches the tolerance, and none is wasted on it.
    assert result.converged and not result.meets_tolerance and result.num_passes < 8


def test_input_loadings_are_the_derivative_by_the_input(vj, leading):
    from vanishing_jax.spectra._partial_spectrum import input_loadings

    cell = vj.cells.LSTMCell(2, 8, key=jax.random.key(0))
    inputs = jax.random.normal(jax.random.key(1), (12, 2))
    trajectory = vj.rollout(cell, cell.initial_state(), inputs)
    chain = vj.linearize(cell, trajectory, dense=False)
    result = leading(chain, K, oversample=EXTRA, window=(4, 12))
    loadings = input_loadings(chain, result)

    def state_after(x):
        before = jax.tree.map(lambda leaf: leaf[3], trajectory.states)
        return jnp.concatenate(cell(before, x))

    expected = np.asarray(jax.jacfwd(state_after)(inputs[3])).T @ result.right_vectors
    np.testing.assert_allclose(loadings, expected, atol=1e-5)
    with pytest.raises(ValueError, match="s >= 1; got s = 0"):
        input_loadings(chain, leading(chain, K, oversample=EXTRA))
    dense = vj.JacobianChain(helpers.ginibre_chain(np.random.default_rng(0), N, STEPS))
    with pytest.raises(ValueError, match="knows its cell"):
        input_loadings(dense, leading(dense, K, oversample=EXTRA))
    with pytest.raises(ValueError, match="spectrum of this chain"):
        input_loadings(chain, leading(dense, K, oversample=EXTRA))


def test_an_input_without_floats_has_no_loadings(vj, leading):
    from vanishing_jax.spectra._partial_spectrum import input_loadings

    cell = vj.FunctionCell(lambda w, h, x: jnp.tanh(w[x] * h), jnp.array([0.5, 2.0]))
    trajectory = vj.rollout(cell, jnp.ones(1), jnp.zeros(3, jnp.int32))
    chain = vj.linearize(cell, trajectory, dense=False)
    with pytest.raises(ValueError, match="floating leaf"):
        input_loadings(chain, leading(chain, 1, window=(1, 3)))


def reflected_chain(vj, n, steps):
    """Return a streamed chain H_t D_t H_{t-1} of reflections, and its exact log singular values.

    It takes n numbers per step, and no Jacobian need exist.
    """
    rng = np.random.default_rng(0)
    dtype = jnp.result_type(float)
    w = rng.standard_normal((steps + 1, n))
    w /= np.linalg.norm(w, axis=1)[:, None]
    rates = np.sort(rng.uniform(-1, 0, n)) + 0.3 * rng.standard_normal((steps, n))
    inputs = tuple(jnp.asarray(x, dtype) for x in (w[:-1], rates, w[1:]))

    def step(_, h, x):
        before, rate, after = x
        h = jnp.exp(rate) * (h - 2 * before * (before @ h))
        return h - 2 * after * (after @ h)

    cell = vj.FunctionCell(step, ())
    chain = vj.linearize(cell, vj.rollout(cell, jnp.zeros(n, dtype), inputs), dense=False)
    return chain, np.sort(np.asarray(inputs[1], np.float64).sum(axis=0))[::-1]


def largest_array(closed):
    """Return the number of elements of the largest array in a jaxpr and all jaxprs inside it."""
    sizes = [1]
    for equation in closed.jaxpr.eqns:
        sizes += [getattr(v.aval, "size", 1) for v in (*equation.invars, *equation.outvars)]
        for value in equation.params.values():
            parts = value if isinstance(value, tuple | list) else [value]
            for part in parts:
                if hasattr(part, "jaxpr") and hasattr(part, "consts"):
                    sizes.append(largest_array(part))
    return max(sizes)


def check_large_state(vj, leading, n, steps):
    from vanishing_jax.spectra._streams import pushed

    chain, exact = reflected_chain(vj, n, steps)
    result = leading(chain, 3)
    error = np.abs(result.log_singular_values - exact[:3])
    np.testing.assert_array_less(error, result.error_bound)
    wide = chain.dtype == np.float64
    assert result.converged and np.max(result.error_bound) < (1e-6 if wide else 1e-3)
    # The vectors are singular vectors: chain.mv is another path through the steps.
    tolerance = 1e-3 if wide else 1e-2
    for i in range(2):
        image = chain.mv(jnp.asarray(result.right_vectors[:, i], chain.dtype))
        expected = np.exp(exact[i]) * result.left_vectors[:, i]
        np.testing.assert_allclose(image, expected, atol=tolerance * np.exp(exact[i]))
    block, moment, sizes = jnp.zeros((n, 14), chain.dtype), np.int32(0), []
    steps_of = (
        chain.linearization.trajectory.states[:16],
        tuple(x[:16] for x in chain.linearization.trajectory.inputs),
    )
    for transpose in (False, True):
        push = functools.partial(pushed, chain.linearization.rule, transpose=transpose)
        traced = jax.make_jaxpr(push)(steps_of, moment, moment, block)
        sizes.append(largest_array(traced))
    square = jax.make_jaxpr(jax.jit(lambda b: jnp.outer(b, b).sum()))(block[:, 0])
    assert largest_array(square) == n * n  # it would be seen
    assert max(sizes) <= 3 * 16 * n < n * n


def test_no_square_array_exists(vj, leading):
    check_large_state(vj, leading, 300, 20)


@pytest.mark.slow
def test_two_thousand_units(vj, leading):
    check_large_state(vj, leading, 2000, 50)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "expected k from 1"),
        ({"k": N + 1}, "expected k from 1"),
        ({"window": (5, 2)}, "expected a window"),
        ({"oversample": -1}, "expected oversample"),
        ({"tolerance": 0.0}, "expected a tolerance"),
        ({"max_passes": 1}, "expected max_passes"),
    ],
)
def test_bad_arguments(vj, leading, options, message):
    chain = vj.JacobianChain(np.stack([np.eye(N)] * STEPS))
    with helpers.as_a_user(), pytest.raises(ValueError, match=message):
        leading(chain, **{"k": K, **options})
    with pytest.raises(ValueError, match="expected side"), helpers.as_a_user():
        leading(chain, K, oversample=EXTRA).block_loadings("top")


def test_non_finite_and_traced_jacobians(vj, leading):
    jacobians = np.stack([np.eye(N)] * STEPS)
    jacobians[3, 0, 1] = np.nan
    with pytest.raises(vj.NonFiniteError, match="t = 4"):
        leading(vj.JacobianChain(jacobians), K, oversample=EXTRA)
    assert leading(vj.JacobianChain(jacobians), K, oversample=EXTRA, window=(0, 3)).converged

    def traced(J):
        return leading(vj.JacobianChain(J), 1).log_singular_values

    with pytest.raises(TypeError, match="outside jit"):
        jax.jit(traced)(jnp.ones((2, 2, 2)))


def test_surviving_directions_of_full_and_partial_spectra(vj, leading):
    from vanishing_jax.spectra._surviving import surviving_directions

    rates = -np.arange(N) / 10.0
    chain = vj.JacobianChain(np.stack([np.diag(np.exp(rates))] * STEPS))
    lags = [1, 5, 20]
    truth = [int(np.sum(lag * rates >= np.log(1e-3))) for lag in lags]
    assert truth == [12, 12, 4]
    full = surviving_directions(vj.log_singular_values(chain, lags=lags))
    assert full.lower.tolist() == full.upper.tolist() == truth and full.lags.tolist() == lags
    few = surviving_directions(leading(chain, K, oversample=EXTRA))
    assert (few.lower.tolist(), few.upper.tolist(), few.is_exact.tolist()) == ([2], [12], [False])
    assert "lag 20: 2 to 12" in repr(few)
    enough = surviving_directions(leading(chain, 6, oversample=EXTRA))
    assert enough.lower.tolist() == [4] and enough.is_exact.all()
    both = surviving_directions(
        [leading(chain, 6, oversample=EXTRA, window=(0, lag)) for lag in lags]
    )
    assert both.lower.tolist() == [6, 6, 4] and both.upper.tolist() == [12, 12, 4]
    assert both.windows.tolist() == [[0, 1], [0, 5], [0, 20]]
    part = vj.log_singular_values(chain, k=2)
    assert surviving_directions(part, state_size=N).upper.tolist() == [12]


def test_a_value_within_its_error_of_the_threshold_is_not_decided(vj, leading):
    from vanishing_jax.spectra._surviving import surviving_directions

    chain = vj.JacobianChain(np.stack([np.diag(np.linspace(1, 0.5, N))] * STEPS))
    result = leading(chain, 3, oversample=9)
    level = float(np.exp(result.log_singular_values[1]))
    counted = surviving_directions(result, threshold=level)
    assert (counted.lower[0], counted.upper[0]) == (1, 2) and not counted.is_exact[0]
    with pytest.raises(ValueError, match="threshold > 0"):
        surviving_directions(result, threshold=0.0)
    with pytest.raises(ValueError, match="at least one spectrum"):
        surviving_directions([])


@pytest.mark.parametrize("n", [1, 2, 5, 8])
@pytest.mark.parametrize("reach", [2000, 30, 4])
def test_triplets_of_a_graded_product_in_high_precision(n, reach):
    from vanishing_jax.spectra._finish import triplets_of
    from vanishing_jax.spectra._thin_sweep import ThinProduct
    from vanishing_jax.spectra._triangular import absorb

    rng = np.random.default_rng(n)
    basis, rows = rng.standard_normal((n + 3, n)), np.triu(rng.standard_normal((n, n)))
    exponent = -np.sort(-rng.integers(-reach, reach, n))  # as a sweep sorts them
    with mpmath.workdps(2500):
        scale = mpmath.diag([mpmath.mpf(2) ** int(e) for e in exponent])
        left, sigma, right = mpmath.svd_r(
            mpmath.matrix(basis.tolist()) * scale * mpmath.matrix(rows.tolist())
        )
        exact = [float(mpmath.log(s)) for s in sigma]
    product = ThinProduct(basis, *absorb(np.eye(n), exponent, rows), np.zeros(n))
    logs, found_left, found_right = triplets_of(product)
    np.testing.assert_allclose(logs, exact, rtol=1e-14, atol=1e-12)
    gap = 1 - np.exp(np.max(np.diff(exact), initial=-np.inf))
    for found, expected in (
        (found_left, np.array(left.tolist(), float)),
        (found_right, np.array(right.T.tolist(), float)),
    ):
        assert np.max(sines(found, expected)) < 1e-13 / gap
        np.testing.assert_allclose(found.T @ found, np.eye(n), atol=1e-13)


def test_triplets_where_rows_are_zero():
    from vanishing_jax.spectra._balance import ZERO
    from vanishing_jax.spectra._finish import triplets_of
    from vanishing_jax.spectra._thin_sweep import ThinProduct

    rng = np.random.default_rng(0)
    rows, exponent = np.triu(rng.uniform(1, 2, (5, 5))), np.zeros(5, np.int64)
    rows[4], exponent[4] = 0, ZERO
    product = ThinProduct(rng.standard_normal((7, 5)), exponent, rows, np.zeros(5))
    logs, left, right = triplets_of(product)
    assert np.isneginf(logs[4]) and np.isfinite(logs[:4]).all()
    for vectors in (left, right):
        np.testing.assert_allclose(vectors.T @ vectors, np.eye(5), atol=1e-13)
