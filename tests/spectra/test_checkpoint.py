import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors
import safetensors.numpy

from .. import helpers

# Three chunks of 16, each with four records.
STEPS = 48
OPTIONS = {"every": 4, "tolerance": 1e-8}


@pytest.fixture
def vj():
    import vanishing_jax

    return vanishing_jax


def tanh_step(W, state, input):
    return jnp.tanh(W @ state + input)


def make(vj, kind, step=tanh_step):
    rng = np.random.default_rng(0)
    if kind == "dense":
        return vj.JacobianChain(helpers.tanh_chain(rng, 4, STEPS, 2.0))
    cell = vj.FunctionCell(step, jnp.asarray(rng.standard_normal((3, 3))))
    inputs = jnp.asarray(rng.standard_normal((4, STEPS, 3)))
    true_cell = vj.FunctionCell(tanh_step, cell.params)

    def streamed(inputs):
        trajectory = vj.rollout(true_cell, jnp.zeros(3), inputs)
        return vj.linearize(cell, trajectory, dense=False)

    return streamed(inputs[0]) if kind == "streamed" else eqx.filter_vmap(streamed)(inputs)


def interrupt(monkeypatch, after):
    """Let chunk number `after`, counted from now, raise KeyboardInterrupt half done; count them."""
    from vanishing_jax.spectra._sweep import Sweep

    original, calls = Sweep._absorb, []

    def absorb(self, factors, pivots, losses, rows):
        if len(calls) == after:
            raise KeyboardInterrupt
        calls.append(None)
        return original(self, factors, pivots, losses, rows)

    monkeypatch.setattr(Sweep, "_absorb", absorb)
    return calls


@pytest.mark.parametrize("kind", ["dense", "streamed", "batch"])
def test_an_interrupted_sweep_goes_on_to_the_same_bits(vj, monkeypatch, tmp_path, kind):
    chain, options = make(vj, kind), dict(OPTIONS)
    whole = vj.log_singular_values(chain, **options)
    options["checkpoint"] = tmp_path / "new folder" / "sweep.safetensors"
    # Record by record: of a batch, in the second sequence and the third.
    for _ in range(2):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            interrupt(patch, after=18 if kind == "batch" else 4)
            vj.log_singular_values(chain, **options)
    with monkeypatch.context() as patch:
        calls = interrupt(patch, after=10**9)
        found = vj.log_singular_values(chain, **options)
        again = len(calls)
        assert 0 < again <= (48 - 36 if kind == "batch" else 12 - 8)
        vj.log_singular_values(chain, **options)
        assert len(calls) == again  # finished: nothing is computed
    np.testing.assert_array_equal(found.log_singular_values, whole.log_singular_values)
    np.testing.assert_array_equal(found.error_bound, whole.error_bound)
    assert [path.name for path in options["checkpoint"].parent.iterdir()] == ["sweep.safetensors"]


def test_an_interrupt_before_the_first_record_leaves_no_file(vj, monkeypatch, tmp_path):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, after=0)
        vj.log_singular_values(make(vj, "dense"), checkpoint=tmp_path / "sweep", **OPTIONS)
    assert not list(tmp_path.iterdir())


def test_exponents_go_on_too_and_come_back_at_once(vj, monkeypatch, tmp_path):
    chain, path = make(vj, "dense"), tmp_path / "sweep"
    whole = vj.lyapunov_exponents(chain)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, after=2)
        vj.lyapunov_exponents(chain, checkpoint=path)
    with monkeypatch.context() as patch:
        calls = interrupt(patch, after=10**9)
        assert repr(vj.lyapunov_exponents(chain, checkpoint=path)) == repr(whole)
        count = len(calls)
        again = vj.lyapunov_exponents(chain, checkpoint=path)
        assert count > 0 and len(calls) == count
    np.testing.assert_array_equal(again.exponents, whole.exponents)
    assert again.sum_rule_residual == whole.sum_rule_residual


def test_the_file_holds_arrays_and_names_and_is_written_in_between(vj, monkeypatch, tmp_path):
    from vanishing_jax.spectra import _checkpoint

    chain, path, seen = make(vj, "dense"), tmp_path / "sweep", []
    monkeypatch.setattr(_checkpoint, "_SECONDS", 0.0)
    monkeypatch.setattr(_checkpoint, "_SHARE", 1e9)
    original = _checkpoint.write_atomically
    monkeypatch.setattr(
        _checkpoint, "write_atomically", lambda *a: seen.append(None) or original(*a)
    )
    vj.log_singular_values(chain, checkpoint=path, **OPTIONS)
    assert len(seen) == 12 + 1  # each record, and the result
    with safetensors.safe_open(path, framework="numpy") as file:
        assert file.metadata()["format"] == "vanishing_jax sweep"
        assert file.get_tensor("0.logs").shape == (12, 4)


def _changed(jacobians):
    jacobians = jacobians.copy()
    jacobians[11, 1, 2] = np.nextafter(jacobians[11, 1, 2], 1)
    return jacobians


@pytest.mark.parametrize(
    ("change", "options", "name"),
    [
        (None, {"window": (0, 47)}, "window"),
        (None, {"every": 9}, "lags"),
        (None, {"tolerance": 1e-7}, "tolerance"),
        (None, {"direction": "backward"}, "direction"),
        (lambda J: J.astype(np.float32), {}, "dtype"),
        (lambda J: J[:-1], {"window": (0, 47)}, "number of steps"),
        (lambda J: J[:, :2, :2], {}, "state size"),
        (_changed, {}, "Jacobians"),
    ],
)
def test_another_computation_is_refused_by_name(vj, tmp_path, change, options, name):
    chain, path = make(vj, "dense"), tmp_path / "sweep"
    vj.log_singular_values(chain, checkpoint=path, **OPTIONS)
    if change is not None:
        chain = vj.JacobianChain(change(chain.jacobians))
    with pytest.raises(ValueError, match=rf"sweep belongs to another one .*{name}: .* there, "):
        vj.log_singular_values(chain, checkpoint=path, **{**OPTIONS, **options})


def test_another_quantity_cell_function_or_trajectory_is_refused(vj, tmp_path):
    chain, path = make(vj, "streamed"), tmp_path / "sweep"
    vj.log_singular_values(chain, checkpoint=path, **OPTIONS)
    with pytest.raises(ValueError, match="quantity: singular values there, log R here"):
        vj.lyapunov_exponents(chain, checkpoint=path)
    relu = make(vj, "streamed", lambda W, state, input: jax.nn.relu(W @ state + input))
    others = {
        "step": relu,
        "cell": eqx.tree_at(
            lambda c: c.linearization.cell.params, chain, replace_fn=lambda W: 2 * W
        ),
        "states": eqx.tree_at(
            lambda c: c.linearization.trajectory.states, chain, replace_fn=lambda h: h.at[9].add(1)
        ),
        "batch size": make(vj, "batch"),
    }
    for name, other in others.items():
        with pytest.raises(ValueError, match=rf"[(; ]{name}: \S+ there, \S+ here"):
            vj.log_singular_values(other, checkpoint=path, **OPTIONS)


def test_the_hash_is_that_of_the_whole_array_in_order():
    from vanishing_jax._hashing import digest

    array = np.arange(60.0).reshape(3, 4, 5)
    scattered = np.asfortranarray(array)
    assert not scattered.flags.c_contiguous
    assert len({digest(array), digest(scattered), digest(jnp.asarray(array))}) == 1
    others = array.reshape(4, 3, 5), np.arange(60).reshape(3, 4, 5), array + (array == 59)
    assert digest(array) not in map(digest, others)


@pytest.mark.parametrize("damage", ["truncated", "junk", "empty", "foreign", "folder"])
def test_a_damaged_or_foreign_file_is_named(vj, tmp_path, damage):
    chain, path = make(vj, "dense"), tmp_path / "sweep"
    vj.log_singular_values(chain, checkpoint=path, **OPTIONS)
    content = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage == "foreign":
        safetensors.numpy.save_file({"weight": np.ones(3)}, path)
    else:
        path.write_bytes({"truncated": content[:-9], "junk": b"junk" * 9, "empty": b""}[damage])
    with pytest.raises(ValueError, match="expected a checkpoint.*sweep is"):
        vj.log_singular_values(chain, checkpoint=path, **OPTIONS)
