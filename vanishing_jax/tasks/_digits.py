"""Handwritten digits read pixel by pixel."""

import jax.numpy as jnp
import numpy as np

from ._classification import SequenceClassification, standardized


def digits(
    *, permuted: bool = False, standardize: bool = True, num_test: int = 300
) -> SequenceClassification:
    """Return the UCI handwritten digits as a task: 64 pixels, one per step, then name the digit.

    The 1797 images of 8 x 8 pixels that scikit-learn ships, so nothing is downloaded. Row by row
    the last rows alone already tell much; with `permuted` one fixed shuffle of the pixels spreads
    the evidence over all 64 steps and the dependencies become long. The split and the shuffle are
    fixed: the same on every machine and in every release. Pixels have the default floating dtype.

    **Arguments:**

    - `permuted`: visit the pixels in one fixed random order instead of row by row.
    - `standardize`: shift and scale all pixels by one mean and one standard deviation, those of the
      training images, to zero mean and unit variance (one pixel alone may be constant); otherwise
      they lie in [0, 1].
    - `num_test`: images held out of training, in `.test`.

    **Returns:** a `SequenceClassification` with 10 classes; inputs are `batch 64 1`.

    **Raises:** `ImportError` without scikit-learn; `ValueError` when `num_test` leaves no image to
    train on or to test.

    **Example:**

    >>> import jax
    >>> from vanishing_jax.tasks import digits
    >>> task = digits()
    >>> inputs, targets = task.sample(jax.random.key(0), 32)
    >>> inputs.shape, targets.shape, round(task.baseline, 3)
    ((32, 64, 1), (32,), 2.205)

    ??? cite "Reference"

        ```bibtex
        @misc{alpaydin1998optical,
          author       = {Alpaydin, E. and Kaynak, C.},
          title        = {Optical Recognition of Handwritten Digits},
          howpublished = {UCI Machine Learning Repository},
          year         = {1998},
        }
        ```
    """
    pixels, labels = _load()
    if not 0 < num_test < len(labels):
        raise ValueError(f"expected 0 < num_test < {len(labels)}; got {num_test}.")
    # RandomState's stream is frozen by NumPy's policy; default_rng's may change with a release.
    order = np.random.RandomState(0).permutation(len(labels))
    pixels, labels = pixels[order] / 16, labels[order]
    if permuted:
        pixels = pixels[:, np.random.RandomState(1).permutation(pixels.shape[1])]
    num_train, dtype = len(labels) - num_test, jnp.result_type(float)
    train, test = pixels[:num_train, :, None], pixels[num_train:, :, None]
    if standardize:
        train, test = standardized(train, test)
    return SequenceClassification(
        (train.astype(dtype), labels[:num_train]),
        (test.astype(dtype), labels[num_train:]),
        num_classes=10,
        name="permuted digits" if permuted else "digits",
    )


def _load() -> tuple[np.ndarray, np.ndarray]:
    """Return the images as (1797, 64) values 0..16 and their labels."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            'digits() reads the images that scikit-learn ships: pip install "vanishing_jax[data]"'
        ) from error
    pixels, labels = load_digits(return_X_y=True)
    return np.asarray(pixels), np.asarray(labels)
