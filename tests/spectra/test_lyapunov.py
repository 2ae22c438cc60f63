import jax
import mpmath
import numpy as np
import pytest

from vanishing_jax.spectra import _streams

from .. import helpers


@pytest.fixture
def vj():
    import vanishing_jax

    return vanishing_jax


def exponents(vj, jacobians, **options):
    return vj.lyapunov_exponents(vj.JacobianChain(jacobians), **options)


@pytest.mark.parametrize(
    "family", ["tanh, gain 3", "ginibre", "orthogonal", "graded on both sides"]
)
def test_agrees_with_qr_loop_in_high_precision(vj, family):
    n, steps = 4, 24
    jacobians = helpers.FAMILIES[family](np.random.default_rng(1), n, steps)
    # The engine's own start, rebuilt here from its documented recipe.
    start = np.linalg.qr(np.random.default_rng(0).standard_normal((n, n)))[0]
    with mpmath.workdps(400):
        product = mpmath.matrix(start.tolist())
        for J in jacobians:
            product = mpmath.matrix(J.tolist()) * product
        R = mpmath.qr(product)[1]
        logs = [float(mpmath.log(abs(R[i, i]))) / steps for i in range(n)]
    result = exponents(vj, jacobians)
    np.testing.assert_allclose(result.exponents, sorted(logs, reverse=True), atol=1e-9)
    assert result.sum_rule_residual < 1e-10


def test_differs_from_singular_values_by_less_and_less(vj):
    jacobians = helpers.ginibre_chain(np.random.default_rng(0), 8, 1000)
    gaps = []
    for steps in (40, 1000):
        chain = vj.JacobianChain(jacobians[:steps])
        spectrum = vj.log_singular_values(chain).log_singular_values / steps
        gaps.append(np.max(np.abs(spectrum - vj.lyapunov_exponents(chain).exponents)))
    assert gaps[0] > 1e-2 and gaps[1] < gaps[0] / 10


def test_ginibre_products_follow_newmans_law(vj):
    n, steps = 8, 1000
    result = exponents(vj, helpers.ginibre_chain(np.random.default_rng(4), n, steps))
    expected = vj.theory.ginibre_exponents(n, variance=1 / n)
    deviation = np.sqrt(vj.theory.ginibre_growth_variance(n) / steps)
    z = (result.exponents - expected) / deviation
    assert np.max(np.abs(z)) < 4.5
    np.testing.assert_array_less(result.standard_error, 3 * deviation)
    np.testing.assert_array_less(deviation, 3 * result.standard_error)


def test_exact_zeros_and_short_chains(vj):
    singular = exponents(vj, helpers.relu_chain(np.random.default_rng(0), 4, 30))
    assert np.isneginf(singular.exponents[-1]) and np.isnan(singular.sum_rule_residual)
    one = exponents(vj, np.full((1, 1, 1), 0.5))
    assert one.exponents == pytest.approx(np.log(0.5)) and np.isnan(one.standard_error).all()


def test_leading_k_and_tolerance(vj):
    jacobians = helpers.ginibre_chain(np.random.default_rng(0), 4, 30)
    full, leading = exponents(vj, jacobians), exponents(vj, jacobians, k=2, tolerance=1e-6)
    np.testing.assert_allclose(leading.exponents, full.exponents[:2], atol=1e-6)
    assert leading.meets_tolerance and "above" not in repr(leading)
    impossible = exponents(vj, jacobians, tolerance=1e-19)
    assert not impossible.meets_tolerance and "error above 1.0e-19" in repr(impossible)


def columns_of_the_full_sweep(vj, jacobians, count):
    """Return the rates of the first columns, in their order, every Jacobian factored alone."""
    from vanishing_jax.spectra._finish import log_r_diagonal
    from vanishing_jax.spectra._sweep import Sweep

    steps, n, _ = jacobians.shape
    sweep = Sweep(lambda a, b: jacobians[a:b].swapaxes(1, 2), n, steps, triangular=False)
    return log_r_diagonal(sweep.run(steps))[:count] / steps


@pytest.mark.parametrize("family", helpers.FAMILIES)
def test_few_columns_are_those_of_the_full_sweep(vj, family, monkeypatch):
    from vanishing_jax.spectra import _lyapunov

    jacobians = helpers.FAMILIES[family](np.random.default_rng(2), 14, 120)
    expected = np.sort(columns_of_the_full_sweep(vj, jacobians, 5))[::-1][:3]
    lost = family in ("jordan", "graded on both sides", "tanh first, gain 12")
    if not lost:  # without the columns that were not asked for
        monkeypatch.setattr(_lyapunov, "sweep_chain", None)
    result = exponents(vj, jacobians, k=3)
    np.testing.assert_allclose(result.exponents, expected, atol=1e-10)
    assert result.exponents.shape == result.standard_error.shape == (3,)
    assert result.meets_tolerance and (lost or np.isnan(result.sum_rule_residual))


def test_few_columns_that_lose_too_much_are_swept_with_all(vj):
    # Each pair nearly cancels on its own: what the next one multiplies is rounding.
    rng = np.random.default_rng(0)
    a, b = np.linalg.qr(rng.standard_normal((8, 2)))[0].T
    J = np.outer(a, b) + 1e-12 * rng.standard_normal((8, 8))
    from vanishing_jax.spectra import _lyapunov

    chain = vj.JacobianChain(np.repeat(J[None], 12, axis=0))
    assert _lyapunov._few_columns(chain, 1, np.array([12]), 1e-10) == (None, 1e-10)
    assert vj.lyapunov_exponents(chain, k=1).exponents == vj.lyapunov_exponents(chain).exponents[0]


def test_error_bound_of_few_columns(vj):
    jacobians = helpers.ginibre_chain(np.random.default_rng(0), 9, 40)
    result = exponents(vj, jacobians, k=2)
    exact = columns_of_the_full_sweep(vj, jacobians, 4)
    assert result.error_bound.shape == (2,)
    error = np.abs(result.exponents - np.sort(exact)[::-1][:2])
    np.testing.assert_array_less(error, result.error_bound + 1e-15)


def test_streamed_columns_are_pushed_and_the_program_is_compiled_once(vj):
    cell = vj.cells.VanillaCell(1, 12, key=jax.random.key(1))
    inputs = 0.3 * jax.random.normal(jax.random.key(2), (70, 1))
    found = []
    for steps in (70, 50):
        trajectory = vj.rollout(cell, cell.initial_state(), inputs[:steps])
        streamed = vj.linearize(cell, trajectory, dense=False)
        before = _streams.pushed._cached._cache_size()
        few = vj.lyapunov_exponents(streamed, k=2)
        found.append(_streams.pushed._cached._cache_size() - before)
        jacobians = np.asarray(vj.linearize(cell, trajectory).jacobians, np.float64)
        expected = np.sort(columns_of_the_full_sweep(vj, jacobians, 4))[::-1][:2]
        error = np.abs(few.exponents - expected)
        assert few.meets_tolerance and np.all(error <= few.tolerance + 1e-15)
        assert few.tolerance == 1e-10 or streamed.dtype == np.float32
        assert few.tolerance < 1e-5
    assert found == [2, 0]  # forward, and back for what errors have become


def test_few_columns_report_bad_steps(vj):
    jacobians = np.repeat(0.5 * np.ones((1, 8, 8)), 20, axis=0)
    jacobians[13, 2, 2] = np.nan
    with pytest.raises(vj.NonFiniteError, match="first at t = 14"):
        exponents(vj, jacobians, k=1)
    jacobians[13, 2, 2] = 1e300
    assert exponents(vj, jacobians, k=1).exponents[0] == pytest.approx(
        exponents(vj, jacobians).exponents[0], abs=1e-10
    )


def test_bad_arguments(vj):
    with pytest.raises(ValueError, match="at least one step"):
        exponents(vj, np.zeros((0, 2, 2)))
    with pytest.raises(ValueError, match="expected k"):
        exponents(vj, np.ones((1, 2, 2)), k=0)
