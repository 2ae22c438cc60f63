"""Chains through depth: exact, of any widths, and honest about what cannot be differentiated."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from . import helpers

WIDTHS = (3, 5, 2, 4)


class Dense(eqx.Module):
    """tanh(W x), with the weights as leaves."""

    weight: jax.Array

    def __call__(self, x):
        return jnp.tanh(self.weight @ x)


def dense(widths, gain=1.0, seed=0, dtype=None):
    rng = np.random.default_rng(seed)
    shapes = zip(widths[1:], widths[:-1], strict=True)
    return [Dense(jnp.asarray(gain * rng.standard_normal(s), dtype or float)) for s in shapes]


def composed(layers):
    return lambda x: functools.reduce(lambda x, layer: layer(x), layers, x)


def product(chain, s=0, t=None):
    factors = [np.asarray(chain.jacobian(i)) for i in range(s + 1, (t or chain.num_steps) + 1)]
    return functools.reduce(lambda P, J: J @ P, factors)


def tolerance():
    return 1e-12 if jnp.zeros(()).dtype == np.float64 else 2e-5


def start(n=3):
    return jnp.asarray(np.linspace(-1, 1, n), float)


# --- exact ----------------------------------------------------------------------------------------


def test_rectangular_chain_is_the_derivative_of_the_composition():
    import vanishing_jax as vj

    layers, x = dense(WIDTHS), start()
    chain = vj.linearize_layers(layers, x)
    expected = np.asarray(jax.jit(jax.jacrev(composed(layers)))(x))
    assert chain.widths == WIDTHS and chain.is_rectangular and chain.axis == "layer"
    assert [chain.jacobian(i).shape for i in (1, 2, 3)] == [(5, 3), (2, 5), (4, 2)]
    np.testing.assert_allclose(product(chain), expected, atol=tolerance())
    v, w = np.array([1.0, -2.0, 0.5]), np.array([0.3, 1.0, -1.0, 2.0])
    np.testing.assert_allclose(chain.mv(v), expected @ v, atol=4 * tolerance())
    np.testing.assert_allclose(chain.rmv(w), expected.T @ w, atol=4 * tolerance())
    pushed = chain.mv(np.ones(5), window=(1, 2))
    np.testing.assert_allclose(pushed, chain.jacobian(2).sum(axis=1), atol=tolerance())
    with pytest.raises(ValueError, match=r"a vector of shape \(3,\)"):
        chain.mv(np.ones(5))
    with pytest.raises(IndexError, match="t from 1 to 3"):
        chain.jacobian(4)
    assert repr(chain).startswith("JacobianChain(3 layers, widths 3-5-2-4, float")


def test_as_many_singular_values_as_the_narrowest_width():
    import vanishing_jax as vj

    chain = vj.linearize_layers(dense(WIDTHS), start())
    exact = helpers.exact_log_singular_values(chain.jacobians, 60)
    assert np.isneginf(exact).sum() == 3
    spectrum = vj.log_singular_values(chain)
    np.testing.assert_allclose(spectrum.log_singular_values, exact[:2], atol=1e-12)
    assert np.all(spectrum.error_bound < 1e-10) and spectrum.axis == "layer"
    # Windows that do not contain the bottleneck have more.
    for window, count in (((0, 1), 3), ((1, 2), 2), ((3, 3), 4), ((0, 0), 3)):
        found = vj.log_singular_values(chain, window=window).log_singular_values
        P = product(chain, *window) if window[0] < window[1] else np.eye(count)
        direct = np.log(np.linalg.svd(P.astype(float), compute_uv=False))
        assert found.shape == (count,)
        np.testing.assert_allclose(found, direct, atol=1e-12)
    with pytest.raises(ValueError, match="k from 1 to the state size 2"):
        vj.log_singular_values(chain, k=3)


@pytest.mark.parametrize("direction", ["forward", pytest.param("backward", marks=pytest.mark.slow)])
def test_records_beyond_their_own_bottleneck_are_zero(direction):
    import vanishing_jax as vj

    chain = vj.linearize_layers(dense(WIDTHS), start())
    spectrum = vj.log_singular_values(chain, lags=[0, 1, 2, 3], direction=direction)
    counts = [3, 3, 2, 2] if direction == "forward" else [4, 2, 2, 2]
    assert spectrum.log_singular_values.shape == (4, counts[0])
    for logs, window, count in zip(
        spectrum.log_singular_values, spectrum.windows, counts, strict=True
    ):
        s, t = window.tolist()
        P = product(chain, s, t) if s < t else np.eye(count)
        direct = np.log(np.linalg.svd(P, compute_uv=False)[:count])
        np.testing.assert_allclose(logs[:count], direct, atol=1e-12)
        assert np.all(np.isneginf(logs[count:]))
    survivors = vj.spectra.surviving_directions(spectrum, threshold=1e-9)
    assert survivors.lower.tolist() == counts


@pytest.mark.parametrize(
    "widths", [(3, *[5] * 12), (5, 2, *[5] * 10, 3), (2, *[5] * 8, 2)], ids=str
)
def test_deep_rectangular_chains_against_high_precision(widths):
    """Saturated layers: values over hundreds of nats, whose product no float holds."""
    import vanishing_jax as vj

    chain = vj.linearize_layers(dense(widths, gain=9.0), start(widths[0]))
    exact = helpers.exact_log_singular_values(chain.jacobians, 400)
    found = vj.log_singular_values(chain)
    count = min(widths)
    assert np.isneginf(exact).sum() == 5 - count and exact[0] - exact[count - 1] > 15
    np.testing.assert_allclose(found.log_singular_values, exact[:count], atol=1e-10)


def test_equal_widths_are_a_plain_chain():
    import vanishing_jax as vj

    chain = vj.linearize_layers(dense((5, 5, 5, 5)), start(5))
    assert not chain.is_rectangular and chain.widths == (5,) * 4
    plain = vj.JacobianChain(chain.jacobians)
    found, expected = (vj.log_singular_values(c) for c in (chain, plain))
    assert np.array_equal(found.log_singular_values, expected.log_singular_values)
    assert np.array_equal(found.error_bound, expected.error_bound)
    assert repr(chain) == "JacobianChain(3 layers, width 5, float64)"


def test_one_layer_and_a_batch_by_vmap():
    import vanishing_jax as vj

    layers = dense(WIDTHS)
    one = vj.linearize_layers(layers[:1], start())
    assert one.num_steps == 1 and repr(one) == "JacobianChain(1 layer, widths 3-5, float64)"
    xs = jnp.stack([start(), -start(), 2 * start()])
    batch = eqx.filter_vmap(lambda x: vj.linearize_layers(layers, x))(xs)
    assert batch.batch_size == 3 and batch.widths == WIDTHS
    last = vj.linearize_layers(layers, xs[2])
    np.testing.assert_allclose(batch[2].jacobians, last.jacobians, atol=1e-15)
    assert batch[2].widths == WIDTHS and batch[2].axis == "layer"


# --- kinds of layers ------------------------------------------------------------------------------


def weights(count, n=3):
    rng = np.random.default_rng(5)
    return [jnp.asarray(0.5 * rng.standard_normal((n, n)), float) for _ in range(count)]


def normalized(x, axis):
    centered = x - x.mean(axis=axis, keepdims=True)
    return centered / jnp.sqrt((centered**2).mean(axis=axis, keepdims=True) + 1e-5)


def transformer_block(x):
    """A pre-norm block over tokens: x + attention(norm(x)), then x + mlp(norm(x))."""
    Q, K, V, A, B = weights(5)
    y = normalized(x, -1)
    x = x + jax.nn.softmax((y @ Q) @ (y @ K).T / 2.0) @ (y @ V)
    return x + jnp.tanh(normalized(x, -1) @ A) @ B


def batch_norm_block(x):
    """A layer on a whole batch (batch, features): relu(BN(x W)), its samples coupled."""
    return jax.nn.relu(normalized(x @ weights(1)[0], 0))


def residual_block(x):
    return x + jnp.tanh(normalized(x, -1)) @ weights(2)[1]


def test_residual_batch_norm_and_transformer_blocks():
    import vanishing_jax as vj

    layers = [residual_block, batch_norm_block, transformer_block]
    x = jnp.asarray(np.random.default_rng(7).standard_normal((4, 3)), float)
    chain = vj.linearize_layers(layers, x)
    assert chain.state_size == 12 and not chain.is_rectangular
    expected = np.asarray(jax.jit(jax.jacrev(composed(layers)))(x)).reshape(12, 12)
    np.testing.assert_allclose(product(chain), expected, atol=50 * tolerance())
    # Each layer's own: the batch couples its samples, the others only components of one.
    between = ~np.kron(np.eye(4, dtype=bool), np.ones((3, 3), bool))
    assert np.abs(np.asarray(chain.jacobian(2))[between]).max() > 0.01
    assert not np.any(np.asarray(chain.jacobian(1))[between])


def test_pytree_activations():
    """A complex leaf counts twice, an integer leaf passes through."""
    import vanishing_jax as vj

    def split(x):
        return {"z": jax.lax.complex(x[:2], x[1:]), "step": jnp.arange(2)}

    def join(y):
        return jnp.abs(y["z"]) ** 2 * (1 + y["step"]).astype(y["z"].real.dtype)

    x = start()
    chain = vj.linearize_layers([split, join], x)
    assert chain.widths == (3, 4, 2)
    expected = np.array([[2 * x[0], 2 * x[1], 0], [0, 4 * x[1], 4 * x[2]]])
    np.testing.assert_allclose(product(chain), expected, atol=tolerance())


def test_saturated_layers_keep_their_derivative():
    import vanishing_jax as vj

    layers = [Dense(jnp.asarray([[12.0]], jnp.float32))]
    J = vj.linearize_layers(layers, jnp.ones(1, jnp.float32)).jacobian(1)
    e = np.exp(-24.0)
    np.testing.assert_allclose(np.ravel(J), 12 * 4 * e / (1 + e) ** 2, rtol=1e-5)


@pytest.mark.parametrize("function", ["custom_vjp", "while_loop"])
def test_layer_with_one_mode_only(function):
    """By default the defined mode is taken; asked for the other, the error names it."""
    import vanishing_jax as vj

    @jax.custom_vjp
    def twice(x):
        return 2 * x

    twice.defvjp(lambda x: (2 * x, None), lambda _, g: (2 * g,))

    def loop(x):  # wide to narrow, for which reverse mode would be cheaper
        return jax.lax.while_loop(lambda x: jnp.sum(x) < 3, lambda x: 2 * x, x)[:1]

    layer, mode, x = (twice, "rev", start(2)) if function == "custom_vjp" else (
        loop, "fwd", jnp.array([0.5, 0.25]),
    )  # fmt: skip
    J = vj.linearize_layers([layer], x).jacobian(1)
    expected = 2 * np.eye(2) if function == "custom_vjp" else np.array([[4.0, 0.0]])
    np.testing.assert_array_equal(J, expected)
    other = "fwd" if mode == "rev" else "rev"
    with pytest.raises(TypeError, match=rf"no derivative by mode '{other}'[\s\S]*'{mode}'"):
        vj.linearize_layers([layer], x, mode=other)


def test_layers_that_differ_in_weights_are_compiled_once():
    import vanishing_jax as vj

    traced = []

    class Counted(eqx.Module):
        scale: jax.Array

        def __call__(self, x):
            traced.append(1)
            return self.scale * x

    layers = [Counted(jnp.asarray(float(i))) for i in range(9)]
    vj.linearize_layers(layers, start(2))
    assert len(traced) <= 9 + 3  # the shape of each, and one program


def test_float64_whatever_the_layers_hold():
    import vanishing_jax as vj

    narrow, x = dense(WIDTHS, dtype=jnp.float32), start().astype(jnp.float32)
    chain = vj.linearize_layers(narrow, x, precision="float64")
    assert isinstance(chain.jacobians, np.ndarray) and chain.dtype == np.float64
    wide = [Dense(layer.weight.astype(float)) for layer in narrow]
    expected = vj.linearize_layers(wide, x.astype(float)).jacobians
    np.testing.assert_allclose(chain.jacobians, expected, atol=1e-15)

    def narrowing(x):
        return x.astype(jnp.float32)

    with pytest.raises(ValueError, match=r"layers\[1\] returns float32"):
        vj.linearize_layers([wide[0], narrowing], x, precision="float64")


# --- Jacobians given, and other spectra -----------------------------------------------------------


def test_rectangular_jacobians_from_elsewhere():
    import vanishing_jax as vj

    rng = np.random.default_rng(1)
    shapes = list(zip(WIDTHS[1:], WIDTHS[:-1], strict=True))
    jacobians = [rng.standard_normal(shape) for shape in shapes]
    chain = vj.JacobianChain(jacobians, axis="layer")
    assert chain.widths == WIDTHS
    P = functools.reduce(lambda P, J: J @ P, jacobians)
    U, sigma, Vt = np.linalg.svd(P, full_matrices=False)
    leading = vj.spectra.leading_singular_values(chain, 2)
    np.testing.assert_allclose(leading.log_singular_values, np.log(sigma[:2]), atol=1e-9)
    for vectors, expected in ((leading.right_vectors, Vt.T), (leading.left_vectors, U)):
        assert vectors.shape[0] == len(expected)
        overlap = np.abs(np.sum(vectors * expected[:, :2], axis=0))
        np.testing.assert_allclose(overlap, 1, atol=1e-9)
    influence = vj.diagnostics.influence_map(chain)
    assert influence.axis == "layer"
    for s, t in ((0, 1), (1, 3), (0, 3)):
        part = functools.reduce(lambda P, J: J @ P, jacobians[s:t])
        expected = np.log(np.linalg.norm(part, 2))
        np.testing.assert_allclose(influence.log_norm[t, s], expected, atol=1e-9)
    for refuse in (
        vj.spectra.covariant_lyapunov_vectors,
        vj.diagnostics.step_eigenvalues,
    ):
        with pytest.raises(ValueError, match=r"states of one size .* got sizes \(3, 5, 2, 4\)"):
            refuse(chain)
    with pytest.raises(ValueError, match=r"\(5, 3\) at t = 1 and \(4, 2\) at t = 2"):
        vj.JacobianChain([jacobians[0], jacobians[2]])


@pytest.mark.slow
def test_growth_rates_end_at_the_bottleneck():
    """One step of QR growth and a bottleneck of one: the growth is the only singular value's."""
    import vanishing_jax as vj

    layers = dense((3, 5, 1, 4))
    chain = vj.linearize_layers(layers, start())
    found = vj.lyapunov_exponents(chain)
    start_vector_free = vj.log_singular_values(chain).log_singular_values
    assert found.exponents.shape == (1,) and found.axis == "layer"
    assert found.exponents[0] * 3 <= start_vector_free[0] + 1e-12  # a random start, projected
    assert np.isfinite(found.exponents[0]) and np.isnan(found.sum_rule_residual)


# --- errors ---------------------------------------------------------------------------------------


def test_errors():
    import vanishing_jax as vj

    layers, x = dense(WIDTHS), start()

    def cases():
        yield TypeError, r"a list of layers.*got a Dense", layers[0], x
        yield TypeError, "got a str", "layers", x
        yield ValueError, "at least one layer; got an empty list", [], x
        yield TypeError, r"layers\[1\] is a .*Array.*lambda x: W @ x", [*layers[:1], x], x
        wrong = r"layers\[1\] \(Dense\) failed on the activation f\d\d\[5\]"
        yield TypeError, wrong, [layers[0], layers[2]], x
        yield TypeError, r"failed[\s\S]*traceable by JAX", [lambda x: x if x[0] > 0 else -x], x
        two = r"layers\[0\].*failed[\s\S]*layer\(x, key=key\)"
        yield TypeError, two, [lambda x, key: x], x
        yield ValueError, "the input x is i.*no gradient passes", layers, jnp.arange(3)
        index = r"what layers\[0\] returned is i"
        yield ValueError, index, [lambda x: jnp.argmax(x, keepdims=True), layers[0]], x
        yield vj.NonFiniteError, "finite input x; got 1 NaN", layers, x.at[1].set(jnp.nan)
        bad = Dense(layers[1].weight.at[0, 0].set(jnp.nan))
        yield vj.NonFiniteError, r"out of layers\[1\]; got 1 NaN", [layers[0], bad, layers[2]], x

    for kind, message, given, at in cases():
        with helpers.as_a_user(), pytest.raises(kind, match=message):
            vj.linearize_layers(given, at)  # pyright: ignore[reportArgumentType]
    with pytest.raises(MemoryError, match=r"3 Jacobians of widths up to 5.*layers\[1:\]"):
        vj.linearize_layers(layers, x, memory_limit=100)
    with helpers.as_a_user():
        with pytest.raises(ValueError, match="mode 'fwd', 'rev' or None"):
            vj.linearize_layers(layers, x, mode="both")  # pyright: ignore[reportArgumentType]
        with pytest.raises(ValueError, match="precision 'float64' or None"):
            vj.linearize_layers(layers, x, precision="double")  # pyright: ignore[reportArgumentType]
