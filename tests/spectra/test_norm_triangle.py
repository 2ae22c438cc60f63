import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from .. import helpers

pytestmark = pytest.mark.float64_anyway


@pytest.fixture
def vj():
    import vanishing_jax

    return vanishing_jax


@pytest.fixture
def triangle():
    from vanishing_jax.spectra._norm_triangle import spectral_norm_triangle

    return spectral_norm_triangle


def exact_log_norms(jacobians, times, digits=120):
    """Return the triangle from products and SVDs in high precision."""
    n, log_norm = jacobians.shape[-1], np.full((len(times), len(times)), np.nan)
    steps = [mpmath.matrix(np.asarray(J, np.float64).tolist()) for J in jacobians]
    with mpmath.workdps(digits):
        for j, s in enumerate(times):
            product = mpmath.eye(n)
            for i, t in enumerate(times[j:], j):
                for step in steps[times[i - 1] if i > j else s : t]:
                    product = step * product
                sigma = max(mpmath.svd_r(product, compute_uv=False))
                log_norm[i, j] = float(mpmath.log(sigma)) if sigma > 0 else -np.inf
    return log_norm


@pytest.mark.parametrize("family", helpers.FAMILIES)
def test_agrees_with_products_in_high_precision(vj, triangle, family):
    jacobians = helpers.FAMILIES[family](np.random.default_rng(2), 4, 20)
    result = triangle(vj.JacobianChain(jacobians), points=6)
    exact = exact_log_norms(jacobians, result.times)
    np.testing.assert_array_equal(np.isnan(result.log_norm), np.isnan(exact))
    np.testing.assert_allclose(result.log_norm, exact, atol=1e-9)
    known = np.tril_indices(6)
    error = np.abs(result.log_norm - exact)[known]
    np.testing.assert_array_less(error, result.error[known] + 1e-15)
    assert result.meets_tolerance and np.all(np.isnan(result.error[np.triu_indices(6, 1)]))


def test_agrees_with_svd_of_brute_force_products(vj, triangle):
    # Large enough for the Lanczos iteration to stop early, and with no gap at the top of one step.
    jacobians = helpers.ginibre_chain(np.random.default_rng(0), 60, 8)
    result = triangle(vj.JacobianChain(jacobians))
    assert result.times.tolist() == list(range(9))
    for s in range(9):
        product = np.eye(60)
        for t in range(s + 1, 9):
            product = jacobians[t - 1] @ product
            exact = np.log(np.linalg.norm(product, ord=2))
            assert abs(result.log_norm[t, s] - exact) <= min(result.error[t, s] + 1e-13, 1e-9)


def test_range_beyond_floats(vj, triangle):
    w = np.array([np.exp(-30.0), 0.5])
    chain = vj.JacobianChain(np.stack([np.diag(w)] * 900 + [np.diag(1e300 * w)] * 300))
    result = triangle(chain, points=[0, 900, 1200])
    first, second = 900 * np.log(0.5), 300 * np.log(0.5e300)
    expected = [[0, np.nan, np.nan], [first, 0, np.nan], [first + second, second, 0]]
    np.testing.assert_allclose(result.log_norm, expected, rtol=1e-14)


def test_exact_zeros_cut_everything_before_them(vj, triangle):
    jacobians = helpers.orthogonal_chain(np.random.default_rng(0), 3, 10)
    jacobians[4] = 0
    # Also a zero that only a product has.
    jacobians[7], jacobians[8] = np.diag([1.0, 0, 0]), np.diag([0, 1.0, 0])
    result = triangle(vj.JacobianChain(jacobians))
    i, j = np.tril_indices(11)
    dead = ((i >= 5) & (j < 5)) | ((i >= 9) & (j < 8))
    np.testing.assert_array_equal(np.isneginf(result.log_norm[i, j]), dead)
    np.testing.assert_allclose(result.log_norm[i, j][~dead], 0, atol=1e-13)
    assert np.all(result.error[i, j][dead] == 0)


def test_order_of_the_product(vj, triangle):
    A, B = np.array([[0.0, 2.0], [0.0, 0.0]]), np.array([[1.0, 0.0], [3.0, 0.0]])
    result = triangle(vj.JacobianChain(np.stack([A, B])))
    assert result.log_norm[2, 0] == pytest.approx(np.log(np.linalg.norm(B @ A, ord=2)))
    assert result.log_norm[2, 0] != pytest.approx(np.log(np.linalg.norm(A @ B, ord=2)))


def test_cancellation_is_admitted(vj, triangle):
    # The large direction of each step is killed by the next up to rounding.
    rng = np.random.default_rng(0)
    a, b = np.linalg.qr(rng.standard_normal((5, 2)))[0].T
    J = 1e9 * np.outer(a, b) + 1e-9 * rng.standard_normal((5, 5))
    result = triangle(vj.JacobianChain(np.stack([J, J])))
    exact = exact_log_norms(np.stack([J, J]), result.times)
    assert 0.01 < np.abs(result.log_norm - exact)[2, 0] < result.error[2, 0]
    assert not result.meets_tolerance and "above the tolerance" in repr(result)


def test_a_direction_that_is_overtaken(vj, triangle):
    # The leading direction of the first steps is orthogonal to the one that wins later.
    early, late = np.diag([1.0, 0.9, 0.1]), np.diag([0.1, 1.0, 0.1])
    result = triangle(vj.JacobianChain(np.stack([early] * 4 + [late] * 4)))
    steps = np.arange(5)
    np.testing.assert_allclose(result.log_norm[:5, 0], 0, atol=1e-12)
    expected = np.maximum(steps * np.log(0.1), 4 * np.log(0.9))
    np.testing.assert_allclose(result.log_norm[4:, 0], expected, atol=1e-9)


def test_a_direction_that_is_overtaken_slowly(vj, triangle):
    # The vector found so far stays a singular vector: only a random share can show the new one.
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.standard_normal((150, 150)))[0]
    bulk = rng.uniform(0.2, 0.8, 148)
    first = Q @ np.diag([1, 0.97, *bulk]) @ Q.T
    later = Q @ np.diag([1, 1.002, *bulk**0.02]) @ Q.T
    result = triangle(vj.JacobianChain(np.stack([first] + [later] * 45)))
    expected = np.maximum(0, np.log(0.97) + np.arange(46) * np.log(1.002))
    np.testing.assert_allclose(result.log_norm[1:, 0], expected, atol=1e-9)


def test_grids(vj, triangle):
    chain = vj.JacobianChain(np.stack([0.5 * np.eye(2)] * 200))
    default = triangle(chain)
    assert default.times[0] == 0 and default.times[-1] == 200 and len(default.times) == 64
    lags = default.times[:, None] - default.times[None, :]
    expected = np.where(lags >= 0, lags * np.log(0.5), np.nan)
    np.testing.assert_allclose(default.log_norm, expected, atol=1e-12)
    assert triangle(chain, window=(20, 30)).times.tolist() == list(range(20, 31))
    assert triangle(chain, window=(20, 30), points=3).times.tolist() == [20, 25, 30]
    assert triangle(chain, points=(3, 5, 100)).times.tolist() == [3, 5, 100]
    assert triangle(chain, points=[7]).log_norm.tolist() == [[0.0]]
    assert "64 times from 0 to 200" in repr(default)


def test_streamed_chain_gives_the_same(vj, triangle):
    cell = vj.cells.LSTMCell(2, 4, key=jax.random.key(0))
    inputs = jax.random.normal(jax.random.key(1), (20, 2))
    trajectory = vj.rollout(cell, cell.initial_state(), inputs)
    streamed = triangle(vj.linearize(cell, trajectory, dense=False), points=5)
    dense = triangle(vj.linearize(cell, trajectory, dense=True), points=5)
    atol = 1e-12 if dense.dtype == "float64" else 1e-5
    np.testing.assert_allclose(streamed.log_norm, dense.log_norm, atol=atol)
    product = np.linalg.multi_dot(np.asarray(vj.linearize(cell, trajectory).jacobians)[::-1])
    expected = np.log(np.linalg.norm(product.astype(np.float64), ord=2))
    assert dense.log_norm[-1, 0] == pytest.approx(expected, abs=atol)
    assert dense.arithmetic_dtype == "float64"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": 1}, "at least 2 points"),
        ({"points": [3, 3]}, "ascending times"),
        ({"points": [0, 9]}, "ascending times"),
        ({"points": []}, "list of whole times"),
        ({"points": [0.5, 1.0]}, "list of whole times"),
        ({"points": [0, 2], "window": (0, 3)}, "explicit times"),
        ({"window": (3, 1)}, "expected a window"),
        ({"tolerance": 0.0}, "expected a tolerance"),
    ],
)
def test_bad_arguments(vj, triangle, options, message):
    with helpers.as_a_user(), pytest.raises(ValueError, match=message):
        triangle(vj.JacobianChain(np.stack([np.eye(2)] * 4)), **options)


def test_non_finite_traced_and_too_large(vj, triangle, monkeypatch):
    from vanishing_jax.spectra import _norm_triangle as module

    jacobians = np.stack([np.eye(2)] * 6)
    jacobians[3, 0, 1] = np.inf
    with pytest.raises(vj.NonFiniteError, match="t = 4"):
        triangle(vj.JacobianChain(jacobians))
    with pytest.raises(TypeError, match="outside jit"):
        jax.jit(lambda J: triangle(vj.JacobianChain(J)).log_norm)(jnp.ones((2, 2, 2)))
    monkeypatch.setattr(module, "MEMORY_LIMIT", 100)
    with pytest.raises(MemoryError, match="fewer points"):
        triangle(vj.JacobianChain(jacobians))
