import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax.tasks import mnist

from .files import idx_bytes, images, write_mnist


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("dot", ["-", "."])
def test_reads_pixels_in_order_from_plain_and_compressed_files(tmp_path, compress, dot):
    pixels, labels = write_mnist(tmp_path, compress=compress, dot=dot)
    task = mnist(tmp_path, standardize=False)
    assert (task.name, task.length, task.input_size, task.output_size) == ("mnist", 16, 1, 10)
    np.testing.assert_allclose(task.train_inputs[:, :, 0], pixels.reshape(40, 16) / 255, rtol=1e-6)
    np.testing.assert_array_equal(task.train_targets, labels)
    held_out, its_labels = images(20, 1)
    np.testing.assert_allclose(task.test[0][:, :, 0], held_out.reshape(20, 16) / 255, rtol=1e-6)
    np.testing.assert_array_equal(task.test[1], its_labels)
    assert task.train_inputs.dtype == jnp.result_type(float)


def test_standardized_by_the_training_pixels(tmp_path):
    pixels, _ = write_mnist(tmp_path)
    task = mnist(str(tmp_path))
    held_out = images(20, 1)[0].reshape(20, 16)
    for found, plain in ((task.train_inputs, pixels), (task.test[0], held_out)):
        expected = (plain.reshape(len(plain), 16) - pixels.mean()) / pixels.std()
        np.testing.assert_allclose(found[:, :, 0], expected, atol=2e-5)


def test_permutation_is_one_shuffle_of_the_steps_and_that_of_exprnn(tmp_path):
    pixels, _ = write_mnist(tmp_path, side=28, count=12)
    task = mnist(tmp_path, permuted=True, standardize=False)
    assert task.name == "permuted mnist" and task.length == 784
    order = np.random.RandomState(92916).permutation(784)
    expected = pixels.reshape(12, 784)[:, order] / 255
    np.testing.assert_allclose(task.train_inputs[:, :, 0], expected, rtol=1e-6)


def test_images_without_contrast_stay_finite(tmp_path):
    write_mnist(tmp_path)
    for part, count in (("train", 40), ("t10k", 20)):
        blank = idx_bytes(np.zeros((count, 4, 4), "u1"))
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(blank)
    assert np.isfinite(mnist(tmp_path).train_inputs).all()


def test_missing_file_is_named(tmp_path):
    write_mnist(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="expected t10k-labels-idx1-ubyte"):
        mnist(tmp_path)


@pytest.mark.parametrize(
    "name, array, message",
    [
        ("train-labels-idx1-ubyte", np.zeros(39, "u1"), "40 train images and 39 labels"),
        ("train-labels-idx1-ubyte", np.full(40, 10, "u1"), "labels from 0 to 9; got 10 to 10"),
        ("train-labels-idx1-ubyte", np.zeros((40, 1), "u1"), r"1 axes in .*shape \(40, 1\)"),
        ("train-images-idx3-ubyte", np.zeros((40, 4, 4), "f4"), "expected bytes.* got float32"),
        ("t10k-images-idx3-ubyte", np.zeros((20, 4, 5), "u1"), "images of one size"),
        ("t10k-images-idx3-ubyte", np.zeros((0, 4, 4), "u1"), "0 t10k images and 20 labels"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(tmp_path, name, array, message):
    write_mnist(tmp_path)
    (tmp_path / name).write_bytes(idx_bytes(array))
    with pytest.raises(ValueError, match=message):
        mnist(tmp_path)
