import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from . import helpers, tables


@pytest.fixture
def vj():
    import vanishing_jax

    return vanishing_jax


def unrolled(vj, cell, trajectory):
    """Return d s_T / d s_0 of the whole unrolled map, by reverse mode: brute force."""
    from vanishing_jax._tree import state_layout

    state0 = jax.tree.map(lambda x: x[0], trajectory.states)
    layout = state_layout(state0)

    def final(vector):
        state = layout.unravel(vector, state0)
        for t in range(trajectory.num_steps):
            state = cell(state, jax.tree.map(lambda x: x[t], trajectory.inputs))  # noqa: B023
        return layout.ravel(state)

    return jax.jit(jax.jacrev(final))(layout.ravel(state0))


@pytest.mark.parametrize("name", tables.CELLS)
def test_product_is_the_jacobian_of_the_unrolled_map(vj, name):
    cell, state0, inputs = tables.CELLS[name]()
    trajectory = vj.rollout(cell, state0, inputs)
    chain = vj.linearize(cell, trajectory)
    jacobians = np.asarray(chain.jacobians)
    product = np.eye(chain.state_size)
    for J in jacobians:
        product = J @ product
    tolerance = 1e-11 if jacobians.dtype == np.float64 else 1e-5
    expected = unrolled(vj, vj.as_cell(cell), trajectory)
    np.testing.assert_allclose(product, expected, atol=tolerance)
    reverse = vj.linearize(cell, trajectory, mode="rev").jacobians
    np.testing.assert_allclose(jacobians, reverse, atol=tolerance)
    vector = jnp.arange(1.0, chain.state_size + 1).astype(jacobians.dtype)
    scale = float(jnp.max(jnp.abs(vector)))
    pushed, pulled = product @ np.asarray(vector), product.T @ np.asarray(vector)
    np.testing.assert_allclose(chain.mv(vector), pushed, atol=scale * tolerance * 10)
    np.testing.assert_allclose(chain.rmv(vector), pulled, atol=scale * tolerance * 10)


def test_lstm_state_counts_as_a_whole(vj):
    # Dropping c: the product of dh/dh blocks is not the dh/dh block of the product.
    cell = vj.cells.LSTMCell(1, 4, forget_bias=3.0, key=jax.random.key(0))
    trajectory = vj.rollout(cell, cell.initial_state(), jnp.zeros((60, 1)))
    chain = vj.linearize(cell, trajectory)
    assert chain.state_size == 8 and chain.blocks == {"h": slice(0, 4), "c": slice(4, 8)}
    whole = vj.log_singular_values(chain).log_singular_values[0]
    hidden_only = np.linalg.multi_dot(np.asarray(chain.block("h", "h"), np.float64)[::-1])
    dropped = np.log(np.linalg.norm(hidden_only, ord=2))
    assert whole > -10 and dropped < whole - 40
    blocks = np.block([[chain.block(a, b) for b in "hc"] for a in "hc"])
    np.testing.assert_array_equal(blocks, chain.jacobians)
    with pytest.raises(ValueError, match="expected a block out of"):
        chain.block("h", "z")


def test_block_names(vj):
    cell = vj.FunctionCell(lambda p, s, x: s, None)
    trajectory = vj.rollout(cell, (jnp.ones(2), jnp.ones(1)), jnp.zeros((3, 1)))
    assert list(vj.linearize(cell, trajectory).blocks) == ["0", "1"]
    named = vj.JacobianChain(np.zeros((1, 3, 3)), blocks={"slow": 2, "fast": 1})
    assert named.blocks == {"slow": slice(0, 2), "fast": slice(2, 3)}
    assert "slow: 2, fast: 1" in repr(named)


@pytest.mark.as_users
def test_integer_and_complex_leaves(vj):
    def step(w, state, input):
        z, count = state
        return w * z, count + 1

    cell = vj.FunctionCell(step, jax.lax.complex(jnp.asarray(0.0), jnp.asarray(0.5)))
    state0 = (jax.lax.complex(jnp.ones(1), jnp.zeros(1)), jnp.asarray(0))
    chain = vj.linearize(cell, vj.rollout(cell, state0, jnp.zeros((4, 0))))
    # Multiplication by 0.5 i is a rotation by 90 degrees, halved.
    np.testing.assert_allclose(chain.jacobians[0], [[0, -0.5], [0.5, 0]], atol=1e-7)
    np.testing.assert_allclose(
        vj.log_singular_values(chain).log_singular_values, 4 * np.log(0.5), atol=1e-6
    )


@pytest.mark.as_users
def test_saturated_units_keep_their_derivative_in_any_cell(vj):
    # In float32 jax's own derivative of tanh is exactly 0 from about |x| = 9 on, as XLA pleases.
    cell = vj.FunctionCell(lambda w, h, x: jnp.tanh(w * h + x), jnp.ones((), jnp.float32))
    inputs = jnp.full((3, 1), 30.0, jnp.float32)
    trajectory = vj.rollout(cell, jnp.zeros(1, jnp.float32), inputs)
    chain = vj.linearize(cell, trajectory)
    assert jax.jacfwd(cell)(jnp.zeros(1, jnp.float32), inputs[0]) == 0
    total = vj.log_singular_values(chain).log_singular_values[0]
    assert total == pytest.approx(3 * (np.log(4) - 2 * 31) + 2, abs=1e-3)


@pytest.mark.as_users
def test_saturated_float32_network_in_float64(vj):
    # Gain 20 in float32: pre-activations beyond 43, where float32 has no derivative left.
    initializer = jax.nn.initializers.normal(20 / np.sqrt(8))
    cell = vj.cells.VanillaCell(
        1, 8, recurrent_initializer=initializer, dtype=jnp.float32, key=jax.random.key(0)
    )
    inputs = jax.random.normal(jax.random.key(1), (60, 1), jnp.float32)
    trajectory = vj.rollout(cell, cell.initial_state(), inputs)
    chain = vj.linearize(cell, trajectory, precision="float64")
    assert chain.dtype == np.float64 and isinstance(chain.jacobians, np.ndarray)
    assert chain.blocks == {"h": slice(0, 8)}
    states, x, W, U = (
        np.asarray(a, np.float64)
        for a in (trajectory.states[:-1], inputs, cell.weight_hh, cell.weight_xh)
    )
    e = np.exp(-2 * np.abs(states @ W.T + x @ U.T))
    assert e.min() < 1e-38
    expected = np.linalg.slogdet(W).logabsdet / 8 + np.mean(np.log(4 * e / (1 + e) ** 2))
    found = vj.log_singular_values(chain).log_singular_values
    assert np.isfinite(found).all() and np.mean(found) / 60 == pytest.approx(expected, rel=1e-12)
    plain = vj.linearize(cell, trajectory)
    np.testing.assert_allclose(plain.jacobians, chain.jacobians, rtol=1e-3, atol=1e-37)
    assert chain.mv(np.ones(8), window=(0, 1)).shape == (8,)


@pytest.mark.as_users
def test_cell_with_a_dtype_of_its_own_is_not_widened(vj):
    cell = vj.FunctionCell(lambda p, s, x: (s * jnp.float32(0.5)).astype(jnp.float32), None)
    trajectory = vj.rollout(cell, jnp.ones(2, jnp.float32), jnp.zeros((9, 2), jnp.float32))
    with jax.numpy_dtype_promotion("standard"):
        with pytest.raises(ValueError, match="must return its state's structure"):
            vj.linearize(cell, trajectory, precision="float64")
        inputs = jnp.zeros((4, 9, 2), jnp.float32)
        d = vj.diagnose(cell, inputs, state0=jnp.ones(2, jnp.float32), batched=True)
    assert d.spectrum.dtype == "float32" and d.rate == pytest.approx(np.log(0.5), abs=1e-6)


def test_memory_is_estimated_before_it_is_allocated(vj):
    n, steps = 2000, 10_000
    cell = vj.FunctionCell(lambda w, h, x: w * h, jnp.asarray(0.5))
    trajectory = vj.Trajectory(
        jnp.broadcast_to(jnp.zeros(()), (steps + 1, n)), jnp.zeros((steps, 0))
    )
    with pytest.raises(MemoryError, match=r"GiB; memory_limit is 2.00 GiB.*stream"):
        vj.linearize(cell, trajectory, dense=True)
    chain = vj.linearize(cell, trajectory)
    assert not chain.is_dense and "streamed" in repr(chain)
    with pytest.raises(MemoryError, match="segment"):
        _ = chain.jacobians
    assert chain.segment(5, 6).shape == (1, n, n)


def test_streamed_equals_dense(vj):
    cell, state0, inputs = tables.CELLS["LSTMCell"]()
    trajectory = vj.rollout(cell, state0, inputs)
    dense, streamed = (vj.linearize(cell, trajectory, dense=d) for d in (True, False))
    np.testing.assert_allclose(streamed.segment(1, 3), dense.jacobians[1:3], atol=1e-6)
    assert list(streamed.segments(0, 3)) == [(0, 3)] and list(dense.segments(2, 2)) == []


def test_batches_by_vmap_and_grad_through_jacobians(vj):
    cell = vj.cells.VanillaCell(1, 3, key=jax.random.key(0))
    inputs = jax.random.normal(jax.random.key(1), (4, 5, 1))

    def chain(x):
        return vj.linearize(cell, vj.rollout(cell, cell.initial_state(), x))

    batch = eqx.filter_vmap(chain)(inputs)
    assert batch.jacobians.shape == (4, 5, 3, 3) and batch.num_steps == 5
    np.testing.assert_allclose(batch.jacobians[1], chain(inputs[1]).jacobians, atol=1e-6)
    assert repr(batch).startswith("JacobianChain(batch of 4, 5 steps, h: 3, float")
    gradient = jax.grad(lambda x: jnp.sum(chain(x).jacobians ** 2))(inputs[0])
    assert jnp.all(jnp.isfinite(gradient)) and jnp.any(gradient != 0)


def test_a_streamed_batch_gives_its_chains_and_refuses_what_needs_one(vj):
    cell = vj.cells.LSTMCell(1, 2, key=jax.random.key(0))
    inputs = jax.random.normal(jax.random.key(1), (3, 5, 1))

    def chain(x):
        trajectory = vj.rollout(cell, cell.initial_state(), x)
        return vj.linearize(cell, trajectory, dense=False)

    batch = eqx.filter_vmap(chain)(inputs)
    assert (batch.batch_size, batch.num_steps, batch.state_size) == (3, 5, 4)
    assert repr(batch).startswith("JacobianChain(batch of 3, 5 steps, h: 2, c: 2, float")
    single = chain(inputs[2])
    for one in (batch[2], batch[-1]):
        assert one.batch_size is None and one.num_steps == 5 and one.blocks == single.blocks
        np.testing.assert_allclose(one.segment(0, 5), single.segment(0, 5), atol=1e-6)
    with pytest.raises(IndexError, match="below 3; got 3"):
        batch[3]
    for what, call in {
        "mv": lambda: batch.mv(jnp.ones(4)),
        "rmv": lambda: batch.rmv(jnp.ones(4)),
        "segment": lambda: batch.segment(0, 2),
        "segments": lambda: list(batch.segments(0, 2)),
        "lyapunov_exponents": lambda: vj.lyapunov_exponents(batch),
        "partial spectra": lambda: vj.spectra.leading_singular_values(batch, 2),
    }.items():
        with pytest.raises(TypeError, match=rf"one sequence for {what}; got a batch of 3"):
            call()


def test_vectors_are_carried_beyond_the_floating_range(vj):
    J = np.stack([np.diag([1e-30, 2.0])] * 40).astype(np.float32)
    chain = vj.JacobianChain(J)
    vector, exponent = chain.scaled_mv(np.array([1.0, 0.0], np.float32))
    log_norm = np.log(np.linalg.norm(vector)) + int(exponent) * np.log(2)
    assert log_norm == pytest.approx(40 * np.log(1e-30), rel=1e-6)
    np.testing.assert_array_equal(chain.rmv(np.array([1.0, 1.0], np.float32)), [0, 2.0**40])
    np.testing.assert_allclose(chain.mv(np.ones(2), window=(3, 5)), [1e-60, 4], atol=1e-30)
    np.testing.assert_array_equal(chain.mv(np.ones(2), window=(3, 3)), [1, 1])


@pytest.mark.as_users
def test_scaled_vectors_through_a_cell(vj):
    cell = vj.FunctionCell(lambda w, h, x: w * h, jnp.asarray(1e-4, jnp.float32))
    trajectory = vj.rollout(cell, jnp.ones(1, jnp.float32), jnp.zeros((30, 0)))
    vector, exponent = vj.linearize(cell, trajectory).scaled_mv(jnp.ones(1, jnp.float32))
    found = float(jnp.log(vector[0])) + int(exponent) * np.log(2)
    assert found == pytest.approx(30 * np.log(1e-4), rel=1e-5)


def test_bad_input(vj):
    with pytest.raises(ValueError, match=r"expected jacobians of shape.*J\[None\]"):
        vj.JacobianChain(np.eye(3))
    with pytest.raises(TypeError, match="got None"):
        vj.JacobianChain()
    with helpers.as_a_user():
        with pytest.raises(ValueError, match="expected real floating"):
            vj.JacobianChain(np.zeros((2, 2, 2), int))
        with pytest.raises(TypeError, match="expected a Trajectory"):
            vj.linearize(vj.cells.VanillaCell(1, 2, key=jax.random.key(0)), np.zeros((3, 2)))
        with pytest.raises(ValueError, match="expected mode"):
            cell, state0, inputs = tables.CELLS["LSTMCell"]()
            vj.linearize(cell, vj.rollout(cell, state0, inputs), mode="both")
    with pytest.raises(ValueError, match="add up to 2"):
        vj.JacobianChain(np.zeros((1, 2, 2)), blocks={"h": 1})
    with pytest.raises(ValueError, match="vector of shape"):
        vj.JacobianChain(np.zeros((1, 2, 2))).mv(np.ones(3))
