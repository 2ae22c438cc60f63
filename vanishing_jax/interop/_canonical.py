"""One recurrent layer, gate by gate, whatever framework its weights came from."""

import functools as ft
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from .._types import Array
from ..cells import (
    AbstractCell,
    GRUCell,
    LSTMCell,
    MGUCell,
    PeepholeLSTMCell,
    ResetBeforeGRUCell,
    VanillaCell,
)
from ..cells._io import from_arrays
from ..cells._vanilla import find_activation
from ..cells._weights import clipped

Gates: TypeAlias = Mapping[str, np.ndarray]
"""gate -> its block; a letter names the gate as in `GATES`."""

GATES = {"rnn": "h", "lstm": "ifgo", "gru": "rzn", "mgu": "fn"}
"""kind -> its gates, in the order of the rows of this package's cells."""


class Layer(NamedTuple):
    """One layer in one direction. Every block multiplies a column from the left."""

    kind: str  # a key of GATES
    hidden: Gates  # (n, n) each
    input: Gates  # (n, d) each
    input_bias: Gates = {}  # (n,) each, added to the product with the input
    hidden_bias: Gates = {}  # the same, added to that with h: another place if a gate resets it
    activation: str | None = None  # of an "rnn"
    reset_after: bool = True  # of a "gru"
    peepholes: Gates = {}  # of an "lstm"
    coupled: bool = False  # of an "lstm": whether f is 1 - i
    clip: float | None = None


def split_gates(name: str, fused: np.ndarray, gates: str, axis: int = 0) -> dict[str, np.ndarray]:
    """Return the blocks along `axis`, one for each gate in this order, as columns' matrices.

    With `axis=1` a framework multiplies rows, `x @ kernel`, and the blocks are transposed.
    """
    if fused.ndim <= axis or fused.shape[axis] % len(gates):
        raise ValueError(
            f"{name} must have a multiple of {len(gates)} along axis {axis}, one block for each of "
            f"{', '.join(gates)}; got shape {fused.shape}."
        )
    blocks = np.split(fused, len(gates), axis)
    return {g: b.T if axis else b for g, b in zip(gates, blocks, strict=True)}


def kind_of(shape: Sequence[int], kinds: Mapping[int, str]) -> str | None:
    """Return the kind whose recurrent matrix has this shape, (n, gates n), if there is one."""
    if len(shape) != 2 or not shape[0] or shape[1] % shape[0]:
        return None
    return kinds.get(shape[1] // shape[0])


def check_activation(kind: str, activation: str | None, name: str) -> None:
    """Check that an activation is given for a plain cell, and only there."""
    if kind == "rnn" and activation is None:
        raise ValueError(
            f"the weights of {name} do not tell its activation: pass activation='tanh' (the "
            "default there), 'relu', 'sigmoid' or 'identity'"
        )
    if kind != "rnn" and activation is not None:
        raise ValueError(f"activation is only for {name}; this layer is of the kind {kind!r}")


def to_cell(layer: Layer) -> AbstractCell:
    """Return the cell that steps as the layer does.

    A framework's two biases are one in a sum; only inside the reset of a GRU or MGU, which
    multiplies W h and its bias but not that of the input, do they stay apart.
    """
    gates = GATES[layer.kind]
    if layer.coupled:
        gates = gates.replace("f", "")
    n = layer.hidden[gates[0]].shape[-1]
    dtype = layer.hidden[gates[0]].dtype
    zero = np.zeros(n, dtype)
    apart = "n" if layer.kind == "mgu" or (layer.kind == "gru" and layer.reset_after) else ""

    def bias(gate: str) -> np.ndarray:
        given = [layer.input_bias.get(gate)]
        given += [] if gate in apart else [layer.hidden_bias.get(gate)]
        found = [b for b in given if b is not None]
        return sum(found[1:], found[0]) if found else zero

    arrays: dict[str, Any] = {
        "weight_hh": np.concatenate([layer.hidden[g] for g in gates]),
        "weight_xh": np.concatenate([layer.input[g] for g in gates]),
        "bias": np.concatenate([bias(g) for g in gates]),
    }
    if apart:
        arrays["bias_n"] = layer.hidden_bias.get("n", zero)
    kind, options = _kind(layer)
    if kind is PeepholeLSTMCell and layer.peepholes:
        arrays["peepholes"] = np.concatenate([layer.peepholes[g] for g in gates if g != "g"])
    return from_arrays(kind, arrays["weight_xh"].shape[-1], n, arrays, **options)


def _kind(layer: Layer) -> tuple[type[AbstractCell], dict[str, Any]]:
    if layer.kind == "rnn":
        assert layer.activation is not None
        return VanillaCell, {"activation": _clipped(layer.activation, layer.clip)}
    if layer.kind == "mgu":
        return MGUCell, {}
    if layer.kind == "gru":
        return (GRUCell if layer.reset_after else ResetBeforeGRUCell), {"clip": layer.clip}
    if layer.peepholes or layer.coupled or layer.clip is not None:
        options = {"coupled": layer.coupled, "clip": layer.clip}
        return PeepholeLSTMCell, {**options, "peepholes": bool(layer.peepholes)}
    return LSTMCell, {}


@ft.cache
def _clipped(activation: str, clip: float | None) -> str | Callable[[Array], Array]:
    """Return the activation after the clip; cached, because another function is compiled anew."""
    if clip is None:
        return activation
    fn = find_activation(activation)
    return lambda preactivation: fn(clipped(preactivation, clip))
