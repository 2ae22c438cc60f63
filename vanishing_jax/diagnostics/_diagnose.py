"""A cell or a network, one batch, one answer: do gradients vanish, how far do they reach, why."""

from collections.abc import Callable
from typing import Any, TypedDict, Unpack, overload

from .._types import Array, PyTree
from ..networks import RecurrentNetwork
from ._diagnose_cell import diagnose_cell
from ._diagnose_network import diagnose_network
from ._diagnosis import Diagnosis
from ._network_diagnosis import NetworkDiagnosis

MEMORY_LIMIT = 8 * 2**30
"""Bytes that `diagnose` may need, by its own estimate (8 GiB)."""


class _Options(TypedDict, total=False):
    state0: PyTree | None
    loss: Callable[[PyTree], Array] | None
    batched: bool | None
    lengths: Any
    memory_limit: int


@overload
def diagnose(
    cell: RecurrentNetwork, inputs: PyTree, **options: Unpack[_Options]
) -> NetworkDiagnosis: ...


@overload
def diagnose(cell: Any, inputs: PyTree, **options: Unpack[_Options]) -> Diagnosis: ...


def diagnose(
    cell: Any,
    inputs: PyTree,
    *,
    state0: PyTree | None = None,
    loss: Callable[[PyTree], Array] | None = None,
    batched: bool | None = None,
    lengths: Any = None,
    memory_limit: int = MEMORY_LIMIT,
) -> Diagnosis | NetworkDiagnosis:
    """Return whether gradients vanish or explode in `cell` on `inputs`, how far they reach, why.

    The gradient of the loss at the last step that has one is carried back through the exact
    Jacobians; its average growth per step is the *rate*, and the number of steps until it falls
    below 1e-3 of its start in the median sequence the *horizon*. The verdict compares the growth
    over the whole sequence, with its 95 % interval over the batch, to a factor of 1e-3 and 1e3:
    *vanishing* or *exploding* if the interval lies beyond, *healthy* if it lies between,
    *inconclusive* otherwise (also for fewer than 8 steps, too few sequences for an interval, a
    gradient that is exactly 0 in some sequences only, or one that dips below 1e-3 and recovers).
    For sequences of different length, "whole" is the median. Each cause is an intervention
    re-measured on the same sequences, not a rule of thumb; so is each recommendation.

    **Arguments:**

    - `cell`: anything `as_cell` accepts, or a `RecurrentNetwork`: then `state0` holds one state per
      layer, and `loss(output)` reads the last layer's outputs, (time, size) or (batch, time, size).
    - `inputs`: time-major arrays (time, ...) of one sequence, or (batch, time, ...).
    - `state0`: initial state of one sequence; default the cell's own (zeros).
    - `loss`: `loss(states) -> scalar`; states as `rollout` returns them, leading axis (time+1,
      ...), or (batch, time+1, ...) for batched inputs. Without one, a random unit vector at the
      last state of each sequence is carried back (the mean log of eight of them when there are
      fewer than four sequences).
    - `batched`: whether inputs have a batch axis; needed only where both readings fit the cell.
    - `lengths`: number of steps of each sequence, integers (batch,), where the rest of the time
      axis is padding. What it holds changes no bit of the result, NaN included; a loss is given
      states that stay, from a sequence's end on, what they were there (the outputs of a network
      are 0 in the padding). None: no padding.
    - `memory_limit`: bytes that it may need by its own estimate, 8 GiB by default.

    **Returns:** a `Diagnosis`, of a network a `NetworkDiagnosis`: print it, `.plot()`,
    `.save(folder)`, `.to_dict()`.

    **Raises:** `NonFiniteError` for NaN or infinite inputs, weights or states, with the step;
    `ValueError` for shapes that do not fit, for a cell that gives different results on equal input
    (dropout left on), and where a cell does not know its initial state; `TypeError` for no cell;
    `MemoryError`, before anything is computed, beyond the limit. docs/guides/input.md lists more.

    **Cost:** one forward and one backward pass over the batch per intervention (about a dozen, one
    compilation each way, which another length, batch size or values do not repeat: buffers have
    four sizes to an octave). Printing adds nothing. `details()` adds three singular spectra and
    the exponents of the first sequence, O(T n^3), up to 128 components of the state, 8 leading
    values beyond; spectra, influence map, gradient profile and the rest are computed when they
    are read.

    **Validity:** logs throughout: right in float32 far beyond its range. The interval is about
    the sequences given, at these weights.

    **Example:**

    >>> import jax.random as jr, vanishing_jax as vj
    >>> cell = vj.cells.VanillaCell(1, 3, activation="sigmoid", key=jr.key(0))
    >>> inputs = jr.normal(jr.key(1), (4, 20, 1))
    >>> vj.diagnose(cell, inputs).verdict
    'vanishing'
    """
    options: Any = {"state0": state0, "loss": loss, "batched": batched, "lengths": lengths}
    chosen = diagnose_network if isinstance(cell, RecurrentNetwork) else diagnose_cell
    return chosen(cell, inputs, memory_limit=memory_limit, **options)
