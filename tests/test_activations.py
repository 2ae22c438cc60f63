import equinox as eqx
import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax import _activations, cells

KEY = jax.random.key(0)
EQX_LSTM = eqx.nn.LSTMCell(3, 4, dtype=jnp.float32, key=KEY)
OWN = {
    "vanilla": (cells.VanillaCell(3, 4, key=KEY), ("tanh",)),
    "relu": (cells.VanillaCell(3, 4, activation="relu", key=KEY), ("relu",)),
    "lstm": (cells.LSTMCell(3, 4, key=KEY), ("sigmoid", "sigmoid", "tanh", "sigmoid", "tanh")),
    "gru": (cells.GRUCell(3, 4, key=KEY), ("sigmoid", "sigmoid", "tanh")),
}


@jax.custom_jvp
def _surrogate(x):
    return jnp.tanh(x)


@_surrogate.defjvp
def _surrogate_jvp(primals, tangents):
    return _surrogate(primals[0]), 7 * tangents[0]


@jax.custom_vjp
def _clipped(x):
    return jax.nn.sigmoid(x)


_clipped.defvjp(lambda x: (_clipped(x), None), lambda _, cotangent: (5 * cotangent,))


@jax.custom_jvp
def _two_steps(x):
    return jnp.tanh(x) + 1


_two_steps.defjvp(lambda p, t: (_two_steps(*p), t[0]))


def _scan(x):
    return jax.lax.scan(lambda h, _: (jnp.tanh(h), None), x, None, length=3)[0]


def _split(x):
    first, _, last = jnp.split(x, 3)
    return jnp.tanh(first * first) + last


# name -> (function of one array, kinds in the order of evaluation)
FUNCTIONS = {
    "tanh": (jnp.tanh, ("tanh",)),
    "sigmoid": (jax.nn.sigmoid, ("sigmoid",)),
    "relu": (jax.nn.relu, ("relu",)),
    "maximum": (lambda x: jnp.maximum(0.0, x), ("relu",)),
    "maximum of one": (lambda x: jnp.maximum(x, 1.0), ()),
    "integer maximum": (lambda x: x * jnp.maximum(jnp.arange(3), 0).sum().astype(x.dtype), ()),
    "gelu": (jax.nn.gelu, ("tanh",)),
    "silu, a jit inside": (jax.nn.silu, ("sigmoid",)),
    "jit of jit": (jax.jit(lambda x: jax.jit(jnp.tanh)(x * x)), ("tanh",)),
    "jit with constants": (jax.jit(lambda x: jnp.tanh(x + jnp.arange(6.0))), ("tanh",)),
    "checkpoint": (jax.checkpoint(lambda x: jnp.tanh(jnp.sin(x))), ("tanh",)),
    "vmap inside": (jax.vmap(lambda x: jax.nn.relu(x) + jnp.tanh(x)), ("relu", "tanh")),
    "custom_jvp": (_surrogate, ("tanh",)),
    "custom_vjp": (_clipped, ("sigmoid",)),
    "custom_jvp of more": (_two_steps, ()),
    "relu6": (jax.nn.relu6, ()),
    "scan": (_scan, ()),
    "cond": (lambda x: jax.lax.cond(x[0] > 0, jnp.tanh, jnp.sin, x), ()),
    "dropped outputs": (_split, ("tanh",)),
    "constant output": (lambda x: (jnp.tanh(x), 1.5)[1] * jnp.ones(6), ("tanh",)),
    "complex": (lambda x: jnp.tanh(jax.lax.complex(x, x)).imag, ()),
    "grad inside": (lambda x: jax.grad(lambda y: jnp.tanh(y).sum())(x), ("tanh",)),
    "spelled out": (lambda x: 1 / (1 + jnp.exp(-x)), ()),
}
X = jnp.linspace(-1.5, 2.0, 6)


def _keep(kind, preactivation):
    return NotImplemented


@pytest.mark.parametrize("name", FUNCTIONS)
def test_kinds_and_unchanged_values(name):
    fn, kinds = FUNCTIONS[name]
    assert _activations.activation_kinds(fn, jax.ShapeDtypeStruct(X.shape, X.dtype)) == kinds

    @jax.jit
    def values(x):
        return (
            _activations.with_activation_rule(fn, _keep)(x),
            _activations.stable_derivatives(fn)(x),
            _activations.record_activations(fn)(x)[0],
        )

    expected = jax.jit(fn)(X)
    for value in values(X):
        assert value.dtype == expected.dtype
        np.testing.assert_array_equal(value, expected)


@pytest.mark.as_users
@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_of_the_same_function(name):
    fn, _ = FUNCTIONS[name]

    def derivatives(fn, x):
        forward = jax.jacrev(fn) if name == "custom_vjp" else jax.jacfwd(fn)
        return forward(x), jax.jacrev(fn)(x), jax.vmap(fn)(jnp.stack([x, 2 * x]))

    same = (_activations.with_activation_rule(fn, _keep), _activations.stable_derivatives(fn))
    expected, *found = jax.jit(lambda x: [derivatives(f, x) for f in (fn, *same)])(X)
    for values in found:
        for a, b in zip(values, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_recorded_preactivations():
    def fn(x):
        return jnp.tanh(2 * jax.nn.relu(x - 1))

    out, (first, second) = _activations.record_activations(fn)(X)
    np.testing.assert_array_equal(first, X - 1)
    np.testing.assert_array_equal(second, 2 * jnp.maximum(X - 1, 0))
    np.testing.assert_array_equal(out, jnp.tanh(second))


def test_rule_replaces_every_kind_and_differentiates():
    def rule(kind, a):
        return {"tanh": 2.0, "sigmoid": 3.0, "relu": 5.0}[kind] * a

    def fn(x):
        return jnp.tanh(x) + jax.nn.sigmoid(x) + jax.nn.relu(x) + _surrogate(x)

    changed = _activations.with_activation_rule(fn, rule)
    np.testing.assert_allclose(changed(X), 12 * X, rtol=1e-6)
    np.testing.assert_allclose(jax.grad(lambda x: changed(x).sum())(X), jnp.full(6, 12.0))
    kept = _activations.with_activation_rule(fn, rule, replace_custom=False)
    expected = 5 * X + jax.nn.relu(X) + jnp.tanh(X)
    np.testing.assert_allclose(kept(X), expected, rtol=1e-5)


@pytest.mark.parametrize("wrong", [lambda a: a[:1], lambda a: a.astype(jnp.float16), lambda a: 0.5])
def test_rule_of_another_shape_or_dtype_raises(wrong):
    changed = _activations.with_activation_rule(jnp.tanh, lambda kind, a: wrong(a))
    with pytest.raises(ValueError, match="rule for 'tanh' must return shape"):
        changed(X)


def test_relu_keeps_its_own_derivative_at_zero():
    zero = jnp.asarray(0.0)
    for fn, slope in [(jax.nn.relu, 0.0), (lambda x: jnp.maximum(x, 0.0), 0.5)]:
        for transform in (_activations.stable_derivatives, lambda f: f):
            assert jax.grad(transform(fn))(zero) == slope


def test_stable_derivatives_keep_custom_derivatives():
    for fn, slope in [(_surrogate, 7.0), (_clipped, 5.0)]:
        stable = _activations.stable_derivatives(fn)
        assert jax.grad(stable)(jnp.asarray(0.3)) == slope
        assert jax.jit(jax.vmap(jax.grad(stable)))(X)[2] == slope


@pytest.mark.parametrize("name", OWN)
def test_own_cells(name):
    cell, kinds = OWN[name]
    state, x = cell.initial_state(), jnp.ones(3)
    assert _activations.activation_kinds(cell, state, x) == kinds
    assert kinds.count("sigmoid") == len(cell.gate_names)
    same = _activations.stable_derivatives(cell)
    for value, expected in zip(
        jax.tree.leaves(same(state, x)), jax.tree.leaves(cell(state, x)), strict=True
    ):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.as_users
def test_equinox_lstm_in_saturation():
    def step(module, state, x):
        return module(x, state)

    stable = _activations.stable_derivatives(step)
    state = (jnp.linspace(-1, 1, 4, dtype=jnp.float32), jnp.ones(4, jnp.float32))
    x = jnp.ones(3, jnp.float32)
    for value, expected in zip(stable(EQX_LSTM, state, x), step(EQX_LSTM, state, x), strict=True):
        np.testing.assert_array_equal(value, expected)
    jacobian, expected = (
        jax.jacfwd(stable, 1)(EQX_LSTM, state, x),
        jax.jacfwd(step, 1)(EQX_LSTM, state, x),
    )
    for a, b in zip(jax.tree.leaves(jacobian), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)

    # Input gate open, forget gate closed, new content saturated: dc'/dh is tiny, not 0.
    bias = jnp.repeat(jnp.asarray([22, -40, 12, 10], jnp.float32), 4)
    saturated = eqx.tree_at(lambda m: m.bias, EQX_LSTM, bias)
    plain = jax.jacfwd(step, 1)(saturated, state, x)[1][0]
    exact = jax.jacfwd(stable, 1)(saturated, state, x)[1][0]
    with jax.enable_x64(True):
        reference = jax.jacfwd(step, 1)(
            *jax.tree.map(lambda a: a.astype(jnp.float64), (saturated, state, x))
        )[1][0]
    np.testing.assert_allclose(exact, reference, rtol=2e-3)
    assert np.max(np.abs(np.asarray(plain, np.float64) / np.asarray(reference) - 1)) > 0.99


def test_gradients_reach_module_arguments_and_closures():
    state, x = (jnp.ones(4, jnp.float32),) * 2, jnp.ones(3, jnp.float32)

    def loss_of(transform):
        @eqx.filter_jit
        @eqx.filter_grad
        def loss(module):
            closed_over = transform(lambda s, x: module(x, s))(state, x)
            passed = transform(lambda m, s, x: m(x, s))(module, state, x)
            return closed_over[0].sum() + passed[1].sum()

        return loss(EQX_LSTM)

    plain, stable = loss_of(lambda f: f), loss_of(_activations.stable_derivatives)
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(stable), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_pytrees_keywords_and_static_leaves():
    mlp = eqx.nn.MLP(3, 3, 4, 1, activation=jnp.tanh, key=KEY)  # holds functions as leaves

    def fn(state, *, module, name):
        return {"h": module(state["h"]), "name": name, "none": None, "count": state["count"] + 1}

    out, (preactivation,) = _activations.record_activations(fn)(
        {"h": jnp.ones(3), "count": np.int32(1)}, module=mlp, name="x"
    )
    assert out["name"] == "x" and out["none"] is None and out["count"] == 2
    np.testing.assert_allclose(out["h"], mlp(jnp.ones(3)), rtol=1e-6)
    assert preactivation.shape == (4,)


def test_inside_scan_and_vmap():
    cell, _ = OWN["lstm"]
    step = _activations.record_activations(cell)

    @jax.jit
    def run(xs):
        return jax.lax.scan(lambda s, x: step(s, x), cell.initial_state(), xs)

    _, preactivations = jax.vmap(run)(jnp.ones((2, 5, 3)))
    assert [p.shape for p in preactivations] == [(2, 5, 4)] * 5


def test_effects_are_kept(capsys):
    def fn(x):
        jax.debug.print("seen {}", x.sum())
        return jnp.tanh(x)

    _activations.with_activation_rule(fn, _keep)(jnp.ones(2))
    jax.effects_barrier()
    assert capsys.readouterr().out == "seen 2.0\n"


@pytest.mark.as_users
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision(dtype):
    x = X.astype(dtype)
    value = _activations.stable_derivatives(lambda x: 2 * jax.nn.gelu(x))(x)
    assert value.dtype == dtype
    np.testing.assert_array_equal(
        value.astype(jnp.float32), (2 * jax.nn.gelu(x)).astype(jnp.float32)
    )


def test_linen_cell():
    module = flax.linen.LSTMCell(4)
    carry, x = (jnp.zeros(4, jnp.float32),) * 2, jnp.ones(3, jnp.float32)
    variables = module.init(KEY, carry, x)
    kinds = _activations.activation_kinds(module.apply, variables, carry, x)
    assert kinds == ("sigmoid", "sigmoid", "tanh", "sigmoid", "tanh")
