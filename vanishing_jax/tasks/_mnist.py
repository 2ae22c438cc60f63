"""MNIST read pixel by pixel, from files the user has."""

import pathlib

import jax.numpy as jnp
import numpy as np

from ._classification import SequenceClassification
from ._idx import read_idx


def mnist(
    path: str | pathlib.Path,
    *,
    permuted: bool = False,
    pool: int = 1,
    rows: bool = False,
    standardize: bool = True,
) -> SequenceClassification:
    """Return sequential MNIST as a task: 784 pixels, one per step, then name the digit.

    Read from the four IDX files of MNIST, or of any set in the same form (Fashion-MNIST, KMNIST),
    which must lie in `path`, plain or as `.gz`; nothing is downloaded. The split is the files' own.
    With `permuted` all images are read in one fixed random order (that of the expRNN code for 784
    pixels), which makes the dependencies long; with `pool=8` each step is the mean of 8 pixels in a
    row and T = 98; with `rows` each step is a row of 28 pixels and T = 28.

    The baseline is that of the last input, as for `digits`: with pixels in their usual order it is
    nearly ln 10, since the last pixel is empty; by `rows` it is that of whole last rows.

    **Arguments:**

    - `path`: the folder with `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
      `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`; `.idx` for `-idx` will do.
    - `permuted`: visit the steps in one fixed random order.
    - `pool`: average this many neighboring pixels into one step.
    - `rows`: read one row of the image per step.
    - `standardize`: as in `digits`; otherwise pixels lie in [0, 1].

    **Returns:** a `SequenceClassification` with 10 classes and the test images in `.test`.

    **Raises:** `FileNotFoundError` with the file that is missing; `ValueError` for files that are
    cut short, damaged or of another format, images and labels that do not belong together, a `pool`
    that does not divide the number of pixels, and `rows` together with `pool` or `permuted`.

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
    if rows and (permuted or pool != 1):
        raise ValueError("expected `rows` alone; `pool` and `permuted` would mix rows.")
    dtype = jnp.zeros(()).dtype
    train, test = (_load(pathlib.Path(path), part) for part in ("train", "t10k"))
    if train[0].shape[1:] != test[0].shape[1:]:
        raise ValueError(
            "expected training and test images of one size; got "
            f"{train[0].shape[1:]} and {test[0].shape[1:]}."
        )
    steps = [_steps(images, pool, rows).astype(dtype) for images, _ in (train, test)]
    if permuted:
        order = np.random.RandomState(92916).permutation(steps[0].shape[1])
        steps = [x[:, order] for x in steps]
    if standardize:
        mean, deviation = steps[0].mean(dtype=np.float64), steps[0].std(dtype=np.float64)
        # Images without any contrast would be divided by zero.
        steps = [((x - mean) / (deviation or 1.0)).astype(dtype) for x in steps]
    return SequenceClassification(
        (steps[0], train[1]),
        (steps[1], test[1]),
        num_classes=10,
        name=("permuted " if permuted else "") + "mnist",
    )


def _load(folder: pathlib.Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the images, as bytes, and labels of one part."""
    images = _read(folder, f"{part}-images", 3)
    labels = _read(folder, f"{part}-labels", 1)
    if len(images) != len(labels) or len(images) == 0:
        raise ValueError(
            f"expected as many labels as images, and some; {folder} holds {len(images)} {part} "
            f"images and {len(labels)} labels."
        )
    return images, labels.astype(np.int32)


def _read(folder: pathlib.Path, stem: str, ndim: int) -> np.ndarray:
    names = [f"{stem}{dot}idx{ndim}-ubyte{end}" for end in ("", ".gz") for dot in ("-", ".")]
    for name in names:
        if (folder / name).is_file():
            break
    else:
        raise FileNotFoundError(f"expected {names[0]} (or .gz) in {folder}; it is not there.")
    array = read_idx(folder / name)
    if array.ndim != ndim or array.dtype != np.uint8:
        raise ValueError(
            f"expected bytes with {ndim} axes in {folder / name}; "
            f"got {array.dtype} with shape {array.shape}."
        )
    return array


def _steps(images: np.ndarray, pool: int, rows: bool) -> np.ndarray:
    """Return `images time input` with pixels from 0 to 1."""
    if rows:
        return images.astype(np.float32) / 255
    pixels = images.reshape(len(images), -1)
    if pool < 1 or pixels.shape[1] % pool:
        raise ValueError(
            f"expected `pool` to divide the number of pixels, {pixels.shape[1]}; got {pool}."
        )
    sums = pixels.reshape(len(images), -1, pool).sum(axis=2, dtype=np.int32)
    return sums[:, :, None].astype(np.float32) / np.float32(255 * pool)
