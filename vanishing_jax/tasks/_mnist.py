"""MNIST read pixel by pixel, from files the user has."""

import pathlib

import jax.numpy as jnp
import numpy as np

from ._classification import SequenceClassification, standardized
from ._idx import read_idx


def mnist(
    path: str | pathlib.Path,
    *,
    permuted: bool = False,
    standardize: bool = True,
) -> SequenceClassification:
    """Return sequential MNIST as a task: 784 pixels, one per step, then name the digit.

    Read from the four IDX files of MNIST, or of any set in the same form (Fashion-MNIST, KMNIST),
    which must lie in `path`, plain or as `.gz`; nothing is downloaded. The split is the files' own.
    With `permuted` all images are read in one fixed random order (that of the expRNN code for 784
    pixels), which makes the dependencies long.

    The baseline is that of the last input, as for `digits`: with pixels in their usual order it is
    nearly ln 10, since the last pixel is empty.

    **Arguments:**

    - `path`: the folder with `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
      `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`; `.idx` for `-idx` will do.
    - `permuted`: visit the pixels in one fixed random order.
    - `standardize`: as in `digits`; otherwise pixels lie in [0, 1].

    **Returns:** a `SequenceClassification` with 10 classes and the test images in `.test`.

    **Raises:** `FileNotFoundError` with the file that is missing; `ValueError` for files that are
    cut short, damaged or of another format, and images and labels that do not belong together.

    **Cost:** 190 MB in float32 for the 60,000 training images.

    ??? cite "Reference"

        ```bibtex
        @article{lecun1998gradient,
          author  = {LeCun, Yann and Bottou, Léon and Bengio, Yoshua and Haffner, Patrick},
          title   = {Gradient-Based Learning Applied to Document Recognition},
          journal = {Proceedings of the IEEE},
          volume  = {86},
          number  = {11},
          pages   = {2278--2324},
          year    = {1998},
        }
        ```
    """
    dtype = jnp.result_type(float)
    train, test = (_load(pathlib.Path(path), part) for part in ("train", "t10k"))
    if train[0].shape[1] != test[0].shape[1]:
        raise ValueError(
            "expected training and test images of one size; got "
            f"{train[0].shape[1]} and {test[0].shape[1]} pixels."
        )
    steps = [
        (pixels.astype(np.float32) / np.float32(255)).astype(dtype) for pixels, _ in (train, test)
    ]
    if permuted:
        order = np.random.RandomState(92916).permutation(steps[0].shape[1])
        steps = [x[:, order] for x in steps]
    if standardize:
        steps = standardized(*steps)
    return SequenceClassification(
        (steps[0].astype(dtype), train[1]),
        (steps[1].astype(dtype), test[1]),
        num_classes=10,
        name=("permuted " if permuted else "") + "mnist",
    )


def _load(folder: pathlib.Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images as rows of `pixel 1`, bytes, and labels of one part."""
    images = _read(folder, f"{part}-images", 3)
    labels = _read(folder, f"{part}-labels", 1)
    if len(images) != len(labels) or len(images) == 0:
        raise ValueError(
            f"expected as many labels as images, and some; {folder} holds {len(images)} {part} "
            f"images and {len(labels)} labels."
        )
    return images.reshape(len(images), -1, 1), labels.astype(np.int32)


def _read(folder: pathlib.Path, stem: str, ndim: int) -> np.ndarray:
    names = [f"{stem}{dot}idx{ndim}-ubyte{end}" for end in ("", ".gz") for dot in ("-", ".")]
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise FileNotFoundError(f"expected {names[0]} (or .gz) in {folder}; it is not there.")
    array = read_idx(path)
    if array.ndim != ndim or array.dtype != np.uint8:
        raise ValueError(
            f"expected bytes with {ndim} axes in {path}; got {array.dtype} of shape {array.shape}."
        )
    return array
