import numpy as np
import pytest

from vanishing_jax.theory import (
    ginibre_exponents,
    skip_exponents,
    skip_top_exponent,
    triangle_law,
)


def test_triangle_law_is_the_limit_of_the_exact_exponents():
    for n, tolerance in ((50, 0.05), (800, 0.004)):
        exact, limit = ginibre_exponents(n, variance=2.25 / n), triangle_law(n, gain=1.5)
        keep = slice(0, n * 9 // 10)  # the last few tend to -infinity in both
        assert np.abs(exact - limit)[keep].max() < tolerance
    assert np.all(np.diff(limit) < 0) and limit[0] < np.log(1.5)


@pytest.mark.parametrize(
    "keep, gain", [(0.0, 0.9), (0.9, 0.09), (0.5, 0.6), (1.0, 1.0), (-0.3, 0.2), (1.0, 0.02)]
)
def test_quantiles_by_counting_points_of_the_disk(keep, gain):
    rng = np.random.default_rng(0)
    z = gain * np.sqrt(rng.random(200_000)) * np.exp(2j * np.pi * rng.random(200_000))
    moduli = np.abs(keep + z)
    found = np.exp(skip_exponents(20, keep=keep, gain=gain))
    below = (moduli[:, None] < found).mean(axis=0)
    np.testing.assert_allclose(below, (np.arange(20, 0, -1) - 0.5) / 20, atol=0.005)
    assert found[0] < np.exp(skip_top_exponent(keep=keep, gain=gain)) == abs(keep) + gain


@pytest.mark.parametrize("keep, gain", [(0.9, 0.09), (0.5, 0.6)])
def test_eigenvalues_of_one_large_matrix(keep, gain):
    n = 200
    G = gain * np.random.default_rng(1).normal(size=(n, n)) / np.sqrt(n)
    logs = np.sort(np.log(np.abs(np.linalg.eigvals(keep * np.eye(n) + G))))[::-1]
    distance = np.abs(logs - skip_exponents(n, keep=keep, gain=gain))
    assert np.median(distance) < 0.02 and distance[: n * 3 // 4].max() < 0.1
    assert logs[0] == pytest.approx(skip_top_exponent(keep=keep, gain=gain), abs=0.05)


def test_known_leaky_exponents():
    # log(1 - a + a g) for g = 0.9.
    for a, expected in ((0.1, -0.01005033585), (0.3, -0.03045920748), (0.5, -0.05129329439)):
        assert skip_top_exponent(keep=1 - a, gain=0.9 * a) == pytest.approx(expected, abs=1e-11)
    assert skip_exponents(3, keep=-0.5, gain=0.0).tolist() == [np.log(0.5)] * 3
    assert skip_top_exponent(keep=0.0, gain=0.0) == -np.inf


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="`n` of at least 1; got 0"):
        triangle_law(0, gain=1.0)
    for keep, gain in ((0.0, 0.0), (1.0, -1.0), (np.nan, 1.0)):
        with pytest.raises(ValueError, match="`gain` >= 0"):
            skip_exponents(2, keep=keep, gain=gain)
    with pytest.raises(ValueError, match="`gain` >= 0"):
        skip_top_exponent(keep=1.0, gain=np.inf)
