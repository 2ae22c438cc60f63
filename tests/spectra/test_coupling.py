import jax
import jax.numpy as jnp
import numpy as np
import pytest

from .. import tables


@pytest.fixture
def vj():
    import vanishing_jax

    return vanishing_jax


@jax.custom_jvp
def mixes_only_its_derivative(x):
    return x * x


mixes_only_its_derivative.defjvp(
    lambda primals, tangents: (primals[0] ** 2, primals[0] * jnp.cumsum(tangents[0]))
)


@jax.custom_vjp
def mixes_only_its_pullback(x):
    return x * x


mixes_only_its_pullback.defvjp(lambda x: (x * x, x), lambda x, bar: (x * jnp.flip(bar),))


def _complex(x):
    return jax.lax.complex(x, 0.5 * x)


def _gated_pair(w, state, x):
    h, c = state
    gate = jax.nn.sigmoid(w * h + x)
    c = gate * c + (1 - gate) * jnp.tanh(w * h)
    return gate * jnp.tanh(c), c


def _packed(w, h, x):
    a, b = jnp.split(h, 2)
    return jnp.concatenate([0.5 * a - 0.3 * b, 0.3 * a + 0.5 * b])


def _multiple_heads(w, h, x):
    heads = h.reshape(2, 2)
    return jnp.tanh(
        jnp.einsum("hij,hj->hi", jnp.outer(w, w).reshape(2, 2, 4)[..., :2], heads)
    ).ravel()


def _layer_norm(w, h, x):
    return (h - jnp.mean(h)) / jnp.sqrt(jnp.var(h) + 1)


def _scan_over_components(w, h, x):
    return jax.lax.scan(lambda total, part: (total + part, total * part), jnp.zeros_like(h[0]), h)[
        1
    ]


def _substeps(w, h, x):
    return jax.lax.fori_loop(0, 3, lambda i, h: h + 0.1 * jnp.tanh(w * h + x), h)


def _rolling_substeps(w, h, x):
    return jax.lax.fori_loop(0, 2, lambda i, h: h + 0.1 * jnp.roll(h, 1), h)


def _either(w, h, x):
    return jax.lax.cond(h[0] > 0, lambda h: w * h, lambda h: h[jnp.array([0, 1, 2, 3])] * w, h)


def _interleaved(w, h, x):
    pairs = h.reshape(2, 2)
    return jnp.stack([pairs[:, 0] - pairs[:, 1], pairs[:, 0] + pairs[:, 1]], axis=1).ravel()


ONE_EACH, ALL = [0, 1, 2, 3], [0, 0, 0, 0]

# name -> (step(w, state, input), what the state is made of, blocks)
CELLS = {
    "leaky": (lambda w, h, x: w * h + x, jnp.asarray, ONE_EACH),
    "independent tanh": (lambda w, h, x: jnp.tanh(w * h + x), jnp.asarray, ONE_EACH),
    "relu": (lambda w, h, x: jax.nn.relu(w * h + x), jnp.asarray, ONE_EACH),
    "chosen by its sign": (lambda w, h, x: jnp.where(h > 0, h, w * h), jnp.asarray, ONE_EACH),
    "checkpoint": (lambda w, h, x: jax.checkpoint(jnp.tanh)(w * h), jnp.asarray, ONE_EACH),
    "gate without derivative": (
        lambda w, h, x: h * jax.lax.stop_gradient(jnp.mean(h)), jnp.asarray, ONE_EACH,
    ),
    "unused sum": (lambda w, h, x: (w * h, jnp.sum(h))[0], jnp.asarray, ONE_EACH),
    "substeps": (_substeps, jnp.asarray, ONE_EACH),
    "one number reset": (lambda w, h, x: (w * h).at[0].set(1.0), jnp.asarray, ONE_EACH),
    "complex": (lambda w, z, x: _complex(w) * z, _complex, ONE_EACH * 2),
    "complex modulus": (lambda w, z, x: z / _complex(jnp.abs(z)), _complex, ONE_EACH * 2),
    "pair of leaves": (_gated_pair, lambda h: (h, h + 1), ONE_EACH * 2),
    "integer leaf": (
        lambda w, s, x: (w * s[0], s[1] + 1), lambda h: (h, jnp.asarray(0)), ONE_EACH,
    ),
    "real and imaginary halves": (_packed, jnp.asarray, [0, 1, 0, 1]),
    "interleaved": (_interleaved, jnp.asarray, [0, 0, 1, 1]),
    "heads": (_multiple_heads, jnp.asarray, [0, 0, 1, 1]),
    "roll by half": (lambda w, h, x: w * jnp.roll(h, 2), jnp.asarray, [0, 1, 0, 1]),
    "roll": (lambda w, h, x: jnp.roll(h, 1), jnp.asarray, ALL),
    "flip": (lambda w, h, x: jnp.flip(h), jnp.asarray, [0, 1, 1, 0]),
    "transpose": (lambda w, h, x: h.reshape(2, 2).T.ravel(), jnp.asarray, [0, 1, 1, 2]),
    "cumsum": (lambda w, h, x: jnp.cumsum(h), jnp.asarray, ALL),
    "mean subtracted": (lambda w, h, x: w * h - jnp.mean(h), jnp.asarray, ALL),
    "norm": (lambda w, h, x: h / jnp.linalg.norm(h), jnp.asarray, ALL),
    "layer norm": (_layer_norm, jnp.asarray, ALL),
    "softmax": (lambda w, h, x: jax.nn.softmax(h), jnp.asarray, ALL),
    "dense": (lambda w, h, x: jnp.tanh(jnp.outer(w, w) @ h), jnp.asarray, ALL),
    "dense by hand": (lambda w, h, x: jnp.sum(jnp.outer(w, w) * h[None], 1), jnp.asarray, ALL),
    "convolution": (lambda w, h, x: jnp.convolve(h, w[:3], mode="same"), jnp.asarray, ALL),
    "sort": (lambda w, h, x: jnp.sort(h), jnp.asarray, ALL),
    "gather by state": (lambda w, h, x: h[jnp.argsort(-h)], jnp.asarray, ALL),
    "scan over components": (_scan_over_components, jnp.asarray, ALL),
    "rolling substeps": (_rolling_substeps, jnp.asarray, ALL),
    "fourier": (lambda w, h, x: jnp.real(jnp.fft.fft(h)), jnp.asarray, ALL),
    "own derivative": (lambda w, h, x: mixes_only_its_derivative(h), jnp.asarray, ALL),
    "first drives all": (lambda w, h, x: w * h + h[0], jnp.asarray, ALL),
    # Sound, not the finest: constant places are not looked up.
    "either": (_either, jnp.asarray, None),
    "identity matrix": (lambda w, h, x: jnp.eye(4, dtype=h.dtype) @ h, jnp.asarray, None),
}  # fmt: skip


def streamed(vj, step, state_of, **options):
    cell = vj.FunctionCell(step, jnp.array([0.9, 0.5, -0.7, 0.8]))
    states = [state_of(jnp.roll(jnp.array([0.7, -0.4, 0.3, 1.1]), t)) for t in range(4)]
    states = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    trajectory = vj.Trajectory(states, jnp.linspace(-1, 1, 12).reshape(3, 4))
    return vj.linearize(cell, trajectory, dense=False, **options)


def refines(fine, coarse):
    """Say whether each block of `fine` lies within one block of `coarse`."""
    return all(len(set(coarse[fine == label])) == 1 for label in np.unique(fine))


@pytest.mark.parametrize("name", CELLS)
def test_blocks_of_a_cell(vj, name):
    from vanishing_jax.spectra._coupling import blocks_of_program, blocks_of_values

    step, state_of, expected = CELLS[name]
    chain = streamed(vj, step, state_of)
    found = blocks_of_program(chain.linearization)
    if expected is not None:
        np.testing.assert_array_equal(found, expected)
    # Sound: no entry of a Jacobian couples two blocks.
    assert not found.any() or refines(blocks_of_values(np.asarray(chain.segment(0, 3))), found)


def test_pullback_of_its_own(vj):
    from vanishing_jax.spectra._coupling import blocks_of_program

    chain = streamed(vj, lambda w, h, x: mixes_only_its_pullback(h), jnp.asarray, mode="rev")
    np.testing.assert_array_equal(blocks_of_program(chain.linearization), [0, 1, 1, 0])
    chain = streamed(vj, _gated_pair, lambda h: (h, h + 1), mode="rev")
    np.testing.assert_array_equal(blocks_of_program(chain.linearization), ONE_EACH * 2)


@pytest.mark.parametrize("name", tables.CELLS)
def test_cells_of_the_package_are_one_block_or_diagonal(vj, name):
    from vanishing_jax.cells._diagonal import AbstractDiagonalCell
    from vanishing_jax.spectra._coupling import blocks_of_program

    cell, state0, inputs = tables.CELLS[name]()
    states = jax.tree.map(lambda leaf: jnp.stack([leaf] * 4), state0)
    chain = vj.linearize(cell, vj.Trajectory(states, inputs), dense=False)
    # The row of FunctionCell is a_i' = tanh(b_i), b_i' = a_i b_i.
    apart = {"FunctionCell": [0, 1, 0, 1], "BidirectionalCell": [0, 0, 0, 1, 1, 1]}
    expected = apart.get(name, 0)
    if isinstance(cell, AbstractDiagonalCell):  # real and imaginary part of a number together
        expected = list(range(len(state0))) * (2 if jnp.iscomplexobj(state0) else 1)
    np.testing.assert_array_equal(blocks_of_program(chain.linearization), expected)


def test_one_trace_for_each_structure(vj):
    from vanishing_jax.spectra._coupling import blocks_of_program

    traced = []

    def step(w, h, x):
        traced.append(None)
        return w * h + x

    one, other = (
        vj.linearize(vj.FunctionCell(step, w), vj.Trajectory(jnp.ones((T + 1, 3)), x), dense=False)
        for w, T, x in [(jnp.ones(3), 5, jnp.ones((5, 3))), (jnp.zeros(3), 8, jnp.zeros((8, 3)))]
    )
    del traced[:]
    first = blocks_of_program(one.linearization)
    assert len(traced) == 1
    assert blocks_of_program(other.linearization) is first and len(traced) == 1


def test_values_couple_over_all_steps_and_sequences(monkeypatch):
    from vanishing_jax.spectra import _coupling

    blocks_of_values = _coupling.blocks_of_values
    J = np.stack([np.diag([1.0, 2, 0, 4])] * 9)
    np.testing.assert_array_equal(blocks_of_values(J), [0, 1, 2, 3])
    for value in (1e-320, np.nan):
        late = J.copy()
        late[7, 2, 0] = value
        np.testing.assert_array_equal(blocks_of_values(late), [0, 1, 0, 2])
    np.testing.assert_array_equal(blocks_of_values(np.stack([J, late])), [0, 1, 0, 2])
    chained = J.copy()  # 0-1, 1-2, 2-3 at different steps
    for t, i in [(1, 0), (4, 1), (8, 2)]:
        chained[t, i, i + 1] = 1
    np.testing.assert_array_equal(blocks_of_values(chained), 0)
    np.testing.assert_array_equal(blocks_of_values(J[:0]), [0, 1, 2, 3])
    looked = []
    original = _coupling._components_of_mask
    monkeypatch.setattr(
        _coupling, "_components_of_mask", lambda mask: looked.append(None) or original(mask)
    )
    blocks_of_values(np.ones((5, 3, 3)))
    assert len(looked) == 1
