from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest

from vanishing_jax.theory import independent_weight_bound, ring_exponents, ring_mean_exponent


@pytest.mark.parametrize("smallest, largest", [(0.0, 1.0), (0.9, 0.999), (0.99, 0.999), (0.5, 2.0)])
def test_ring_by_drawing_and_by_quadrature(smallest, largest):
    rng = np.random.default_rng(0)
    box = largest * (2 * rng.random((200_000, 2)) - 1)  # uniform in area, not by the formula
    moduli = np.linalg.norm(box, axis=1)
    moduli = moduli[(moduli >= smallest) & (moduli <= largest)]
    found = ring_exponents(5, smallest=smallest, largest=largest)
    below = (np.log(moduli)[:, None] < found).mean(axis=0)
    atol = 0.05 if smallest > 0.95 else 0.02
    np.testing.assert_allclose(below, [0.9, 0.7, 0.5, 0.3, 0.1], atol=atol)
    area = (largest**2 - smallest**2) / 2
    mean: Any = mpmath.quad(lambda r: r * mpmath.log(r) / area, [smallest, largest])
    found = ring_mean_exponent(smallest=smallest, largest=largest)
    assert found == pytest.approx(float(mean), rel=1e-9)


@pytest.mark.parametrize("steps, growth", [(7, 2.0), (784, 2.0), (50, 0.5)])
def test_independent_units_reach_the_bound_and_stay_below(steps, growth):
    u = independent_weight_bound(steps, growth=growth)
    h, product = 1.0, Fraction(1)
    for _ in range(steps):  # a ReLU that is always active: derivative u at every step
        h, product = max(u * h, 0.0), product * Fraction(u)
    assert h == pytest.approx(growth, rel=1e-12) == float(product)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="smallest < largest; got 1.0 and 0.5"):
        ring_mean_exponent(smallest=1.0, largest=0.5)
    with pytest.raises(ValueError, match="`n` of at least 1"):
        ring_exponents(0, smallest=0.0, largest=1.0)
    with pytest.raises(ValueError, match="`steps` of at least 1"):
        independent_weight_bound(0)
