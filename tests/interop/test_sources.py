"""What every loader of weights does with files and objects that hold none."""

import jax
import numpy as np
import pytest
import safetensors.numpy

from vanishing_jax import interop

pytestmark = pytest.mark.float64_anyway

LOADERS = [
    interop.load_equinox, interop.load_flax, interop.load_haiku, interop.load_keras,
    interop.load_onnx,
]  # fmt: skip
loaders = pytest.mark.parametrize("load", LOADERS, ids=lambda load: load.__name__)


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
