"""Recurrent layers of PyTorch, from their saved weights."""

import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ..cells import (
    AbstractCell,
    BidirectionalCell,
    GRUCell,
    LSTMCell,
    ProjectedLSTMCell,
    StackedCell,
    VanillaCell,
)
from ..cells._io import check_finite, from_arrays, read_tensors
from ..networks import RecurrentNetwork

_NAME = re.compile(
    r"(?P<prefix>.*?)(?P<what>(weight|bias)_(ih|hh|hr))(_l(?P<layer>\d+))?(?P<reverse>_reverse)?"
)
_GATES = {"lstm": 4, "gru": 3, "rnn": 1}


class _Layer(NamedTuple):
    """The tensors of one direction of one layer; `end` is how their names end."""

    end: str
    weight_ih: np.ndarray
    weight_hh: np.ndarray
    weight_hr: np.ndarray | None
    bias_ih: np.ndarray | None
    bias_hh: np.ndarray | None


def load_torch(
    path_or_dict: str | os.PathLike[str] | Mapping[str, Any],
    cell: str | None = None,
    *,
    nonlinearity: str | None = None,
    prefix: str | None = None,
) -> AbstractCell | RecurrentNetwork:
    """Return the cell, or network, that a recurrent PyTorch layer is, from its weights.

    Reads `torch.nn.LSTM`, `GRU` and `RNN` with any `num_layers`, `bias`, `bidirectional` and
    `proj_size`, and `LSTMCell`, `GRUCell`, `RNNCell`, as in evaluation mode: dropout between layers
    is no part of the weights. PyTorch's two biases are added to one, except inside the reset of a
    GRU, where they differ. Weights keep their dtype, except that float64 becomes float32 when JAX's
    64-bit types are off. `batch_first` is not in the file and concerns the layout of inputs only:
    here a sequence is (time, input) and a batch (batch, time, input), as with `batch_first=True`.

    **Arguments:**

    - `path_or_dict`: a safetensors file, `safetensors.torch.save_file(model.state_dict(), path)`,
      or a mapping of names to arrays. Pickles (`.pt`, `.pth`) are never opened.
    - `cell`: "lstm", "gru" or "rnn"; None reads it off the shapes.
    - `nonlinearity`: "tanh" or "relu", required for an RNN: the weights do not tell.
    - `prefix`: what precedes the layer's names in the state dict ("encoder.rnn."); needed only if
      the state dict holds several recurrent layers.

    **Returns:** one layer in one direction: an `LSTMCell`, `ProjectedLSTMCell`, `GRUCell` or
    `VanillaCell`; several: a `StackedCell` of these; bidirectional ones: a
    `vanishing_jax.networks.RecurrentNetwork`. `vanishing_jax.diagnose` takes each of them.

    **Raises:** `ValueError`, naming file and tensors, for a file that is truncated, empty, a pickle
    or not safetensors at all, no or several recurrent layers, another kind of cell than asked for,
    tensors that are missing or do not fit each other, NaN or inf.

    **Validity:** outputs and their gradients with respect to inputs and weights agree with PyTorch
    within 1e-6 in float32 (`tests/interop/test_torch.py`).

    **Example:**

    >>> import numpy as np
    >>> weights = {"rnn.weight_ih_l0": np.ones((8, 3)), "rnn.weight_hh_l0": np.zeros((8, 2)),
    ...            "rnn.bias_ih_l0": np.zeros(8), "rnn.bias_hh_l0": np.zeros(8)}
    >>> load_torch(weights).state_names
    ('h', 'c')
    >>> both = weights | {f"{name}_reverse": value for name, value in weights.items()}
    >>> load_torch(both).names
    ('layer0.forward', 'layer0.backward')
    """
    if isinstance(path_or_dict, Mapping):
        source = "the state dict"
        tensors = {name: _to_numpy(tensor) for name, tensor in path_or_dict.items()}
        check_finite(tensors, source)
    else:
        source = str(path_or_dict)
        tensors, _ = read_tensors(path_or_dict)
    layers = _layers(tensors, prefix, source)
    kind = _kind(layers, cell, source)
    if kind == "rnn" and nonlinearity not in ("tanh", "relu"):
        raise ValueError(
            f"the weights of an RNN ({source}) do not tell its nonlinearity: pass "
            f"nonlinearity='tanh' or nonlinearity='relu'; got {nonlinearity!r}."
        )
    if kind != "rnn" and nonlinearity is not None:
        raise ValueError(f"nonlinearity is only for an RNN; {source} holds a {kind.upper()}.")
    _check_shapes(kind, layers, source)
    cells = [[_cell(kind, part, nonlinearity) for part in layer] for layer in layers]
    if len(cells[0]) == 2:
        return RecurrentNetwork([BidirectionalCell(*directions) for directions in cells])
    stack = [one for (one,) in cells]
    return stack[0] if len(stack) == 1 else StackedCell(stack)


def _to_numpy(tensor: Any) -> np.ndarray:
    # A torch tensor may require grad or live on a GPU; NumPy's asarray refuses both.
    return np.asarray(tensor.detach().cpu() if hasattr(tensor, "detach") else tensor)


def _layers(tensors: dict[str, np.ndarray], prefix: str | None, source: str) -> list[list[_Layer]]:
    """Return the layers of the one recurrent network among the tensors, each with 1 or 2 parts."""
    matches = {name: m for name in tensors if (m := _NAME.fullmatch(name))}
    prefixes = sorted({m["prefix"] for m in matches.values()})
    if not prefixes:
        raise ValueError(
            f"{source} holds no recurrent layer (weight_ih_l0, weight_hh_l0, ...); its tensors are "
            f"{sorted(tensors)}."
        )
    if prefix is None and len(prefixes) > 1:
        raise ValueError(
            f"{source} holds several recurrent layers: choose prefix= from {prefixes}."
        )
    if prefix is not None and prefix not in prefixes:
        raise ValueError(f"{source} holds no layer {prefix!r}: choose prefix= from {prefixes}.")
    chosen = prefixes[0] if prefix is None else prefix
    matches = {name: m for name, m in matches.items() if m["prefix"] == chosen}
    parts: dict[str, dict[str, np.ndarray]] = {}
    for name, match in matches.items():
        parts.setdefault(name[match.end("what") :], {})[match["what"]] = tensors[name]
    depth = 1 + max(int(match["layer"] or 0) for match in matches.values())
    directions = ["", "_reverse"] if any(m["reverse"] for m in matches.values()) else [""]
    named = any(match["layer"] for match in matches.values())  # not those of an LSTMCell
    ends = [[f"_l{i}{d}" if named else d for d in directions] for i in range(depth)]
    like = parts.get(ends[0][0], {})
    return [[_layer(parts.get(end, {}), end, like, source) for end in pair] for pair in ends]


def _layer(part: dict[str, np.ndarray], end: str, like: dict, source: str) -> _Layer:
    """Return the tensors whose names end on `end`; `like` are those of the first layer."""
    needed = {"weight_ih", "weight_hh"} | like.keys()
    if part.keys() & {"bias_ih", "bias_hh"}:
        needed |= {"bias_ih", "bias_hh"}
    missing = sorted(f"{what}{end}" for what in needed - part.keys())
    if missing:
        raise ValueError(f"{source} lacks the tensors {missing}.")
    return _Layer(end, *(part.get(what) for what in _Layer._fields[1:]))  # pyright: ignore


def _kind(layers: list[list[_Layer]], cell: str | None, source: str) -> str:
    if cell is not None and cell not in _GATES:
        raise ValueError(f"cell must be 'lstm', 'gru' or 'rnn'; got {cell!r}.")
    parts = [part for layer in layers for part in layer]
    shapes = {f"weight_hh{part.end}": part.weight_hh.shape for part in parts}
    if any(part.weight_hr is not None for part in parts):
        if cell in (None, "lstm"):
            return "lstm"
        names = [f"weight_hr{part.end}" for part in parts if part.weight_hr is not None]
        raise ValueError(f"{source} holds {names}, a projection, which only an LSTM has.")
    for kind, gates in _GATES.items():
        if all(len(shape) == 2 and shape[0] == gates * shape[1] for shape in shapes.values()):
            if cell in (None, kind):
                return kind
            break
    raise ValueError(
        f"expected weight_hh of shape (4n, n) for an LSTM, (3n, n) for a GRU, (n, n) for an RNN"
        f"{'' if cell is None else f', here {cell!r}'}; {source} holds {shapes}."
    )


def _check_shapes(kind: str, layers: list[list[_Layer]], source: str) -> None:
    """Raise unless all tensors are floating and of the shapes that follow from the first ones."""
    below = layers[0][0].weight_ih.shape[-1]
    for layer in layers:
        for part in layer:
            hr = part.weight_hr
            if hr is not None and hr.ndim != 2:
                raise ValueError(f"weight_hr{part.end} of {source} must have two axes, (p, n).")
            n = part.weight_hh.shape[-1] if hr is None else hr.shape[1]
            p, rows = (n if hr is None else hr.shape[0]), _GATES[kind] * n
            shapes = {"weight_ih": (rows, below), "weight_hh": (rows, p), "weight_hr": (p, n)}
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
            for what, shape in shapes.items():
                _check(getattr(part, what), shape, f"{what}{part.end} of {source}")
        sizes = [(part.weight_hh.shape[1]) for part in layer]
        below = sum(sizes)


def _check(tensor: np.ndarray | None, shape: tuple[int, ...], name: str) -> None:
    if tensor is None:
        return
    if tensor.shape != shape or 0 in shape:
        raise ValueError(
            f"{name} must have shape {shape} to fit the other tensors; got {tensor.shape}."
        )
    if not jnp.issubdtype(tensor.dtype, jnp.floating):
        raise ValueError(f"{name} must be floating; got {tensor.dtype}.")


def _cell(kind: str, layer: _Layer, nonlinearity: str | None) -> AbstractCell:
    d, rows = layer.weight_ih.shape[1], layer.weight_hh.shape[0]
    n, dtype = rows // _GATES[kind], layer.weight_hh.dtype
    arrays: dict[str, Any] = {"weight_hh": layer.weight_hh, "weight_xh": layer.weight_ih}
    bias_ih = np.zeros(rows, dtype) if layer.bias_ih is None else layer.bias_ih
    bias_hh = np.zeros(rows, dtype) if layer.bias_hh is None else layer.bias_hh
    if kind == "gru":
        # h' = tanh(W x + b_ih + r * (W h + b_hh)): only the gates' biases can be added.
        gates = np.arange(3 * n) < 2 * n
        arrays["bias"] = bias_ih + np.where(gates, bias_hh, np.zeros_like(bias_hh))
        arrays["bias_n"] = bias_hh[2 * n :]
        return from_arrays(GRUCell, d, n, arrays)
    arrays["bias"] = bias_ih + bias_hh
    if layer.weight_hr is not None:
        arrays["weight_hr"] = layer.weight_hr
        size = layer.weight_hr.shape[0]
        return from_arrays(ProjectedLSTMCell, d, n, arrays, projection_size=size)
    if kind == "lstm":
        return from_arrays(LSTMCell, d, n, arrays)
    return from_arrays(VanillaCell, d, n, arrays, activation=nonlinearity)
