from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from vanishing_jax import cells

D, N, EPSILON = 2, 6, 0.01
KEY = jr.key(0)


def plain(kind: Any = cells.VanillaCell, n=N, **options):
    return kind(D, n, key=KEY, **options)


def randomized(cell):
    """Return the cell with gains and biases of its own everywhere."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda a: jnp.asarray(a + 0.3 * rng.normal(size=a.shape), a.dtype), cell)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


class Reference:
    """The formulas of the paper, over NumPy arrays."""

    def __init__(self, cell):
        self.norms, self.placement = cell.norms, cell.placement
        self.joint = cell.placement == "joint"
        names = ("weight_hh", "weight_xh", "bias", "bias_n")
        self.W, self.U, self.b, self.b_n = (
            np.asarray(getattr(cell.cell, name, np.nan), np.float64) for name in names
        )

    def norm(self, site, a):
        gain = np.asarray(self.norms[site].weight, np.float64)
        return gain * (a - a.mean()) / np.sqrt(a.var() + EPSILON)

    def pair(self, group, recurrent, driven):
        if self.joint:
            return self.norm(f"{group}sum", recurrent + driven)
        if self.placement == "separate":
            recurrent = self.norm(f"{group}recurrent", recurrent)
        return recurrent + self.norm(f"{group}input", driven)

    def VanillaCell(self, h, x):
        return (np.tanh(self.pair("", self.W @ h, self.U @ x) + self.b),)

    def LSTMCell(self, h, c, x):
        i, f, g, o = np.split(self.pair("", self.W @ h, self.U @ x) + self.b, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        read = c
        if self.placement != "input":
            read = self.norm("cell", c) + self.norms["cell"].bias
        return sigmoid(o) * np.tanh(read), c

    def GRUCell(self, h, x):
        a, b, two = self.W @ h, self.U @ x, 2 * N
        r, z = np.split(sigmoid(self.pair("gates_", a[:two], b[:two]) + self.b[:two]), 2)
        if self.joint:
            n = self.norm("new_sum", b[two:] + r * a[two:])
        else:
            recurrent = a[two:]
            if self.placement == "separate":
                recurrent = self.norm("new_recurrent", recurrent)
            n = self.norm("new_input", b[two:]) + r * recurrent
        n = np.tanh(n + self.b[two:] + r * self.b_n)
        return ((1 - z) * n + z * h,)


@pytest.mark.as_users
@pytest.mark.parametrize("placement", ["joint", "separate", "input"])
@pytest.mark.parametrize("kind", [cells.VanillaCell, cells.LSTMCell, cells.GRUCell])
def test_is_the_formula(kind, placement):
    cell = cells.LayerNormCell(plain(kind), placement=placement, epsilon=EPSILON)
    cell = randomized(cell)
    state = jax.tree.map(lambda h: h + jnp.linspace(-1, 1, N), cell.initial_state())
    x = jnp.array([0.5, -2.0])
    found = jax.tree.leaves(jax.jit(cell.__call__)(state, x))
    flat = [np.asarray(leaf, np.float64) for leaf in (*jax.tree.leaves(state), x)]
    expected = getattr(Reference(cell), kind.__name__)(*flat)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_singular_values_of_the_jacobian():
    # 1/s (N - 2 times), eps/s^3 along the normalized vector, 0 along (1, ..., 1).
    identity = cells.identity_initializer()
    inside = plain(activation="identity", recurrent_initializer=identity)
    cell = cells.LayerNormCell(inside, epsilon=0.1)
    h = jnp.asarray(np.linspace(-1, 1, N) ** 3 + 0.1, inside.weight_hh.dtype)
    found = np.linalg.svd(jax.jacfwd(cell)(h, jnp.zeros(D)), compute_uv=False)
    s = np.sqrt(np.var(np.asarray(h, np.float64)) + 0.1)
    np.testing.assert_allclose(found, [*[1 / s] * (N - 2), 0.1 / s**3, 0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "kind, placement",
    [(cells.VanillaCell, "joint"), (cells.LSTMCell, "separate"), (cells.GRUCell, "separate")],
)
def test_scale_of_the_recurrent_matrix_does_not_matter(kind, placement):
    cell = cells.LayerNormCell(plain(kind), placement=placement, epsilon=1e-12)
    scaled = cell.map_recurrent(lambda w: 1000 * w)
    state = jax.tree.map(lambda h: h + jnp.linspace(-1, 1, N) ** 3, cell.initial_state())
    jacobian = jax.jit(lambda c: jax.jacfwd(c)(state, jnp.zeros(D)))
    for a, b in zip(*map(jax.tree.leaves, (jacobian(scaled), jacobian(cell))), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_separate_placement_keeps_the_sign_of_one_number():
    inside = cells.VanillaCell(1, N, key=KEY)
    cell = cells.LayerNormCell(inside, placement="separate", epsilon=1e-12)
    h = jnp.linspace(-1, 1, N)
    np.testing.assert_allclose(cell(h, jnp.ones(1)), cell(h, 9 * jnp.ones(1)), rtol=1e-4)
    assert np.abs(cell(h, jnp.ones(1)) - cell(h, -jnp.ones(1))).max() > 0.1


def test_remedies_for_gates_reach_the_cell_inside():
    from vanishing_jax import mitigations

    change: Any = mitigations.forget_bias(2.5).transform_cell
    changed = change(cells.LayerNormCell(plain(cells.LSTMCell)), key=KEY)
    np.testing.assert_array_equal(changed.cell.bias[N : 2 * N], 2.5)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="'joint', 'separate' or 'input'; got 'both'"):
        cells.LayerNormCell(plain(), placement="both")
    with pytest.raises(ValueError, match="at least 2; got 1"):
        cells.LayerNormCell(plain(n=1))
    leaky = cells.LeakyCell(plain(), 0.5)
    for wrap in (cells.LayerNormCell, lambda cell: cells.BatchNormCell(cell, num_steps=2)):
        with pytest.raises(TypeError, match="GRUCell; got LeakyCell. Normalize first"):
            wrap(leaky)
        for kind in (cells.VanillaCell, cells.LSTMCell):
            normalized = wrap(plain(kind))
            with pytest.raises(ValueError, match=f"the normalized {kind.__name__} expected input"):
                normalized(normalized.initial_state(), jnp.ones(3))


@pytest.mark.parametrize(
    "placement, input_size, exponent",
    [("separate", 1.0, -0.19862743), ("joint", 1.0, -0.549696), ("joint", 0.0, 0.08182722)],
)
def test_exponent_is_that_of_mean_field_theory(placement, input_size, exponent):
    # Gaussian weights of gain 1 and gains 1: the gradient vanishes or grows by the share of input.
    n, steps, settled = 200, 60, 10
    keys = jr.split(jr.key(3), 3)
    with jax.enable_x64(True):
        inside = cells.VanillaCell(n, n, key=KEY, dtype=jnp.float64)
        cell = cells.LayerNormCell(inside, placement=placement)
        h, v = jr.normal(keys[0], (2, n), jnp.float64)
        inputs = input_size * jr.normal(keys[1], (steps, n), jnp.float64)

        def step(carry, x):
            h, v = jax.jvp(lambda h: cell(h, x), (carry[0],), (carry[1],))
            growth = jnp.linalg.norm(v)
            return (h, v / growth), jnp.log(growth)

        growth = jax.lax.scan(step, (h, v), inputs)[1]
    assert abs(np.mean(growth[settled:]) - exponent) < 0.05
