import types

import numpy as np
import pytest

from vanishing_jax.spectra._dimension import (
    entropy_rate,
    entropy_rate_error,
    kaplan_yorke_dimension,
    kaplan_yorke_error,
)

from .. import helpers

INF = np.inf


# Published: Henon 1.2583 and Lorenz 2.0622 (Sprott, Chaos and Time-Series Analysis, 2003), Rossler
# 2.0132 from (0.0714, 0, -5.3943). The rest is arithmetic.
@pytest.mark.parametrize(
    ("exponents", "dimension", "digits"),
    [
        ([0.41922, -1.62319], 1.2583, 4),
        ([0.9056, 0.0, -14.5723], 2.0621, 4),
        ([0.0714, 0.0, -5.3943], 2.0132, 4),
        ([np.log(2), -np.log(3)], 1 + np.log(2) / np.log(3), 12),  # thin baker map
        ([-0.1, -0.2], 0.0, 12),
        ([0.3, 0.1], 2.0, 12),
        ([0.2, -0.2], 2.0, 12),
        ([0.0, -1.0], 1.0, 12),  # a limit cycle
        ([0.0, 0.0, -1.0], 2.0, 12),  # a torus
        ([1.0, -INF], 1.0, 12),
        ([-INF, -INF], 0.0, 12),
        ([2.0, 1.0, -2.0, -4.0], 3.25, 12),
        ([-4.0, 1.0, -2.0, 2.0], 3.25, 12),  # any order
        ([5], 1.0, 12),
        ([-5], 0.0, 12),
    ],
)
def test_dimension(exponents, dimension, digits):
    found = kaplan_yorke_dimension(exponents)
    assert isinstance(found, float) and found == pytest.approx(dimension, abs=0.6 * 10.0**-digits)
    assert kaplan_yorke_dimension(np.array(exponents)) == found
    assert kaplan_yorke_dimension(types.SimpleNamespace(exponents=exponents)) == found


def test_dimension_is_where_the_interpolated_sum_vanishes():
    rng = np.random.default_rng(0)
    for _ in range(50):
        rates = np.sort(rng.normal(size=6))[::-1]
        sums = np.concatenate([[0.0], np.cumsum(rates)])
        dimension = kaplan_yorke_dimension(rng.permutation(rates))
        if rates[0] > 0 and sums[-1] < 0:
            assert np.interp(dimension, np.arange(7), sums) == pytest.approx(0, abs=1e-12)
            assert dimension > np.argmax(sums)


@pytest.mark.parametrize(
    ("exponents", "rate"),
    [
        ([0.5, 0.25, -3.0], 0.75),
        ([-3.0, 0.25, 0.5], 0.75),
        ([-1.0, -INF], 0.0),
        ([0.0], 0.0),
        ([2.0], 2.0),
    ],
)
def test_entropy_rate(exponents, rate):
    found = entropy_rate(exponents)
    assert isinstance(found, float) and found == rate
    assert entropy_rate(types.SimpleNamespace(exponents=np.array(exponents))) == rate


def test_errors_are_the_sum_of_absolute_derivatives():
    rates, error = np.array([0.7, -2.5, 0.2]), np.array([0.01, 0.03, 0.02])
    result = types.SimpleNamespace(exponents=rates, standard_error=error)
    derivative = [
        (kaplan_yorke_dimension(rates + h) - kaplan_yorke_dimension(rates - h)) / 2e-6
        for h in 1e-6 * np.eye(3)
    ]
    assert kaplan_yorke_error(result) == pytest.approx(np.abs(derivative) @ error, rel=1e-6)
    assert kaplan_yorke_error(rates, error) == kaplan_yorke_error(result)
    assert entropy_rate_error(result) == pytest.approx(0.03)
    assert entropy_rate_error(rates, 2 * error) == pytest.approx(0.06)


def test_errors_where_the_dimension_is_a_whole_number_or_unknown():
    assert kaplan_yorke_error([-1.0, -2.0], [0.1, 0.1]) == 0
    assert kaplan_yorke_error([1.0, 2.0], [0.1, 0.1]) == 0
    assert kaplan_yorke_error([1.0, -INF], [0.1, np.nan]) == 0
    assert entropy_rate_error([1.0, -INF], [0.1, np.nan]) == 0.1
    assert np.isnan(kaplan_yorke_error([1.0, -2.0], [0.1, np.nan]))
    assert np.isnan(entropy_rate_error([1.0, -2.0], [np.nan, 0.1]))


@pytest.mark.parametrize("function", [kaplan_yorke_dimension, entropy_rate])
@pytest.mark.parametrize("bad", [[], [np.nan], [INF], [[1.0]], 1.0, ["a"], [1j]])
def test_bad_exponents(function, bad):
    with helpers.as_a_user(), pytest.raises(ValueError, match="expected"):
        function(bad)


@pytest.mark.parametrize("function", [kaplan_yorke_error, entropy_rate_error])
def test_bad_errors(function):
    with pytest.raises(ValueError, match="pass standard_error="):
        function([1.0, -2.0])
    for bad in ([0.1], [0.1, -0.1]):
        with pytest.raises(ValueError, match="expected 2 standard errors"):
            function([1.0, -2.0], bad)
