import math

import mpmath
import numpy as np
import pytest

from vanishing_jax.theory import latch_margin, tanh_fixed_point


@pytest.mark.parametrize("weight", [1.001, 1.1, 2.0, 5.0, 30.0, 600.0])
def test_fixed_point_by_high_precision(weight):
    with mpmath.workdps(700):  # 1 - tanh^2 cancels: as many digits as the exponent is deep
        w = mpmath.mpf(weight)
        a = mpmath.findroot(lambda x: x - w * mpmath.tanh(x), (w / 2 + 0.1, w), solver="anderson")
        if a < 1e-3:
            a = mpmath.findroot(lambda x: x - w * mpmath.tanh(x), mpmath.sqrt(3 * (w - 1)))
        exponent = mpmath.log(w / mpmath.cosh(a) ** 2)
        found = tanh_fixed_point(weight)
        assert found.state == pytest.approx(float(mpmath.tanh(a)), rel=1e-12)
        assert found.exponent == pytest.approx(float(exponent), rel=1e-9)


@pytest.mark.parametrize("weight", [-1.7, -0.6, 0.0, 0.4, 1.0, 1.4])
def test_iterating_the_unit_ends_there(weight):
    h, steps, start = 0.9, 4000, 2000
    growth = []
    for t in range(steps):
        h = math.tanh(weight * h)
        if t >= start and weight:
            growth.append(math.log(abs(weight * (1 - h * h))))
    found = tanh_fixed_point(weight)
    assert abs(h) == pytest.approx(found.state, abs=0.03 if weight == 1 else 1e-12)
    if weight:
        assert np.mean(growth) == pytest.approx(found.exponent, abs=1e-3)
        assert math.copysign(1, found.multiplier) == math.copysign(1, weight)
    else:
        assert found.multiplier == 0 and found.exponent == -math.inf


@pytest.mark.parametrize("weight", [1.1, 1.5, 3.0])
def test_bit_is_kept_below_the_margin_and_lost_above(weight):
    def after(x):
        a = 2 * weight  # the positive state, under a constant input against it
        for _ in range(20_000):
            a = weight * math.tanh(a) - x
        return a

    margin = latch_margin(weight)
    assert after(0.999 * margin) > 0 > after(1.001 * margin)


def test_small_weights_hold_nothing_and_wrong_ones_are_named():
    assert latch_margin(1.0) == latch_margin(-3.0) == 0
    for function in (latch_margin, tanh_fixed_point):
        with pytest.raises(ValueError, match="finite `weight`"):
            function(math.nan)
