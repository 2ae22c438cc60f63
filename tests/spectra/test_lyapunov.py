import mpmath
import numpy as np
import pytest

from .. import helpers

pytestmark = pytest.mark.float64_anyway


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


def test_bad_arguments(vj):
    with pytest.raises(ValueError, match="at least one step"):
        exponents(vj, np.zeros((0, 2, 2)))
    with pytest.raises(ValueError, match="expected k"):
        exponents(vj, np.ones((1, 2, 2)), k=0)
