import fractions

import numpy as np
import pytest

from vanishing_jax.cli._exact import (
    _characteristic_polynomial,
    _integer_product,
    _roots_above,
    proven_error,
)

from .. import helpers


@pytest.mark.parametrize("family", ["tanh, gain 3", "relu", "graded on both sides", "jordan"])
def test_high_precision_is_confirmed_and_any_other_number_is_not(family):
    jacobians = helpers.FAMILIES[family](np.random.default_rng(2), 4, 12)
    logs = helpers.exact_log_singular_values(jacobians, 400)
    assert proven_error(jacobians, logs) <= 1e-12
    assert proven_error(jacobians, logs[::-1]) <= 1e-12  # in any order
    for i in np.flatnonzero(np.isfinite(logs)):
        for shift in (1e-7, -1e-7):
            wrong = logs.copy()
            wrong[i] += shift
            assert proven_error(jacobians, wrong) in (1e-7, pytest.approx(1e-6))
    assert proven_error(jacobians[1:], logs) > 1e-3  # another product


def test_exact_zeros_must_be_zeros_and_nothing_else():
    jacobians = np.stack([np.diag([2.0, 3.0, 0.0])] * 5)
    truth = 5 * np.log([3.0, 2.0])
    assert proven_error(jacobians, [*truth, -np.inf]) <= 1e-14
    assert proven_error(jacobians, [*truth, -700.0]) == np.inf
    assert proven_error(jacobians, [truth[0], -np.inf, -np.inf]) == np.inf
    assert proven_error(jacobians, [*truth, np.nan]) == np.inf
    assert proven_error(0 * jacobians, [-np.inf] * 3) == 0
    assert proven_error(0 * jacobians, [-5.0] * 3) == np.inf


def test_multiple_and_far_apart_values():
    assert proven_error(np.stack([np.eye(4)] * 3), np.zeros(4)) <= 1e-14
    assert proven_error(np.stack([np.eye(4)] * 3), np.array([0, 0, 0, 1e-5])) == pytest.approx(1e-5)
    w = np.array([2.0**40, 1.0, 1.0, 2.0**-40])
    logs = 30 * np.log(w)
    jacobians = np.stack([np.diag(w)] * 30)
    assert proven_error(jacobians, logs) <= 1e-12  # the spacing of floats near 832
    assert proven_error(jacobians, logs + np.array([0, 0, 0, 5.0])) == np.inf


def test_cancellation_down_to_the_last_bit():
    # Eigenvalues 2 (1 + 2^-54) and 2^-53 (1 - 2^-54): as an integer matrix, the smallest is near 1.
    J = np.array([[1.0, 1.0], [1.0, 1 + 2.0**-52]])
    logs = 5 * np.log(2) * np.array([1.0, -53.0])
    assert proven_error(np.stack([J] * 5), logs) <= 1e-12


def test_products_and_polynomials_are_exact():
    rng = np.random.default_rng(0)
    jacobians = rng.standard_normal((5, 3, 3)) * 10.0 ** rng.integers(-9, 9, (5, 3, 3))
    jacobians[2, 1] = 0
    product, exponent = _integer_product(jacobians)
    expected = np.vectorize(fractions.Fraction)(jacobians[0])
    for J in jacobians[1:]:
        expected = np.vectorize(fractions.Fraction)(J) @ expected
    assert (product * fractions.Fraction(2) ** exponent == expected).all()
    # (x - 1)(x - 2)(x - 6), by a matrix similar to diag(1, 2, 6).
    S = np.array([[1, 4, 2], [0, 1, 3], [0, 0, 1]])
    inverse = np.array([[1, -4, 10], [0, 1, -3], [0, 0, 1]])
    A = (S @ np.diag([1, 2, 6]) @ inverse).astype(object)
    assert _characteristic_polynomial(A) == [1, -9, 20, -12]


def test_roots_are_counted_with_multiplicity():
    coefficients = [int(c) for c in np.poly([1, 4, 4, 4, 9])]
    counts = {-1: 5, 0: 5, 1: 4, 2: 4, 4: 1, 5: 1, 9: 0, 10: 0}
    assert {x: _roots_above(coefficients, x) for x in counts} == counts
