import pickle

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax.tasks import Padded, TimeSeries, time_series

from ..tables import series
from .draws import draws


def rows(array):
    return {tuple(row.ravel().tolist()) for row in np.asarray(array)}


def test_samples_are_training_sequences_with_zeros_beyond_their_ends():
    drawn = draws("TimeSeries")
    inputs, targets, lengths = series()
    beyond = np.arange(6) >= lengths[:, None]
    inputs[beyond] = targets[beyond] = 0
    whole = np.concatenate(
        [inputs, targets, np.broadcast_to(lengths[:, None, None], (20, 6, 1))], 2
    )
    length = np.broadcast_to(drawn.lengths[:, None, None], (*drawn.targets.shape[:2], 1))
    found = np.concatenate([drawn.inputs, drawn.targets, length], 2)
    # The first four fifths, each of them drawn.
    assert rows(found.astype(drawn.inputs.dtype)) == rows(whole[:16].astype(drawn.inputs.dtype))
    held_out, its_targets = drawn.task.test
    assert isinstance(held_out, Padded)
    np.testing.assert_array_equal(held_out.length, lengths[16:])
    np.testing.assert_allclose(held_out.values, inputs[16:], rtol=1e-6)
    np.testing.assert_allclose(its_targets.values, targets[16:], rtol=1e-6)


def test_file_and_arrays_make_the_same_task():
    file, arrays = draws("time_series").task, draws("TimeSeries").task
    assert file.name == "walk" and arrays.name == "time series"
    for a, b in zip(jax.tree.leaves(file), jax.tree.leaves(arrays), strict=True):
        np.testing.assert_array_equal(a, b)


def test_baseline_is_the_best_affine_function_of_the_present_input():
    task = draws("TimeSeries").task
    inputs, targets, lengths = series()
    # Step by step, each sequence counting the same: the normal equations in plain loops.
    gram, moment, square = np.zeros((3, 3)), np.zeros(3), 0.0
    for i in range(16):
        for t in range(lengths[i]):
            feature = np.array([1, *inputs[i, t]])
            weight = 1 / (16 * lengths[i])
            gram += weight * np.outer(feature, feature)
            moment += weight * feature * targets[i, t, 0]
            square += weight * targets[i, t, 0] ** 2
    fit = np.linalg.solve(gram, moment)
    np.testing.assert_allclose(task.baseline, square - moment @ fit, rtol=1e-9)
    # And it is in the units of `loss`.
    batch = Padded(task.train_targets, task.train_lengths)
    outputs = fit[0] + task.train_inputs @ jnp.asarray(fit[1:, None], jnp.result_type(float))
    np.testing.assert_allclose(eqx.filter_jit(task.loss)(outputs, batch), task.baseline, rtol=1e-4)


def test_baseline_of_labels_is_their_entropy():
    x = np.random.RandomState(0).normal(size=(10, 3))
    labels = np.array([0, 0, 0, 0, 2, 2, 1, 1, 1, 1])
    task = TimeSeries(x, labels, num_test=4)
    assert (task.output_size, task.every_step, task.metric_name) == (3, False, "accuracy")
    np.testing.assert_allclose(task.baseline, np.log(3) - 2 / 3 * np.log(2))
    steps = TimeSeries(x, np.array([[0, 1, 0]] * 10), np.array([1] * 5 + [2] * 5), num_test=5)
    assert steps.every_step and steps.output_size == 2
    np.testing.assert_allclose(steps.baseline, 0, atol=1e-15)  # all end after label 0


@pytest.mark.parametrize(
    "shape, output_size, every_step",
    [((10,), 1, False), ((10, 2), 2, False), ((10, 3, 2), 2, True)],
)
def test_shape_of_the_targets_says_what_is_learned(shape, output_size, every_step):
    task = TimeSeries(np.ones((10, 3)), np.ones(shape))
    assert (task.input_size, task.length) == (1, 3)
    assert (task.output_size, task.every_step) == (output_size, every_step)
    assert len(task.test[0]) == 2


X, Y = np.ones((5, 3, 2)), np.ones(5)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((np.ones(5), Y), r"inputs of shape \(sequences, time\) or"),
        ((np.ones((5, 0, 2)), Y), "expected inputs of shape"),
        ((X, np.ones(4)), r"targets for 5 sequences of 3 steps: .* got float64 of shape \(4, 1\)"),
        ((X, np.ones((5, 4, 1))), "targets for 5 sequences of 3 steps"),
        ((X, np.ones((5, 4), int)), "targets for 5 sequences of 3 steps"),
        ((X, np.ones((5, 3, 1), int)), "targets for 5 sequences of 3 steps"),
        ((X, Y * np.nan), r"expected finite numbers; targets\[0, 0\] is nan"),
        ((X * np.inf, Y), r"expected finite numbers; inputs\[0, 0, 0\] is inf"),
        ((X, -np.ones(5, int)), "labels from 0 up; got -1"),
        ((X, Y, np.array([1, 2, 3, 4, 1])), "lengths from 1 to 3, .* got 1 to 4"),
        ((X, Y, np.array([1, 2, 3, 0, 1])), "got 0 to 3"),
        ((X, Y, np.array([1, 2])), r"one integer per sequence in lengths, 5 in all"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        TimeSeries(*arguments)


@pytest.mark.parametrize("num_test", [0, 5])
def test_both_parts_need_a_sequence(num_test):
    with pytest.raises(ValueError, match=f"0 < num_test < 5, .* got {num_test}"):
        TimeSeries(X, Y, num_test=num_test)


def test_files_that_are_no_npz_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    with pytest.raises(FileNotFoundError):
        time_series(path)
    np.savez(path, inputs=X, targets=Y)
    whole = path.read_bytes()
    np.save(tmp_path / "array.npy", X)
    array = (tmp_path / "array.npy").read_bytes()
    for data in (b"", b"not a file", whole[: len(whole) // 2], array):
        path.write_bytes(data)
        with pytest.raises(ValueError, match="expected a .npz file of whole arrays"):
            time_series(path)
    damaged = bytearray(whole)
    damaged[len(whole) // 4] ^= 0xFF
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match="expected a .npz file of whole arrays"):
        time_series(path)


def test_missing_arrays_are_named(tmp_path):
    np.savez(tmp_path / "x.npz", inputs=X, lengths=np.ones(5, int))
    with pytest.raises(ValueError, match="named inputs and targets .* it holds inputs, lengths"):
        time_series(tmp_path / "x.npz")


def test_objects_are_not_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pathlib_touch, (str(tmp_path / "trapped"),))

    np.savez(tmp_path / "x.npz", inputs=X, targets=np.array([Trap()] * 5, object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        time_series(tmp_path / "x.npz")
    assert not (tmp_path / "trapped").exists()
    # The trap would have sprung.
    pickle.loads(pickle.dumps(Trap()))
    assert (tmp_path / "trapped").exists()


def pathlib_touch(path):
    open(path, "w").close()
