import functools

import jax.numpy as jnp
import jax.random as jr
import mpmath
import numpy as np
import pytest

import vanishing_jax as vj
from vanishing_jax.spectra._covariant import covariant_lyapunov_vectors

GROWTH = np.array([0.6, -0.1, -0.7, -2.0])


@functools.cache
def moving_frames():
    """Return frames M_0..M_T and J_t = M_t D M_{t-1}^-1: the columns of M_t are covariant."""
    rng, steps, n = np.random.default_rng(0), 200, len(GROWTH)
    frames = np.linalg.qr(rng.standard_normal((steps + 1, n, n)))[0]
    frames = frames + 0.2 * rng.standard_normal(frames.shape)
    frames = frames / np.linalg.norm(frames, axis=1, keepdims=True)
    return frames, frames[1:] * np.exp(GROWTH) @ np.linalg.inv(frames[:-1])


@functools.cache
def found(**options):
    return covariant_lyapunov_vectors(vj.JacobianChain(moving_frames()[1]), **options)


def sines(left, right):
    """Return the sine between each pair of columns, not trusting their length."""
    cosine = np.sum(left * right, axis=-2, keepdims=True)
    lengths = np.linalg.norm(left, axis=-2) * np.linalg.norm(right, axis=-2)
    off = left - right * cosine / np.sum(right**2, axis=-2, keepdims=True)
    return np.linalg.norm(off, axis=-2) * np.linalg.norm(right, axis=-2) / lengths


def covariance_defect(jacobians, times, vectors):
    """Return the largest sine between J_{t+1} v(t) and v(t+1), by definition."""
    pushed = jacobians[times[:-1]] @ vectors[:-1]  # jacobians[t] is J_{t+1}
    return sines(pushed, vectors[1:]).max()


def test_known_covariant_vectors_at_their_states():
    frames, _ = moving_frames()
    result = found()
    assert result.vectors.shape == (len(result.times), 4, 4) and result.vectors.dtype == np.float64
    assert sines(result.vectors, frames[result.times]).max() < 1e-11
    np.testing.assert_allclose(np.linalg.norm(result.vectors, axis=1), 1, rtol=1e-14)
    np.testing.assert_allclose(result.exponents, GROWTH, atol=1e-11)
    # Unit columns: the growth over each single step is that of D.
    np.testing.assert_allclose(result.local_growth, np.tile(GROWTH, (len(result.times) - 1, 1)),
                               atol=1e-11)  # fmt: skip
    assert result.undetermined == () and result.convergence.max() < 1e-11


def test_covariance_and_that_an_error_of_one_step_in_time_shows():
    frames, jacobians = moving_frames()
    result = found()
    assert result.covariance_residual < 1e-13
    assert covariance_defect(jacobians, result.times, result.vectors) < 1e-13
    # The error of a published package: vectors stored one index off are far from covariant.
    for shift in (-1, 1):
        shifted = np.roll(result.vectors, shift, axis=0)[1:-1]
        assert covariance_defect(jacobians, result.times[1:-1], shifted) > 0.9
        assert np.abs(np.sum(shifted * frames[result.times[1:-1]], axis=1)).min() < 0.01


def test_the_residual_is_computed_from_the_chain_and_sees_misplaced_vectors():
    from vanishing_jax.spectra._covariant import _covariance_residual

    _, jacobians = moving_frames()
    result = found()
    chain, times = vj.JacobianChain(jacobians), result.times
    assert _covariance_residual(chain, result.vectors, times) == result.covariance_residual
    for wrong in (np.roll(result.vectors, 1, axis=0), result.vectors[:, ::-1]):
        assert _covariance_residual(chain, wrong, times) > 0.5


def test_leading_vectors_window_and_transients():
    frames, jacobians = moving_frames()
    leading = found(k=2)
    assert leading.vectors.shape[1:] == (4, 2) and leading.exponents.shape == (2,)
    assert sines(leading.vectors, frames[leading.times][:, :, :2]).max() < 1e-11
    part = found(window=(20, 180), transient=(60, 70), k=3)
    np.testing.assert_array_equal(part.times, np.arange(80, 111))
    assert part.transient == (60, 70) and part.local_growth.shape == (30, 3)
    assert sines(part.vectors, frames[80:111, :, :3]).max() < 1e-9
    # e^-(gap * transient), the worse of the pair behind and the pair before.
    np.testing.assert_allclose(
        np.log(part.convergence), [-0.7 * 60, -0.6 * 60, -0.6 * 70], rtol=0.1
    )
    assert found(transient=65).transient == (65, 65)


def test_default_transient_is_as_long_as_the_closest_pair_needs_or_a_third():
    begin, end = found().transient
    # 34.5 nats at a gap of 0.6, up to the random start; the window's third is 66.
    assert abs(begin - 34.5 / 0.6) < 8 and abs(end - 34.5 / 0.6) < 8
    _, jacobians = moving_frames()
    short = covariant_lyapunov_vectors(vj.JacobianChain(jacobians[:30]))
    assert short.transient == (10, 10) and list(short.times) == list(range(10, 21))
    one = covariant_lyapunov_vectors(vj.JacobianChain(jacobians[:1]))
    assert one.transient == (0, 0) and one.covariance_residual < 1e-13
    assert one.undetermined == (0, 1, 2, 3)  # the last: nothing behind it singles it out


def test_without_transient_the_last_vectors_are_orthonormal_and_covariance_still_holds():
    _, jacobians = moving_frames()
    result = covariant_lyapunov_vectors(vj.JacobianChain(jacobians[:40]), transient=0)
    assert len(result.times) == 41 and result.covariance_residual < 1e-12
    np.testing.assert_allclose(result.vectors[-1].T @ result.vectors[-1], np.eye(4), atol=1e-12)
    assert result.convergence.max() == 1


def test_intersections_of_subspaces_in_high_precision():
    """v_i(t) spans the meet of i directions that grew most and n - i + 1 that will shrink most."""
    rng = np.random.default_rng(3)
    n, steps, t = 3, 60, 30
    jacobians = rng.standard_normal((steps, n, n)) * np.array([[1.0], [0.2], [0.05]])
    result = covariant_lyapunov_vectors(vj.JacobianChain(jacobians), transient=t - 1)
    with mpmath.workdps(150):
        past = future = mpmath.eye(n)
        for J in jacobians[:t]:
            past = mpmath.matrix(J.tolist()) * past
        for J in jacobians[t:]:
            future = mpmath.matrix(J.tolist()) * future
        U = mpmath.svd_r(past)[0]
        V = mpmath.svd_r(future)[2].T
        expected = np.empty((n, n))
        for i in range(n):
            # x in span(u_1..u_i), orthogonal to v_1..v_{i-1}: i unknowns, i - 1 equations.
            A = (V[:, : max(i, 1)].T * U[:, : i + 1]) if i else None
            x = mpmath.ones(i + 1, 1)
            if A is not None:
                x[:i, 0] = mpmath.lu_solve(A[:, :i], -A[:, i])
            expected[:, i] = [float(y) for y in U[:, : i + 1] * x]
    assert list(result.times) == [29, 30, 31]
    assert sines(result.vectors[1], expected).max() < 1e-12


def test_eigenvectors_of_one_repeated_matrix():
    rng = np.random.default_rng(1)
    eigenvectors = rng.standard_normal((3, 3))
    J = eigenvectors * np.array([1.5, -0.8, 0.3]) @ np.linalg.inv(eigenvectors)
    result = covariant_lyapunov_vectors(vj.JacobianChain(np.stack([J] * 150)))
    assert sines(result.vectors, np.broadcast_to(eigenvectors, result.vectors.shape)).max() < 1e-11
    np.testing.assert_allclose(result.exponents, np.log([1.5, 0.8, 0.3]), atol=1e-12)
    cosine = np.abs(np.sum(eigenvectors[:, :-1] * eigenvectors[:, 1:], axis=0))
    cosine /= np.linalg.norm(eigenvectors[:, :-1], axis=0) * np.linalg.norm(
        eigenvectors[:, 1:], axis=0
    )
    np.testing.assert_allclose(result.neighbor_angle, np.arccos(cosine), rtol=1e-9)


def test_equal_exponents_are_called_undetermined():
    c, s = np.cos(1.0), np.sin(1.0)
    J = np.array([[c, -s, 0], [s, c, 0], [0, 0, 0.5]])
    result = covariant_lyapunov_vectors(vj.JacobianChain(np.stack([J] * 150)))
    assert result.undetermined == (0, 1) and result.convergence[2] < 1e-12
    assert "not determined individually (equal exponents?): 0, 1" in repr(result)
    assert result.covariance_residual < 1e-13  # each is covariant all the same
    np.testing.assert_allclose(result.vectors[:, 2, :2], 0, atol=1e-12)  # their span is determined
    assert "not determined" not in repr(found()) and "covariant to" in repr(found())
    scalar = covariant_lyapunov_vectors(vj.JacobianChain(np.full((6, 1, 1), -0.5)))
    assert scalar.convergence == [0] and scalar.exponents == pytest.approx(np.log(0.5))
    assert scalar.neighbor_angle.shape == (0,) and "rad" not in repr(scalar)


def test_tiny_rows_of_saturated_units_keep_their_growth():
    # Rows e^-80 apart in one step, and a product far below the smallest float.
    rng, steps = np.random.default_rng(0), 60
    rows = np.exp(-np.array([80.0, 0.0, 40.0]))
    jacobians = rows[:, None] * rng.standard_normal((steps, 3, 3))
    result = covariant_lyapunov_vectors(vj.JacobianChain(jacobians), transient=10)
    total = np.linalg.slogdet(jacobians / rows[:, None]).logabsdet - 120
    # The sum of growths is that of volumes, but for the angles at both ends.
    volume = np.linalg.slogdet(result.vectors[[0, -1]]).logabsdet
    found = result.local_growth.sum() + volume[1] - volume[0]
    assert found == pytest.approx(total[10:50].sum(), abs=1e-8)
    assert np.all(np.diff(result.exponents) < -30)


def test_singular_chains_stop_at_their_rank():
    rng = np.random.default_rng(4)
    W = rng.standard_normal((4, 4))
    masks = rng.random((40, 4)) < 0.7
    masks[:, :2] = True  # two units are always on, the others off at times
    for jacobians in (masks[:, :, None] * W, W * masks[:, None, :]):
        chain = vj.JacobianChain(jacobians)
        with pytest.raises(ValueError, match="has rank 2 to rounding.*Ask for k=2 or fewer"):
            covariant_lyapunov_vectors(chain)
        with pytest.raises(ValueError, match="of rank at least 3"):
            covariant_lyapunov_vectors(chain, k=3)
        result = covariant_lyapunov_vectors(chain, k=2, transient=5)
        assert result.covariance_residual < 1e-10 and np.isfinite(result.local_growth).all()


@pytest.mark.parametrize("kind", ["zero", "rank one", "zero column"])
def test_rank_is_seen_through_rounding(kind):
    jacobians = np.random.default_rng(0).standard_normal((12, 3, 3))
    if kind == "zero":
        jacobians[7] = 0
    elif kind == "rank one":
        jacobians[7] = np.outer([1.0, 2.0, 3.0], [0.3, 0.2, 0.1])
    else:
        jacobians[7, :, 0] = 0
    rank = {"zero": 0, "rank one": 1, "zero column": 2}[kind]
    advice = f"Ask for k={rank}" if rank else "No direction survives"
    with pytest.raises(ValueError, match=f"at step 8 its product has rank {rank} .*{advice}"):
        covariant_lyapunov_vectors(vj.JacobianChain(jacobians))
    covariant_lyapunov_vectors(vj.JacobianChain(jacobians), window=(8, 12))
    if rank:
        result = covariant_lyapunov_vectors(vj.JacobianChain(jacobians), k=rank, transient=2)
        assert result.covariance_residual < 1e-10


def test_a_direction_that_has_converged_to_the_kernel_is_seen():
    # The third column of J Q cancels before any elimination: pure rounding, but no exact zero.
    frame = np.linalg.qr(np.random.default_rng(5).standard_normal((3, 3)))[0]
    diagonals = np.array([[4.0, 2.0, 0.5]] * 60 + [[2.0, 1.0, 0.0]] + [[4.0, 2.0, 0.5]] * 9)
    chain = vj.JacobianChain(frame * diagonals[:, None, :] @ frame.T)
    with pytest.raises(ValueError, match="at step 61 its product has rank 2"):
        covariant_lyapunov_vectors(chain)


def test_streamed_and_dense_chains_of_a_network_agree():
    cell = vj.cells.VanillaCell(1, 3, key=jr.key(1))
    trajectory = vj.rollout(cell, cell.initial_state(), 0.3 * jr.normal(jr.key(2), (130, 1)))
    dense = vj.linearize(cell, trajectory)
    streamed = vj.linearize(cell, trajectory, dense=False)
    one, two = (covariant_lyapunov_vectors(c, transient=40) for c in (dense, streamed))
    np.testing.assert_allclose(one.vectors, two.vectors, atol=1e-5)
    assert max(one.covariance_residual, two.covariance_residual) < 1e-4
    assert covariance_defect(np.asarray(dense.jacobians), one.times, one.vectors) < 1e-4


def test_float32_jacobians_are_analyzed_in_float64():
    _, jacobians = moving_frames()
    chain = vj.JacobianChain(jnp.asarray(jacobians, jnp.float32))
    result = covariant_lyapunov_vectors(chain, transient=60)
    assert result.vectors.dtype == np.float64 and result.covariance_residual < 1e-13
    np.testing.assert_allclose(result.exponents, GROWTH, atol=1e-5)


def test_bad_arguments():
    _, jacobians = moving_frames()
    chain = vj.JacobianChain(jacobians[:20])
    with pytest.raises(ValueError, match="at least one step; got"):
        covariant_lyapunov_vectors(vj.JacobianChain(np.zeros((0, 2, 2))))
    for k in (0, 5):
        with pytest.raises(ValueError, match="expected k from 1 to the state size 4"):
            covariant_lyapunov_vectors(chain, k=k)
    for transient in (-1, 10, (0, 20)):
        with pytest.raises(ValueError, match="leaves at least one of 20 steps"):
            covariant_lyapunov_vectors(chain, transient=transient)
    with pytest.raises(ValueError, match="expected a window"):
        covariant_lyapunov_vectors(chain, window=(0, 21))
    bad = jacobians[:20].copy()
    bad[16, 0, 0] = np.nan
    with pytest.raises(vj.NonFiniteError, match="first at t = 17"):
        covariant_lyapunov_vectors(vj.JacobianChain(bad))
    with pytest.raises(MemoryError, match=r"4 covariant vectors of size 4 .*Ask for fewer"):
        covariant_lyapunov_vectors(chain, memory_limit=1000)


def test_traced_jacobians_are_refused():
    import jax

    _, jacobians = moving_frames()

    def analyze(J):
        return covariant_lyapunov_vectors(vj.JacobianChain(J)).exponents

    with pytest.raises(TypeError, match="outside jit and vmap"):
        jax.jit(analyze)(jnp.asarray(jacobians[:5]))
