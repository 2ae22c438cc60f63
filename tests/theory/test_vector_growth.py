import mpmath
import numpy as np
import pytest

from vanishing_jax.theory import ginibre_log_moment, ginibre_vector_growth


def test_law_by_multiplying_matrices():
    n, steps, samples, s = 3, 6, 20_000, 0.6
    rng = np.random.default_rng(0)
    v = np.broadcast_to([0.6, -0.8, 0.0], (samples, n))
    for _ in range(steps):
        v = np.einsum("sij,sj->si", s * rng.normal(size=(samples, n, n)), v)
    logs = np.log(np.linalg.norm(v, axis=1))
    law = ginibre_vector_growth(n, steps=steps, variance=s**2)
    assert abs(logs.mean() - law.mean) < 4 * np.sqrt(law.variance / samples)
    assert logs.var() == pytest.approx(law.variance, rel=0.05)
    square = np.exp(2 * logs)
    assert abs(square.mean() - np.exp(law.log_mean_square)) < 4 * square.std() / samples**0.5
    # A tenth of the samples makes most of the mean: the typical one has little to do with it.
    assert law.typical_share < 0.15 < np.sort(square)[-samples // 10 :].sum() / square.sum()


@pytest.mark.parametrize("order", [-1.5, 0.5, 2.0, 4.0])
def test_moments_by_quadrature(order):
    n, s, steps = 3, 0.7, 5
    density = mpmath.sqrt(2 / mpmath.pi)  # of chi(3): x^2 exp(-x^2 / 2)
    one = mpmath.quad(
        lambda x: density * (s * x) ** order * x**2 * mpmath.exp(-x * x / 2), [0, 1, 4, mpmath.inf]
    )
    found = ginibre_log_moment(n, steps=steps, variance=s**2, order=order)
    assert found == pytest.approx(float(steps * mpmath.log(one)), rel=1e-9)


def test_orders_between_typical_and_mean_square():
    law = ginibre_vector_growth(5, steps=40, variance=0.2)
    orders = (1e-4, 1.0, 2.0, 6.0)
    rates = [ginibre_log_moment(5, steps=40, variance=0.2, order=k) / k for k in orders]
    assert np.all(np.diff(rates) > 0)
    assert rates[0] == pytest.approx(law.mean, rel=1e-3)
    assert 2 * rates[2] == pytest.approx(law.log_mean_square, abs=1e-12) == 0
    assert ginibre_vector_growth(5, steps=0, variance=0.2)[:3] == (0, 0, 0)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="`steps` of at least 0"):
        ginibre_vector_growth(2, steps=-1, variance=1.0)
    with pytest.raises(ValueError, match="positive, finite `variance`"):
        ginibre_vector_growth(2, steps=1, variance=0.0)
    with pytest.raises(ValueError, match="above -n = -2; got -2"):
        ginibre_log_moment(2, steps=1, variance=1.0, order=-2.0)
