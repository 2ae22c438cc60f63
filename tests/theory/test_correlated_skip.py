import numpy as np
import pytest

from vanishing_jax.theory.mean_field._leaky import correlated_skip_exponent


@pytest.mark.parametrize("keep, gain", [(0.9, 0.3), (0.2, 1.1), (1.0, 0.05)])
def test_slopes_that_never_or_always_change(keep, gain):
    fresh = correlated_skip_exponent(np.array([0.7, 0.0]), keep=keep, gain=gain)
    assert fresh == pytest.approx(np.log(keep**2 + gain**2 * 0.7) / 2, abs=1e-9)
    frozen = correlated_skip_exponent(np.array([0.49]), keep=keep, gain=gain)
    assert frozen == pytest.approx(np.log(keep + 0.7 * gain), abs=1e-9)
    between = correlated_skip_exponent(0.7 * 0.5 ** np.arange(50.0), keep=keep, gain=gain)
    assert fresh < between < np.log(keep + gain * np.sqrt(0.7))


@pytest.mark.parametrize(
    "keep, gain, memory, mean, spread", [(0.7, 0.3, 0.8, 0.3, 0.4), (0.5, 0.8, 0.5, 0.6, 0.3)]
)
def test_vectors_carried_by_one_matrix_and_changing_slopes(keep, gain, memory, mean, spread):
    n, steps, rates = 400, 250, []
    rng = np.random.default_rng(0)
    for _ in range(3):
        G = rng.normal(size=(n, n)) / np.sqrt(n)
        y, v, total = rng.normal(size=n), rng.normal(size=n), 0.0
        for t in range(steps):
            y = memory * y + np.sqrt(1 - memory**2) * rng.normal(size=n)
            v = keep * v + gain * (mean + spread * y) * (G @ v)
            norm = np.linalg.norm(v)
            v, total = v / norm, total + (np.log(norm) if t >= 50 else 0.0)
        rates.append(total / (steps - 50))
    C = mean**2 + spread**2 * memory ** np.arange(60)
    found = correlated_skip_exponent(C, keep=keep, gain=gain)
    assert np.mean(rates) == pytest.approx(found, abs=0.01)
    # Neither of the simple answers would pass.
    for other in (np.log(keep**2 + gain**2 * C[0]) / 2, np.log(keep + gain * np.sqrt(C[0]))):
        assert abs(np.mean(rates) - other) > 0.03


def test_edges_and_wrong_arguments():
    assert correlated_skip_exponent(np.array([0.0]), keep=0.5, gain=1.0) == np.log(0.5)
    assert correlated_skip_exponent(np.array([1.0]), keep=0.0, gain=0.0) == -np.inf
    found = correlated_skip_exponent(np.array([0.25, 0.1]), keep=0.0, gain=1.0)
    assert found == pytest.approx(np.log(0.5))
    for C, keep in ((np.zeros(0), 1.0), (np.ones(2), -1.0)):
        with pytest.raises(ValueError, match="`gain` >= 0"):
            correlated_skip_exponent(C, keep=keep, gain=1.0)
