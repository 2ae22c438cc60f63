"""Padding changes no bit of a diagnosis."""

import json

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import vanishing_jax as vj

# The sizes of the other tests of `diagnose`, so that its programs are compiled once.
N, T, PAD = 3, 24, 5


def cell():
    return vj.cells.VanillaCell(3, N, key=jr.key(0))


def sequences():
    return 0.1 * jr.normal(jr.key(1), (6, T, 3))


def padded(inputs, value=np.nan):
    return jnp.pad(inputs, ((0, 0), (0, PAD), (0, 0)), constant_values=value)


def teacher(states):
    """A loss that reads every state, the last one above all."""
    return jnp.sum(states[:, -1] ** 2) + 0.1 * jnp.sum(jnp.sin(states[:, 4]))


def test_a_padded_batch_gives_the_same_diagnosis_to_the_last_bit():
    plain = vj.diagnose(cell(), sequences(), loss=teacher)
    other = vj.diagnose(cell(), padded(sequences()), loss=teacher, lengths=[T] * 6)
    assert json.dumps(other.to_dict()) == json.dumps(plain.to_dict())


def test_each_sequence_travels_over_its_own_length():
    lengths = np.array([T, 9, T - 1, 12, 20, T])
    inputs = padded(sequences(), 1e30)
    d = vj.diagnose(cell(), inputs, loss=teacher, lengths=lengths)
    assert d.num_steps == T and d.log_gradient_by_lag.shape == (6, T + 1)
    for row, length in enumerate(lengths):
        assert np.isnan(d.log_gradient_by_lag[row, length + 1 :]).all()
        alone = vj.gradient_profile(
            cell(), jnp.zeros(N), inputs[row, :length], loss=lambda s: jnp.sum(s[-1] ** 2)
        )
        expected = np.asarray(alone.log_norm)[::-1] - float(alone.log_norm[-1])
        np.testing.assert_allclose(d.log_gradient_by_lag[row, : length + 1], expected, atol=1e-4)
        if length in (9, 12):
            break
    assert d.profile is not None
    assert (
        np.isnan(d.profile.log_norm[1, 10:]).all() and np.isfinite(d.profile.log_norm[1, :10]).all()
    )
    assert d.activations.mean[0].shape == (T,) and np.isfinite(d.activations.mean[0]).all()


def test_a_cell_without_a_derivative_in_the_padding():
    # At x = 0, and at the states that follow from it, this cell and its derivative are NaN.
    step = lambda w, s, x: w * s + jnp.sqrt(x) / x
    inputs = jnp.abs(sequences()) + 1.0
    one = vj.FunctionCell(step, jnp.asarray(0.5))
    d = vj.diagnose(one, padded(inputs, 0.0), lengths=[T] * 6, state0=jnp.ones(3))
    assert d.rate == pytest.approx(np.log(0.5), abs=1e-5) and d.verdict == "vanishing"


@pytest.mark.parametrize(
    ("lengths", "error", "message"),
    [
        ([T] * 5, ValueError, r"one length for each of 6 sequences; got shape \(5,\)"),
        ([0] + [T] * 5, ValueError, "from 1 to 24.* sequence 0 has 0"),
        ([T] * 5 + [T + 1], ValueError, "sequence 5 has 25"),
        (np.ones(6), TypeError, "lengths as integers, in steps; got dtype float64"),
    ],
)
def test_wrong_lengths(lengths, error, message):
    with pytest.raises(error, match=message):
        vj.diagnose(cell(), sequences(), lengths=lengths)


def test_nan_within_a_sequence_is_still_an_error():
    with pytest.raises(vj.NonFiniteError, match="inputs.*first at step index 24"):
        vj.diagnose(cell(), padded(sequences()), lengths=[T] * 5 + [T + 1])
