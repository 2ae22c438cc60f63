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
    ProjectedLSTMCell,
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
    hidden: Gates  # (n, n) each, (n, p) with a projection
    input: Gates  # (n, d) each
    input_bias: Gates = {}  # (n,) each, added to the product with the input
    hidden_bias: Gates = {}  # the same, added to that with h: another place if a gate resets it
    activation: str | None = None  # of an "rnn"
    reset_after: bool = True  # of a "gru"
    peepholes: Gates = {}  # of an "lstm"
    coupled: bool = False  # of an "lstm": whether f is 1 - i
    clip: float | None = None
    projection: np.ndarray | None = None  # of an "lstm": (p, n), which makes h of what it gates


def kind_of(
    name: str, shape: Sequence[int], kinds: Sequence[str] = ("lstm", "gru", "rnn"), axis: int = 0
) -> str:
    """Return the kind whose fused recurrent matrix has this shape, gates along `axis`."""
    found = find_kind(shape, kinds, axis)
    if found is None:
        sizes = {kind: ("n", f"{len(GATES[kind])}n".removeprefix("1")) for kind in kinds}
        pairs = {kind: size if axis else size[::-1] for kind, size in sizes.items()}
        fitting = ", ".join(f"({a}, {b}) of an {k.upper()}" for k, (a, b) in pairs.items())
        raise ValueError(f"{name} must be of shape {fitting}; got {tuple(shape)}")
    return found


def find_kind(
    shape: Sequence[int], kinds: Sequence[str] = ("lstm", "gru", "rnn"), axis: int = 0
) -> str | None:
    """Return the same, or None if no kind has this shape."""
    if len(shape) != 2 or 0 in shape:
        return None
    rows, n = shape if axis == 0 else shape[::-1]
    return next((kind for kind in kinds if rows == len(GATES[kind]) * n), None)


def fused_layer(
    kind: str,
    order: str,
    tensors: Mapping[str, np.ndarray],
    names: Sequence[str],
    *,
    axis: int = 0,
    **options: Any,
) -> Layer:
    """Return the layer whose gates lie in `order` along one axis of each tensor.

    `names` are those of the recurrent and the input matrix, then of the biases added to the product
    with the input and to that with h, which may be missing. With `axis=1` a framework multiplies
    rows, `x @ kernel`, and the blocks are transposed. `options` are other fields of `Layer`.
    """
    rows = tensors[names[0]].shape[axis]
    if rows % len(order):
        raise ValueError(f"{names[0]} must have {len(order)} gates of one size; got {rows} rows")
    parts: list[Gates] = []
    for name, what in zip(names, ("matrix", "matrix", "bias", "bias"), strict=False):
        if name not in tensors:
            parts.append({})
            continue
        array = tensors[name].T if axis and what == "matrix" else tensors[name]
        if array.ndim != (2 if what == "matrix" else 1) or len(array) != rows:
            raise ValueError(
                f"{name} must have {rows} entries for the gates, as {names[0]} has; got shape "
                f"{tensors[name].shape}"
            )
        parts.append(split_gates(array, order))
    fields = ("hidden", "input", "input_bias", "hidden_bias")
    options |= dict(zip(fields, parts, strict=False))
    return Layer(kind, **options)


def split_gates(fused: np.ndarray, order: str) -> dict[str, np.ndarray]:
    """Return the blocks along the first axis, one for each gate in this order."""
    return dict(zip(order, np.split(fused, len(order)), strict=True))


def check_activation(
    kind: str, activation: str | None, name: str, keyword: str = "activation"
) -> None:
    """Check that an activation is given for a plain cell, and only there."""
    if kind == "rnn" and activation is None:
        raise ValueError(
            f"the weights of {name} do not tell its {keyword}: pass {keyword}='tanh' (the "
            "default there), 'relu', 'sigmoid' or 'identity'"
        )
    if kind != "rnn" and activation is not None:
        raise ValueError(f"{keyword} is only for {name}; this layer is of the kind {kind!r}")


def to_cell(layer: Layer) -> AbstractCell:
    """Return the cell that steps as the layer does.

    A framework's two biases are one in a sum; only inside the reset of a GRU or MGU, which
    multiplies W h and its bias but not that of the input, do they stay apart.
    """
    gates = GATES[layer.kind]
    if layer.coupled:
        gates = gates.replace("f", "")
    n = len(layer.hidden[gates[0]])
    zero = np.zeros(n, layer.hidden[gates[0]].dtype)
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
    if layer.projection is not None:
        arrays["weight_hr"] = layer.projection
    if layer.peepholes:
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
    if layer.projection is not None:
        return ProjectedLSTMCell, {"projection_size": layer.hidden["i"].shape[-1]}
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
