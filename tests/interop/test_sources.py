"""What every loader of weights does with files and objects that hold none."""

import functools as ft
from typing import Any

import jax
import numpy as np
import pytest
import safetensors.numpy

from vanishing_jax import interop
from vanishing_jax.interop._loaders import load_file

FUNCTIONS = [
    interop.load_equinox, interop.load_flax, interop.load_haiku, interop.load_keras,
    interop.load_onnx, interop.load_torch,
]  # fmt: skip
loaders = pytest.mark.parametrize("load", FUNCTIONS, ids=lambda load: load.__name__)


@loaders
def test_broken_files(load, tmp_path):
    path = tmp_path / "model.safetensors"
    whole = safetensors.numpy.save({"a": np.ones((4, 4))})
    for content in (whole[:-8], b"", b"junk" * 99):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="model.safetensors is not a complete safetensors"):
            load(path)
    with pytest.raises(ValueError, match="looks like a pickle"):
        load(tmp_path / "model.pt")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing.safetensors")


@loaders
def test_tensors_that_are_not_finite(load, tmp_path):
    path = tmp_path / "model.safetensors"
    safetensors.numpy.save_file({"a.b": np.array([1, np.nan, np.inf], np.float16)}, path)
    with pytest.raises(ValueError, match="tensor 'a.b' of .*model.safetensors holds 2 NaN or inf"):
        load(path)


@loaders
def test_other_objects(load):
    with pytest.raises(TypeError):
        load(3)
    with pytest.raises(TypeError, match="expected an array as 'kernel'; got a object"):
        load({"kernel": object()})
    with pytest.raises(ValueError, match="no (recurrent|weights|RNN)"):
        load({})
    # The key of a random stream is no weight.
    with pytest.raises(ValueError, match="no (recurrent|weights|RNN)"):
        load({"rngs": {"key": jax.random.key(0)}})


PLAIN = {
    "keras": ("kernel", "recurrent_kernel"),
    "flax": ("dense_i.kernel", "dense_h.kernel"),
    "haiku": ("vanilla_rnn.linear.w", "vanilla_rnn.linear_1.w"),
}


@pytest.mark.parametrize("framework", PLAIN)
def test_command_line_loaders_of_plain_layers(framework, tmp_path):
    path = tmp_path / "model.safetensors"
    one = {
        f"{prefix}.{name}": np.full((2, 2), value, np.float32)
        for prefix, value in (("a", 1), ("b", -1))
        for name in PLAIN[framework]
    }
    safetensors.numpy.save_file(one, path)
    load = ft.partial(load_file, path, framework)
    given = {} if framework == "haiku" else {"nonlinearity": "relu"}
    cell: Any = load("rnn", prefix="b", **given)
    np.testing.assert_array_equal(cell(np.ones(2, np.float32), -np.ones(2, np.float32)), 0)
    np.testing.assert_array_equal(cell(np.zeros(2, np.float32), -np.ones(2, np.float32)), 2)
    with pytest.raises(ValueError, match="not 'lstm'|is only for|no recurrent layer"):
        load("lstm", prefix="b", **given)
    if framework == "haiku":
        with pytest.raises(ValueError, match="leave out nonlinearity"):
            load(nonlinearity="relu")


def test_command_line_loader_of_onnx(tmp_path):
    path = tmp_path / "model.safetensors"
    arrays = {"a.W": np.ones((1, 2, 2), np.float32), "a.R": -np.ones((1, 2, 2), np.float32)}
    safetensors.numpy.save_file(arrays, path)
    cell: Any = load_file(path, "onnx", "rnn", nonlinearity="relu", prefix="a")
    np.testing.assert_array_equal(cell(np.ones(2, np.float32), np.ones(2, np.float32)), 0)
    with pytest.raises(ValueError, match="is of the kind 'rnn', not 'gru'"):
        load_file(path, "onnx", "gru", nonlinearity="relu")
