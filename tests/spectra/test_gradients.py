"""Gradients through log singular values and QR growth against derivatives in high precision."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from ..helpers import (
    as_a_user,
    ginibre_chain,
    graded_chain,
    jordan_chain,
    orthogonal_chain,
    relu_chain,
    tanh_chain,
    triangular_chain,
)

N = 4


def gated_chain(rng, n, steps):
    """Return Jacobians shaped like an LSTM's: forget gates on c, saturated output gates on h."""
    half, chain = n // 2, []
    for _ in range(steps):
        forget = np.diag(rng.uniform(0.5, 1, half))
        write = 0.5 * rng.standard_normal((half, half))
        gate = np.diag(10 ** rng.uniform(-4, 0, half))
        opening = gate @ rng.standard_normal((half, half))
        chain.append(np.block([[gate @ write + opening, gate @ forget], [write, forget]]))
    return np.stack(chain)


CHAINS = {
    "tanh, gain 0.5": lambda rng, T: tanh_chain(rng, N, T, 0.5),
    "tanh, gain 3": lambda rng, T: tanh_chain(rng, N, T, 3.0),
    "tanh, gain 12": lambda rng, T: tanh_chain(rng, N, T, 12.0),
    "tanh first, gain 12": lambda rng, T: tanh_chain(rng, N, T, 12.0, activation_first=True),
    "gated": lambda rng, T: gated_chain(rng, N, T),
    "graded on both sides": lambda rng, T: graded_chain(rng, N, T),
    "ginibre": lambda rng, T: ginibre_chain(rng, N, T),
    "triangular": lambda rng, T: triangular_chain(rng, N, T),
    "jordan": lambda rng, T: jordan_chain(rng, N, T),
}


def functions():
    from vanishing_jax import spectra

    return {
        "singular values": spectra.product_log_singular_values,
        "growth": spectra.product_log_growth,
    }


def gradient(name, jacobians, weights, **options):
    """Return d(weights @ logs)/d(jacobians) by reverse mode."""
    return _gradients(name, tuple(options.items()))(jnp.asarray(jacobians), jnp.asarray(weights))


@eqx.filter_jit
def _pull(function, jacobians, weights):
    return jax.vjp(function, jacobians)[1](weights)[0]


def _gradients(name, options):
    function = functions()[name]
    if options:
        function = functools.partial(function, **dict(options))
    return lambda J, w: _pull(function, J, w)


# --- references in high precision -----------------------------------------------------------------


def _product(jacobians):
    product = mpmath.eye(jacobians[0].rows)
    for J in jacobians:
        product = J * product
    return product


def _exact_logs(jacobians, name):
    product = _product(jacobians)
    if name == "singular values":
        sigma = mpmath.svd_r(product, compute_uv=False)
        return [mpmath.log(s) for s in sorted(sigma, reverse=True)]
    from vanishing_jax.spectra._sweep import start_basis

    R = mpmath.qr(product * mpmath.matrix(start_basis(product.rows).tolist()))[1]
    return [mpmath.log(abs(R[i, i])) for i in range(product.rows)]


def central_difference(jacobians, weights, direction, *, name="singular values", digits=800):
    """Return the derivative along `direction` of the exact product's weights @ logs."""
    with mpmath.workdps(digits):
        h = mpmath.mpf(10) ** -200  # rows as small as 1e-100 must not notice
        J, D = ([mpmath.matrix(a.tolist()) for a in chain] for chain in (jacobians, direction))
        plus, minus = (
            _exact_logs([a + s * b for a, b in zip(J, D, strict=True)], name) for s in (h, -h)
        )
        w = [mpmath.mpf(float(x)) for x in weights]
        total = sum(a * (p - m) for a, p, m in zip(w, plus, minus, strict=True) if a != 0)
        return float(total / (2 * h))


def check_along_directions(
    jacobians, weights, found, rng, *, rtol, name="singular values", steps=slice(None)
):
    """Compare <found, change> with exact differences, for changes J_t X and X J_t of `steps`."""
    digits = 800 if len(jacobians) < 10 else 1600
    X = np.zeros((2, *jacobians.shape))
    X[:, steps] = rng.standard_normal(X[:, steps].shape)
    for direction in (jacobians @ X[0], X[1] @ jacobians):
        expected = central_difference(jacobians, weights, direction, name=name, digits=digits)
        terms = np.asarray(found, np.float64) * direction
        # Tiny rows (columns) have large derivatives: for a change that is not scaled like them the
        # terms cancel. One of the two directions is.
        assert abs(terms.sum() - expected) <= rtol * np.sum(np.abs(terms))


# --- tests ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["singular values", "growth"])
@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("steps", [3, 60])
def test_gradient_is_that_of_the_exact_product(chain, steps, name):
    rng = np.random.default_rng(1)
    J = CHAINS[chain](rng, steps)
    weights = rng.standard_normal(N)
    found = gradient(name, J, weights)
    check_along_directions(J, weights, found, rng, rtol=1e-11, name=name)


def test_gradient_of_each_singular_value_of_a_wide_spectrum():
    J = tanh_chain(np.random.default_rng(0), N, 60, 12.0)  # log sigma from -70 to -1500
    for i in range(N):
        weights = np.eye(N)[i]
        found = gradient("singular values", J, weights)
        check_along_directions(J, weights, found, np.random.default_rng(i), rtol=1e-11)


@pytest.mark.parametrize(
    ("dtype", "bits", "rtol"),
    [
        (np.float64, (900, 200), 1e-11),
        (np.float64, (200, 900), 1e-11),
        (np.float32, (100, 50), 1e-4),
    ],
)
def test_rows_that_part_by_more_than_the_range_in_two_steps(dtype, bits, rtol):
    """Going back, what underflowed after two steps is of order one after one of them."""
    rng = np.random.default_rng(6)
    grading = 2.0 ** -np.outer(bits, np.linspace(0, 1, N))
    J = (grading[:, :, None] * ginibre_chain(rng, N, 2)).astype(dtype)
    weights = rng.standard_normal(N).astype(dtype)
    found = gradient("singular values", J, weights)
    J, weights = J.astype(np.float64), weights.astype(np.float64)
    for t in range(2):  # one at a time: gradients of steps differ by many decades
        check_along_directions(J, weights, found, rng, rtol=rtol, steps=slice(t, t + 1))


@pytest.mark.parametrize("name", ["singular values", "growth"])
def test_every_entry_of_one_step(name):
    J = ginibre_chain(np.random.default_rng(3), N, 3)
    weights = np.array([1.0, -2.0, 0.5, 3.0])
    found = np.asarray(gradient(name, J, weights))
    expected = np.empty((N, N))
    for i, j in np.ndindex(N, N):
        direction = np.zeros_like(J)
        direction[1, i, j] = 1
        expected[i, j] = central_difference(J, weights, direction, name=name)
    np.testing.assert_allclose(found[1], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["singular values", "growth"])
def test_all_ones_cotangent_gives_the_inverse_transposes(name):
    """The sum of the logs is log|det|, whatever coincides: d log|det J_t| = J_t^-T."""
    rng = np.random.default_rng(0)
    dtype = jnp.result_type(float)
    for J in (orthogonal_chain(rng, N, 60), ginibre_chain(rng, N, 60)):
        found = gradient(name, J.astype(dtype), np.ones(N, dtype))
        expected = np.swapaxes(np.linalg.inv(J), 1, 2)
        error = np.max(np.abs(found - expected), axis=(1, 2)) / np.max(np.abs(expected), (1, 2))
        assert found.dtype == dtype
        assert error.max() < 3e3 * jnp.finfo(dtype).eps


def test_a_cluster_of_equal_values_with_equal_cotangents():
    """Two pairs, 2 and 1/2 per step: the sum over one pair has a gradient, b a^T summed."""
    rng = np.random.default_rng(0)
    U = orthogonal_chain(rng, N, 61)
    D = np.diag([2.0, 2.0, 0.5, 0.5])
    J = U[1:] @ D @ np.swapaxes(U[:-1], 1, 2)
    found = gradient("singular values", J, np.array([1.0, 1.0, 0, 0]))
    # Direction U_t[:, i] of step t is mapped to D_i U_{t+1}[:, i].
    expected = U[1:, :, :2] @ np.swapaxes(U[:-1, :, :2], 1, 2) / 2
    np.testing.assert_allclose(found, expected, atol=1e-13)


def test_three_steps_against_autodiff_of_the_formed_product():
    J = jnp.asarray(ginibre_chain(np.random.default_rng(5), N, 3))
    weights = jnp.arange(1.0, N + 1)

    def formed(J):
        return weights @ jnp.log(jnp.linalg.svd(J[2] @ J[1] @ J[0], compute_uv=False))

    expected = jax.grad(formed)(J)
    found = gradient("singular values", J, weights)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("activation_first", [False, True])
def test_exact_zeros_have_no_share(activation_first):
    """Rank lost at every step; the gradient of what survives is that of U_r g / sigma V_r^T."""
    J = relu_chain(np.random.default_rng(1), N, 12, activation_first=activation_first)
    logs = np.asarray(functions()["singular values"](jnp.asarray(J)))
    rank = int(np.isfinite(logs).sum())
    assert 0 < rank < N
    weights = np.where(np.isfinite(logs), np.arange(1.0, N + 1), 0)
    found = np.asarray(gradient("singular values", J, weights))
    np.testing.assert_allclose(found, _gradient_below_rank(J, weights, rank), atol=1e-12)
    growth = np.asarray(functions()["growth"](jnp.asarray(J)))
    assert (np.isfinite(growth) == np.isfinite(logs)).all()
    assert np.isfinite(gradient("growth", J, weights)).all()
    for name in functions():
        assert np.isnan(gradient(name, J, np.ones(N))).all()


def _gradient_below_rank(jacobians, weights, rank):
    """Return P_{T,t}^T (U_r diag(w / sigma) V_r^T) P_{t-1,0}^T from an SVD in 200 digits."""
    with mpmath.workdps(200):
        J = [mpmath.matrix(a.tolist()) for a in jacobians]
        U, sigma, V = mpmath.svd_r(_product(J))
        pairs = zip(weights[:rank], list(sigma)[:rank], strict=True)
        share = mpmath.diag([mpmath.mpf(w) / s for w, s in pairs])
        inner = U[:, :rank] * share * V[:rank, :]
        rows = []
        for t in range(len(J)):
            before, after = (
                _product([mpmath.eye(N), *J[:t]]),
                _product([mpmath.eye(N), *J[t + 1 :]]),
            )
            rows.append(np.array((after.T * inner * before.T).tolist(), np.float64))
        return np.stack(rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["singular values", "growth"])
def test_checkpoints_change_nothing(name):
    dtype = jnp.result_type(float)
    J = tanh_chain(np.random.default_rng(0), N, 60, 1.5).astype(dtype)
    weights = np.arange(1, N + 1).astype(dtype)
    stored = gradient(name, J, weights)
    eps = float(jnp.finfo(dtype).eps)
    for every in (1, 7):  # 60 is no multiple of 7
        again = gradient(name, J, weights, checkpoint_every=every)
        # Between checkpoints K is formed anew, else stepped back: 60 steps, each with its rounding.
        np.testing.assert_allclose(again, stored, rtol=10 * len(J) * eps, atol=eps)
    with pytest.raises(ValueError, match="checkpoint_every >= 1"):
        gradient(name, J, weights, checkpoint_every=0)


@pytest.mark.parametrize("name", ["singular values", "growth"])
def test_batches_by_vmap(name):
    dtype = jnp.result_type(float)
    rng = np.random.default_rng(0)
    J = np.stack([ginibre_chain(rng, N, 3), tanh_chain(rng, N, 3, 12.0)]).astype(dtype)
    weights = np.arange(1, N + 1).astype(dtype)
    found = jax.vmap(lambda J: _pull(functions()[name], J, jnp.asarray(weights)))(jnp.asarray(J))
    one_by_one = np.stack([gradient(name, chain, weights) for chain in J])
    scale = np.max(np.abs(one_by_one), axis=(2, 3), keepdims=True)
    assert np.max(np.abs(found - one_by_one) / scale) < 1e3 * jnp.finfo(dtype).eps


def test_float32_keeps_its_digits():
    rng = np.random.default_rng(0)
    J = tanh_chain(rng, N, 60, 1.5).astype(np.float32)
    weights = np.arange(1, N + 1).astype(np.float32)
    for name in functions():
        found = gradient(name, J, weights)
        assert found.dtype == np.float32
        check_along_directions(J.astype(np.float64), weights, found, rng, rtol=1e-4, name=name)


@pytest.mark.parametrize("name", ["singular values", "growth"])
def test_value_with_gradient_is_the_value(name):
    dtype = jnp.result_type(float)
    J = jnp.asarray(tanh_chain(np.random.default_rng(0), N, 60, 1.5).astype(dtype))
    with_gradient = jax.vjp(functions()[name], J)[0]
    np.testing.assert_allclose(
        with_gradient, functions()[name](J), rtol=20 * float(jnp.finfo(dtype).eps)
    )
    empty = jax.vjp(functions()[name], J[:0])
    assert empty[0].shape == (N,) and empty[1](empty[0])[0].shape == (0, N, N)
    np.testing.assert_allclose(empty[0], 0, atol=100 * float(jnp.finfo(dtype).eps))


# --- through a cell -------------------------------------------------------------------------------


def _network(gain, steps, n=N):
    import vanishing_jax as vj

    rng = np.random.default_rng(2)
    W = gain * rng.standard_normal((n, n)) / np.sqrt(n)
    cell = vj.FunctionCell(lambda W, s, x: jnp.tanh(W @ s + x), jnp.asarray(W))
    return cell, jnp.asarray(rng.standard_normal(n)), jnp.asarray(rng.standard_normal((steps, n)))


def test_gradient_through_the_parameters_of_a_cell():
    """The same network, run and differentiated by central differences in 200 digits."""
    from vanishing_jax import spectra

    cell, state0, inputs = _network(0.9, 12)
    W = np.asarray(cell.params)
    weights = np.array([1.0, 2.0])
    direction = np.random.default_rng(1).standard_normal(W.shape)

    def logs(h, name):
        V = mpmath.matrix(W.tolist()) + h * mpmath.matrix(direction.tolist())
        state, chain = mpmath.matrix(np.asarray(state0).tolist()), []
        for x in np.asarray(inputs):
            state = (V * state + mpmath.matrix(x.tolist())).apply(mpmath.tanh)
            chain.append(mpmath.diag([1 - s**2 for s in state]) * V)
        return sum(w * log for w, log in zip(weights, _exact_logs(chain, name), strict=False))

    for name in functions():
        with mpmath.workdps(200):
            h = mpmath.mpf(10) ** -40
            expected = float((logs(h, name) - logs(-h, name)) / (2 * h))
        options: dict[str, Any] = {"weights": weights, "quantity": name}
        found = spectra.spectral_gradient(cell, state0, inputs, **options)
        along = np.sum(np.asarray(found.gradient.params) * direction)
        np.testing.assert_allclose(along, expected, rtol=1e-9)
        assert found.is_meaningful and found.relative_error < 1e-10
        assert "meaningful" in repr(found)


def test_chaos_is_flagged():
    from vanishing_jax import spectra

    dtype = jnp.result_type(float)
    readings = {}
    for gain in (0.9, 3.0):
        cell, state0, inputs = _network(gain, 150, n=16)
        cell, state0, inputs = jax.tree.map(lambda x: x.astype(dtype), (cell, state0, 0.1 * inputs))
        readings[gain] = spectra.spectral_gradient(
            cell, state0, inputs, weights=np.ones(1), quantity="growth"
        )
    assert not readings[0.9].is_chaotic and readings[0.9].is_meaningful
    assert readings[3.0].is_chaotic and not readings[3.0].is_meaningful
    assert "chaos" in repr(readings[3.0])


def test_coinciding_singular_values_are_flagged():
    import vanishing_jax as vj

    rotation = jnp.asarray(orthogonal_chain(np.random.default_rng(0), N, 1)[0])
    cell = vj.FunctionCell(lambda W, s, x: W @ s, rotation)
    inputs = jnp.zeros((5, 1))
    single, together = (
        vj.spectra.spectral_gradient(cell, jnp.ones(N), inputs, weights=w)
        for w in (np.eye(N)[0], np.ones(N))
    )
    assert single.is_degenerate and not single.is_meaningful and "coincide" in repr(single)
    assert together.is_meaningful and together.smallest_gap == np.inf
    np.testing.assert_allclose(together.gradient.params, 5 * rotation, atol=1e-13)


def test_wrong_arguments_are_explained():
    import vanishing_jax as vj

    cell = vj.FunctionCell(lambda W, s, x: W * s + x, jnp.zeros(2))
    arguments = cell, jnp.ones(2), jnp.zeros((3, 2))
    with as_a_user():
        wrong: Any = "sigma"
        with pytest.raises(ValueError, match="expected quantity in"):
            vj.spectra.spectral_gradient(*arguments, weights=np.ones(1), quantity=wrong)
        with pytest.raises(ValueError, match="expected weights of shape"):
            vj.spectra.spectral_gradient(*arguments, weights=np.ones((1, 1)))
        with pytest.raises(ValueError, match="at most 2 weights"):
            vj.spectra.spectral_gradient(*arguments, weights=np.ones(3))
        with pytest.raises(vj.NonFiniteError, match="exact zero"):
            vj.spectra.spectral_gradient(*arguments, weights=np.ones(1))
