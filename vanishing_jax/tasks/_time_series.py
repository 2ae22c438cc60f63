"""Time series that are held in memory, or read from a file."""

import pathlib
import zipfile

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Float, Int, Num

from .._types import Array, ArrayLike, Key, PyTree
from ._base import AbstractTask
from ._padded import Padded, zero_beyond
from ._scores import (
    NOT_SCORED,
    accuracy,
    cross_entropy,
    mean_where,
    step_accuracy,
    step_cross_entropy,
    values_of,
)


class TimeSeries(AbstractTask):
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

    train_inputs: Float[Array, "sequences time input"]
    train_targets: Num[Array, "sequences ..."]
    train_lengths: Int[Array, " sequences"] | None
    test_inputs: Float[Array, "held_out time input"]
    test_targets: Num[Array, "held_out ..."]
    test_lengths: Int[Array, " held_out"] | None
    labels: bool = eqx.field(static=True)
    name: str = eqx.field(static=True)
    metric_name: str = eqx.field(static=True)
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)
    length: int = eqx.field(static=True)
    every_step: bool = eqx.field(static=True)
    baseline: float = eqx.field(static=True)

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
        self.labels = np.issubdtype(y.dtype, np.integer)
        self.every_step = y.ndim == (2 if self.labels else 3)
        self.name = name
        self.metric_name = "accuracy" if self.labels else "mean absolute error"
        _, self.length, self.input_size = x.shape
        self.output_size = int(y.max()) + 1 if self.labels else y.shape[-1]
        train, test = slice(0, len(x) - num_test), slice(len(x) - num_test, None)
        used = ends if ends is not None else np.full(len(x), self.length, np.int32)
        self.baseline = _baseline(x[train], y[train], used[train], self.every_step)
        dtype = jnp.int32 if self.labels else jnp.zeros(()).dtype
        self.train_inputs, self.test_inputs = (_default(x[part]) for part in (train, test))
        self.train_targets, self.test_targets = (
            jnp.asarray(y[part].astype(dtype)) for part in (train, test)
        )
        self.train_lengths, self.test_lengths = (
            None if ends is None else jnp.asarray(ends[part]) for part in (train, test)
        )

    @property
    def test(self) -> tuple[PyTree, PyTree]:
        """The held-out (inputs, targets), which `sample` never draws."""
        return _pack(self.test_inputs, self.test_targets, self.test_lengths)

    @eqx.filter_jit
    def sample(self, key: Key, batch_size: int) -> tuple[PyTree, PyTree]:
        """Return (inputs, targets) of training sequences drawn independently, with replacement."""
        index = jr.randint(key, (batch_size,), 0, self.train_inputs.shape[0], jnp.int32)
        lengths = None if self.train_lengths is None else self.train_lengths[index]
        return _pack(self.train_inputs[index], self.train_targets[index], lengths)

    def loss(self, outputs: Float[Array, "*batch output"], targets: PyTree) -> Array:
        """Return the mean squared error or the mean cross-entropy."""
        if self.labels:
            return self._label_score(outputs, targets, cross_entropy, step_cross_entropy)
        return self._number_score(jnp.square, outputs, targets)

    def metric(self, outputs: Float[Array, "*batch output"], targets: PyTree) -> Array:
        """Return the mean absolute error or the accuracy."""
        if self.labels:
            return self._label_score(outputs, targets, accuracy, step_accuracy)
        return self._number_score(jnp.abs, outputs, targets)

    def _label_score(self, outputs, targets, at_last, at_every_step) -> Array:
        labels = values_of(targets)
        if not self.every_step:
            return at_last(outputs, labels)
        if isinstance(targets, Padded):
            mask = targets.mask(outputs.shape[-2])
            outputs = zero_beyond(outputs, mask)
            labels = jnp.where(mask, labels, jnp.asarray(NOT_SCORED, labels.dtype))
        return at_every_step(outputs, labels)

    def _number_score(self, measure, outputs, targets) -> Array:
        values = values_of(targets)
        if not (self.every_step and isinstance(targets, Padded)):
            return measure(outputs - values).mean()
        mask = targets.mask(outputs.shape[-2])
        errors = measure(zero_beyond(outputs, mask) - zero_beyond(values, mask))
        return mean_where(errors.mean(axis=-1), mask)


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
        if not zipfile.is_zipfile(file):
            raise ValueError(
                f"expected a .npz file, as numpy.savez writes; {path} is none, or is cut short."
            )
        file.seek(0)
        try:
            with np.load(file, allow_pickle=False) as archive:
                names = [n for n in ("inputs", "targets", "lengths") if n in archive.files]
                return {name: np.asarray(archive[name]) for name in names}
        except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"expected whole arrays of numbers in {path}; {error} Save them by "
                "numpy.savez(path, inputs=..., targets=...), of numeric dtype."
            ) from error


def _normalize(x, y, lengths) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
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
    y = y.astype(np.int64) if y.dtype.kind in "iub" else y
    y = y[:, None] if y.dtype.kind == "f" and y.ndim == 1 else y
    every_step = y.ndim == (3 if y.dtype.kind == "f" else 2)
    fits = y.ndim > 0 and len(y) == len(x) and (not every_step or y.shape[1] == x.shape[1])
    if not fits or y.ndim > (3 if y.dtype.kind == "f" else 2):
        raise ValueError(
            f"expected targets for {len(x)} sequences of {x.shape[1]} steps: (sequences,) or, for "
            "numbers, (sequences, output); at every step (sequences, time) labels or (sequences, "
            f"time, output) numbers; got {y.dtype} of shape {y.shape}."
        )
    if lengths is not None:
        lengths = np.asarray(lengths)
        if lengths.shape != x.shape[:1] or lengths.dtype.kind not in "iu":
            raise ValueError(
                f"expected one integer per sequence in lengths, {len(x)} in all; "
                f"got {lengths.dtype} of shape {lengths.shape}."
            )
        if lengths.min() < 1 or lengths.max() > x.shape[1]:
            raise ValueError(
                f"expected lengths from 1 to {x.shape[1]}, the number of steps; "
                f"got {lengths.min()} to {lengths.max()}."
            )
        lengths = lengths.astype(np.int32)
        beyond = np.arange(x.shape[1]) >= lengths[:, None]
        x = np.where(beyond[..., None], np.zeros((), x.dtype), x)
        if every_step:
            beyond = beyond[..., None] if y.ndim == 3 else beyond
            y = np.where(beyond, np.zeros((), y.dtype), y)
    for name, array in {"inputs": x, "targets": y}.items():
        if not np.isfinite(array).all():
            where = np.argwhere(~np.isfinite(array))[0].tolist()
            raise ValueError(f"expected finite numbers; {name}{where} is {array[tuple(where)]}.")
    if y.dtype.kind == "i" and y.min() < 0:
        raise ValueError(f"expected labels from 0 up; got {y.min()}. Renumber them.")
    return x, y, lengths


def _default(x: np.ndarray) -> Array:
    return jnp.asarray(x.astype(jnp.zeros(()).dtype))


def _pack(inputs, targets, lengths) -> tuple[PyTree, PyTree]:
    if lengths is None:
        return inputs, targets
    return Padded(inputs, lengths), Padded(targets, lengths)


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
