"""One step of a plain cell, LSTM or GRU whose pre-activations are normalized, by any rule."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax.numpy as jnp

from .._types import Array, PyTree
from . import _gru, _lstm
from ._gru import GRUCell
from ._lstm import LSTMCell
from ._vanilla import VanillaCell
from ._weights import check_pair, check_vector

Normalizable: TypeAlias = VanillaCell | LSTMCell | GRUCell
Norm: TypeAlias = Callable[[str, Array], Array]
"""`norm(site, values) -> values`: what normalizes at one of the `sites`, gain included."""


def check_cell(cell: Any, wrapper: str) -> Normalizable:
    """Return the cell, or raise TypeError for one whose pre-activations are not known."""
    if isinstance(cell, VanillaCell | LSTMCell | GRUCell):
        return cell
    raise TypeError(
        f"{wrapper} expected a VanillaCell, LSTMCell or GRUCell; got {type(cell).__name__}. "
        f"Normalize first and wrap then, as in LeakyCell({wrapper}(cell, ...), 0.1) or "
        f"StackedCell([{wrapper}(cell, ...), ...])."
    )


def sites(cell: Normalizable, placement: str) -> dict[str, int]:
    """Return where `cell` is normalized, with the number of values there, in order of use."""
    n = cell.hidden_size
    if isinstance(cell, VanillaCell):
        groups = {"": n}
    elif isinstance(cell, LSTMCell):
        groups = {"": 4 * n}
    else:
        groups = {"gates_": 2 * n, "new_": n}
    found = {group + part: size for group, size in groups.items() for part in _PARTS[placement]}
    if isinstance(cell, LSTMCell) and placement != "input":
        found["cell"] = n
    return found


_PARTS = {
    "joint": ("sum",),
    "separate": ("recurrent", "input"),
    "input": ("input",),
}


def normalized_step(
    cell: Normalizable, state: PyTree, input: PyTree, placement: str, norm: Norm
) -> PyTree:
    """Return the next state of `cell`, which `norm` normalizes at the sites of `placement`.

    With a = W h and b = U x, "joint" makes norm(a + b) of their sum, "separate" norm(a) + norm(b)
    and "input" a + norm(b). The cell's biases are added afterwards.
    """

    def join(group: str, recurrent: Array, driven: Array, reset: Array | None = None) -> Array:
        if placement == "separate":
            recurrent = norm(group + "recurrent", recurrent)
        recurrent = recurrent if reset is None else reset * recurrent
        if placement == "joint":
            return norm(group + "sum", recurrent + driven)
        return recurrent + norm(group + "input", driven)

    n, name = cell.hidden_size, f"the normalized {type(cell).__name__}"
    check_vector(name, "input", input, cell.input_size)
    if isinstance(cell, LSTMCell):
        check_pair(name, state, n)
        h, c = state
        preactivation = join("", cell.weight_hh @ h, cell.weight_xh @ input) + cell.bias
        read = (lambda c: c) if placement == "input" else (lambda c: norm("cell", c))
        return _lstm.gated(jnp.split(preactivation, 4), c, read)
    check_vector(name, "state", state, n)
    recurrent, driven = cell.weight_hh @ state, cell.weight_xh @ input
    if isinstance(cell, VanillaCell):
        preactivation = join("", recurrent, driven)
        return cell.activation(preactivation if cell.bias is None else preactivation + cell.bias)
    gates = join("gates_", recurrent[: 2 * n], driven[: 2 * n]) + cell.bias[: 2 * n]

    def new(r: Array) -> Array:
        content = join("new_", recurrent[2 * n :], driven[2 * n :], reset=r)
        return content + r * cell.bias_n + cell.bias[2 * n :]

    return _gru.gated(gates[:n], gates[n:], new, state, clip=cell.clip)
