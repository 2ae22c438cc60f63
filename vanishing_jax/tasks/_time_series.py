"""Time series that are held in memory, or read from a file."""

import pathlib
import zipfile

import jax.numpy as jnp
import numpy as np

from .._types import ArrayLike
from ._stored import AbstractStoredTask


class TimeSeries(AbstractStoredTask):
    """Stored sequences with one target each, or one per step: numbers or labels.

    What the targets are tells what is learned:

    | `targets` | outputs of | loss and metric |
    |---|---|---|
    | numbers, `(sequences,)` or `(sequences, output)` | last step | mean squared, absolute error |
    | numbers, `(sequences, time, output)` | every step | the same, over the steps |
    | integer labels, `(sequences,)` | last step, per class | cross-entropy in nats, accuracy |
    | integer labels, `(sequences, time)` | every step, per class | the same, over the steps |

    With `lengths` the sequences end at different steps: what the arrays hold beyond that is never
    used (it may be NaN), and batches are `Padded`. Each sequence counts the same, whatever its
    length.

    The baseline is exact for the training sequences. For numbers it is the loss of the best affine
    function of the present input, which includes repeating it; for labels the entropy of the
    labels, which a constant reaches. (The best function of any kind means nothing here: inputs that
    are real numbers differ in all sequences, and a table of them would know every target.)

    **Arguments:**

    - `inputs`: `(sequences, time, input)`, or `(sequences, time)` for one input per step.
    - `targets`: see the table. Labels count from 0.
    - `lengths`: number of steps of each sequence, from 1 to `time`.
    - `num_test`: how many of the last sequences are held out in `.test`; by default a fifth.
    - `name`: what tables call the task.

    **Raises:** `ValueError` for shapes that do not fit the table or each other, lengths out of
    range, NaN or infinite numbers within a sequence, negative labels, and a `num_test` that leaves
    none to train on or none to test.

    **Example:**

    >>> import jax, numpy as np
    >>> from vanishing_jax.tasks import TimeSeries
    >>> wave = np.sin(0.3 * np.arange(20)[:, None] + 0.5 * np.arange(12))
    >>> task = TimeSeries(wave[:, :-1], wave[:, 1:, None], num_test=5)
    >>> inputs, targets = task.sample(jax.random.key(0), 4)
    >>> inputs.shape, targets.shape, task.every_step
    ((4, 11, 1), (4, 11, 1), True)
    """

    def __init__(
        self,
        inputs: ArrayLike,
        targets: ArrayLike,
        lengths: ArrayLike | None = None,
        *,
        num_test: int | None = None,
        name: str = "time series",
    ):
        """See the class."""
        x, y, ends = _normalize(np.asarray(inputs), np.asarray(targets), lengths)
        num_test = len(x) // 5 if num_test is None else num_test
        if not 0 < num_test < len(x):
            raise ValueError(
                f"expected 0 < num_test < {len(x)}, the number of sequences; got {num_test}."
            )
        dtype, count = jnp.result_type(float), len(x) - num_test
        train, test = (
            (x[part].astype(dtype), y[part], None if lengths is None else ends[part])
            for part in (slice(0, count), slice(count, None))
        )
        self._store(train, test)
        every_step = y.ndim == (2 if self.labels else 3)
        output_size = int(y.max()) + 1 if self.labels else y.shape[-1]
        self._describe(
            name,
            x.shape[1],
            sizes=(x.shape[2], output_size),
            baseline=_baseline(x[:count], y[:count], ends[:count], every_step),
            every_step=every_step,
            metric_name="accuracy" if self.labels else "mean absolute error",
        )


def time_series(
    path: str | pathlib.Path, *, num_test: int | None = None, name: str | None = None
) -> TimeSeries:
    """Return the sequences in a NumPy `.npz` file as a task.

    The file holds `inputs`, `targets` and, where sequences differ in length, `lengths`, as the
    arguments of `TimeSeries`; write it by `numpy.savez(path, inputs=..., targets=...)`. It is read
    without pickle, so a file from a stranger runs no code.

    **Arguments:**

    - `path`: of the file.
    - `num_test`: how many of the last sequences are held out; by default a fifth.
    - `name`: what tables call the task; by default the file's name.

    **Returns:** a `TimeSeries`.

    **Raises:** `FileNotFoundError`; `ValueError` for a file that is no `.npz`, is damaged, lacks an
    array or holds Python objects, and for what `TimeSeries` refuses.
    """
    path = pathlib.Path(path)
    arrays = _read_npz(path)
    missing = [name for name in ("inputs", "targets") if name not in arrays]
    if missing:
        raise ValueError(
            f"expected arrays named inputs and targets (and lengths, if they differ) in {path}; "
            f"it holds {', '.join(arrays) or 'none'}."
        )
    return TimeSeries(
        arrays["inputs"],
        arrays["targets"],
        arrays.get("lengths"),
        num_test=num_test,
        name=path.stem if name is None else name,
    )


def _read_npz(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Return the arrays of a `.npz` file that a task may hold."""
    with open(path, "rb") as file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                names = [n for n in ("inputs", "targets", "lengths") if n in archive.files]
                return {name: np.asarray(archive[name]) for name in names}
        # TypeError: a .npy file, whose array is no archive.
        except (TypeError, ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"expected a .npz file of whole arrays of numbers; {path} is none: {error} Save "
                "them by numpy.savez(path, inputs=..., targets=...), of numeric dtype."
            ) from error


def _normalize(x, y, lengths) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return inputs with three axes, targets, and lengths; zeros beyond the lengths."""
    for name, array in {"inputs": x, "targets": y}.items():
        if array.dtype.kind not in "fiub":
            raise ValueError(f"expected real numbers in {name}; got dtype {array.dtype}.")
    x = x[..., None] if x.ndim == 2 else x
    if x.ndim != 3 or 0 in x.shape[:2]:
        raise ValueError(
            "expected inputs of shape (sequences, time) or (sequences, time, input); "
            f"got {x.shape}."
        )
    labels = y.dtype.kind != "f"
    y = y.astype(np.int64) if labels else y[:, None] if y.ndim == 1 else y
    every_step = y.ndim == (2 if labels else 3)
    steps = x.shape[: 2 if every_step else 1]
    if y.shape[: len(steps)] != steps or y.ndim > (2 if labels else 3):
        raise ValueError(
            f"expected targets for {len(x)} sequences of {x.shape[1]} steps: (sequences,) or, for "
            "numbers, (sequences, output); at every step (sequences, time) labels or (sequences, "
            f"time, output) numbers; got {y.dtype} of shape {y.shape}."
        )
    ends = _lengths(lengths, *x.shape[:2])
    beyond = np.arange(x.shape[1]) >= ends[:, None]
    x = np.where(beyond[..., None], np.zeros((), x.dtype), x)
    if every_step:
        y = np.where(beyond if labels else beyond[..., None], np.zeros((), y.dtype), y)
    for name, array in {"inputs": x, "targets": y}.items():
        if not np.isfinite(array).all():
            where = np.argwhere(~np.isfinite(array))[0].tolist()
            raise ValueError(f"expected finite numbers; {name}{where} is {array[tuple(where)]}.")
    if labels and y.min() < 0:
        raise ValueError(f"expected labels from 0 up; got {y.min()}. Renumber them.")
    return x, y, ends


def _lengths(lengths, num_sequences: int, time: int) -> np.ndarray:
    """Return the number of steps of each sequence, all of them by default."""
    if lengths is None:
        return np.full(num_sequences, time, np.int32)
    lengths = np.asarray(lengths)
    if lengths.shape != (num_sequences,) or lengths.dtype.kind not in "iu":
        raise ValueError(
            f"expected one integer per sequence in lengths, {num_sequences} in all; "
            f"got {lengths.dtype} of shape {lengths.shape}."
        )
    if lengths.min() < 1 or lengths.max() > time:
        raise ValueError(
            f"expected lengths from 1 to {time}, the number of steps; "
            f"got {lengths.min()} to {lengths.max()}."
        )
    return lengths.astype(np.int32)


def _baseline(x: np.ndarray, y: np.ndarray, lengths: np.ndarray, every_step: bool) -> float:
    """Return the loss of the best affine function of the present input, or of the best constant."""
    if every_step:
        inside = np.arange(x.shape[1]) < lengths[:, None]
        weights = np.broadcast_to(1 / (len(x) * lengths[:, None]), inside.shape)[inside]
        x, y = x[inside], y[inside]
    else:
        weights = np.full(len(x), 1 / len(x))
        x = x[np.arange(len(x)), lengths - 1]
    if y.dtype.kind == "i":
        share = np.bincount(y, weights)
        return float(-np.sum(share[share > 0] * np.log(share[share > 0])))
    root = np.sqrt(weights)[:, None]
    features = root * np.concatenate([x, np.ones((len(x), 1))], axis=1)
    wanted = root * y
    fit = np.linalg.lstsq(features, wanted)[0]
    return float(np.square(wanted - features @ fit).sum() / y.shape[1])
