import numpy as np
import pytest

from vanishing_jax.theory import (
    masked_orthogonal_exponents,
    masked_orthogonal_growth_variance,
)


def haar(rng, samples, n):
    Q, R = np.linalg.qr(rng.normal(size=(samples, n, n)))
    return Q * np.sign(np.diagonal(R, axis1=1, axis2=2))[:, None, :]


def test_relu_networks_with_fresh_orthogonal_weights_follow_the_law_exactly():
    n, samples, gain = 4, 20_000, 1.2
    rng = np.random.default_rng(0)
    states, vectors = np.abs(rng.normal(size=(samples, n))), np.zeros((samples, n))
    vectors[:, 0] = 1
    logs = np.zeros(samples)
    for _ in range(2):
        Q = gain * haar(rng, samples, n)
        before = np.einsum("sij,sj->si", Q, states)  # the mask comes from the forward pass
        vectors = (before > 0) * np.einsum("sij,sj->si", Q, vectors)
        states = np.maximum(before, 0)
    with np.errstate(divide="ignore"):
        logs = np.log(np.linalg.norm(vectors, axis=1))
    alive = logs > -np.inf
    variance = 2 * masked_orthogonal_growth_variance(n)[0]
    mean = 2 * masked_orthogonal_exponents(n, gain=gain)[0]
    assert alive.mean() == pytest.approx((1 - 2.0**-n) ** 2, abs=0.01)
    assert abs(logs[alive].mean() - mean) < 4 * np.sqrt(variance / alive.sum())
    assert logs[alive].var() == pytest.approx(variance, rel=0.06)


def test_all_directions_by_monte_carlo():
    n, samples, active = 3, 20_000, 0.7
    rng = np.random.default_rng(1)
    count = rng.binomial(n, active, samples)
    Q = haar(rng, samples, n)
    growth = np.full((samples, n), -np.inf)
    for b in range(1, n + 1):
        R = np.linalg.qr(Q[count == b, :b]).R
        growth[count == b, :b] = np.log(np.abs(np.diagonal(R, axis1=1, axis2=2)))
    exponents = masked_orthogonal_exponents(n, active=active)
    variance = masked_orthogonal_growth_variance(n, active=active)
    for i in range(n - 1):
        values = growth[growth[:, i] > -np.inf, i]
        assert abs(values.mean() - exponents[i]) < 4 * np.sqrt(variance[i] / len(values))
        assert values.var() == pytest.approx(variance[i], rel=0.1)
    # The last direction survives only when no row is off, and then nothing shrinks.
    assert exponents[-1] == pytest.approx(0, abs=1e-14) == growth[count == n].max()
    assert variance[-1] == pytest.approx(0, abs=1e-14)


def test_limits():
    np.testing.assert_allclose(
        masked_orthogonal_exponents(5, gain=0.3, active=1.0), np.log(0.3), rtol=1e-14
    )
    assert np.abs(masked_orthogonal_growth_variance(5, active=1.0)).max() == 0
    # At gain sqrt 2 the mean square X is kept, Var X = 3/n, and so the typical vector shrinks.
    n = 1000
    found = masked_orthogonal_exponents(n, gain=np.sqrt(2.0))[0]
    assert found == pytest.approx(-3 / (4 * n), rel=0.01)
    assert masked_orthogonal_growth_variance(n)[0] == pytest.approx(3 / (4 * n), rel=0.01)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="positive, finite `gain`"):
        masked_orthogonal_exponents(2, gain=0.0)
    with pytest.raises(ValueError, match="probability `active`"):
        masked_orthogonal_growth_variance(2, active=0.0)
