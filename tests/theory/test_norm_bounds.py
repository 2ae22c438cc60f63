import numpy as np
import pytest

from vanishing_jax.theory import growth_bound, product_norm_bounds


def test_shift_matrix_has_radius_zero_and_grows_until_it_is_gone():
    # W = 1.2 x shift: sigma_1(W^t) = 1.2^t for t < 10 and W^10 = 0.
    W = 1.2 * np.eye(10, k=-1)
    bound = growth_bound(W)
    assert bound.spectral_radius == 0 and bound.linear_exponent == -np.inf
    assert bound.can_explode and not bound.must_vanish
    norms = [np.linalg.norm(np.linalg.matrix_power(W, t), 2) for t in range(11)]
    np.testing.assert_allclose(norms[:10], np.exp(bound.log_growth * np.arange(10)), rtol=1e-13)
    assert norms[10] == 0  # the bound is necessary for explosion, not sufficient
    assert norms[9] == pytest.approx(5.159780352, rel=1e-12)


def test_jordan_block_explodes_before_it_vanishes():
    W = np.array([[0.9, 1.0], [0.0, 0.9]])
    bound = growth_bound(W)
    assert bound.spectral_radius == pytest.approx(0.9) and not bound.must_vanish
    norms = [np.linalg.norm(np.linalg.matrix_power(W, t), 2) for t in range(301)]
    assert int(np.argmax(norms)) == 9
    assert max(norms) == pytest.approx(3.912567078376661, rel=1e-13)
    assert np.log(norms[300]) / 300 == pytest.approx(bound.linear_exponent, abs=0.03)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_bound_holds_along_a_network(activation):
    rng = np.random.default_rng(0)
    W, h, product = rng.normal(size=(6, 6)) / 2, np.zeros(6), np.eye(6)
    per_step = growth_bound(W, activation=activation).log_growth
    jacobians = []
    for _ in range(20):
        if activation == "tanh":
            h = np.tanh(W @ h + rng.normal(size=6))
            slope = 1 - h**2
        else:
            h = 1 / (1 + np.exp(-(W @ h + rng.normal(size=6))))
            slope = h * (1 - h)
        jacobians.append(slope[:, None] * W)
    upper, lower = product_norm_bounds(np.array(jacobians))
    for t, J in enumerate(jacobians, start=1):
        product = J @ product
        logs = np.log(np.linalg.svd(product, compute_uv=False))
        assert logs[0] <= upper[t] + 1e-12 and upper[t] <= t * per_step + 1e-12
        if t <= 5:  # later the smallest one is below what an SVD of the product resolves
            assert lower[t] <= logs[-1] + 1e-9


def test_bounds_are_reached_by_aligned_factors():
    J = np.array([np.diag([2.0, 0.5])] * 4)
    upper, lower = product_norm_bounds(J)
    np.testing.assert_allclose(upper, np.log(2) * np.arange(5), rtol=1e-15)
    np.testing.assert_allclose(lower, -np.log(2) * np.arange(5), rtol=1e-15)
    assert [b.tolist() for b in product_norm_bounds(J[:0])] == [[0.0], [0.0]]


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="square, finite"):
        growth_bound(np.full((2, 2), np.nan))
    with pytest.raises(ValueError, match="Give `steepest`"):
        growth_bound(np.eye(2), activation="gelu")
    with pytest.raises(ValueError, match="positive, finite `steepest`"):
        growth_bound(np.eye(2), steepest=0.0)
    with pytest.raises(ValueError, match="time, n, n"):
        product_norm_bounds(np.zeros((3, 2, 1)))
