"""Recurrent layers of PyTorch, from their saved weights."""

import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..cells import AbstractCell, GRUCell, LSTMCell, StackedCell, VanillaCell
from ..cells._io import check_finite, from_arrays, read_tensors

_NAME = re.compile(
    r"(?P<prefix>.*?)(?P<what>(weight|bias)_(ih|hh|hr))(_l(?P<layer>\d+))?(?P<reverse>_reverse)?"
)
_GATES = {"lstm": 4, "gru": 3, "rnn": 1}


class _Layer(NamedTuple):
    """The tensors of one layer."""

    weight_ih: np.ndarray
    weight_hh: np.ndarray
    bias_ih: np.ndarray | None
    bias_hh: np.ndarray | None


def load_torch(
    path_or_dict: str | os.PathLike[str] | Mapping[str, Any],
    cell: str | None = None,
    *,
    nonlinearity: str | None = None,
    prefix: str | None = None,
) -> AbstractCell:
    """Return the cell that a recurrent PyTorch layer steps with, from its weights.

    Reads `torch.nn.LSTM`, `GRU`, `RNN` (one direction; several layers become a `StackedCell`, as in
    evaluation mode, without dropout between them) and `LSTMCell`, `GRUCell`, `RNNCell`. PyTorch's
    two biases are added to one, except inside the reset of a GRU, where they differ. Weights keep
    their dtype, except that float64 becomes float32 when JAX's 64-bit types are off.

    **Arguments:**

    - `path_or_dict`: a safetensors file, `safetensors.torch.save_file(model.state_dict(), path)`,
      or a mapping of names to arrays. Pickles (`.pt`, `.pth`) are never opened.
    - `cell`: "lstm", "gru" or "rnn"; None reads it off the shapes.
    - `nonlinearity`: "tanh" or "relu", required for an RNN: the weights do not tell.
    - `prefix`: what precedes the layer's names in the state dict ("encoder.rnn."); needed only if
      the state dict holds several recurrent layers.

    **Returns:** an `LSTMCell`, `GRUCell`, `VanillaCell`, or a `StackedCell` of these.

    **Raises:** `ValueError`, naming the tensors, for a file that is truncated or not safetensors,
    no or several recurrent layers, another kind of cell than asked for, a bidirectional layer or
    one with `proj_size` (not supported yet), NaN or inf.

    **Example:**

    >>> import numpy as np
    >>> weights = {"rnn.weight_ih_l0": np.ones((8, 3)), "rnn.weight_hh_l0": np.zeros((8, 2)),
    ...            "rnn.bias_ih_l0": np.zeros(8), "rnn.bias_hh_l0": np.zeros(8)}
    >>> load_torch(weights).state_names
    ('h', 'c')
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
            "the weights of an RNN do not tell its nonlinearity: pass nonlinearity='tanh' or "
            f"nonlinearity='relu'; got {nonlinearity!r}."
        )
    if kind != "rnn" and nonlinearity is not None:
        raise ValueError(f"nonlinearity is only for an RNN; {source} holds a {kind.upper()}.")
    cells = []
    for index, layer in enumerate(layers):
        try:
            cells.append(_cell(kind, layer, nonlinearity))
        except ValueError as error:
            raise ValueError(f"layer {index} of {source}: {error}") from error
    return cells[0] if len(cells) == 1 else StackedCell(cells)


def _to_numpy(tensor: Any) -> np.ndarray:
    # A torch tensor may require grad or live on a GPU; NumPy's asarray refuses both.
    return np.asarray(tensor.detach().cpu() if hasattr(tensor, "detach") else tensor)


def _layers(tensors: dict[str, np.ndarray], prefix: str | None, source: str) -> list[_Layer]:
    """Return the layers of the one recurrent network among the tensors."""
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
    _refuse(matches, source)
    parts: dict[int, dict[str, np.ndarray]] = {}
    for name, match in matches.items():
        parts.setdefault(int(match["layer"] or 0), {})[match["what"]] = tensors[name]
    layers = [_layer(parts, index, source) for index in range(max(parts) + 1)]
    for index in range(1, len(layers)):
        above, below = layers[index].weight_ih.shape[-1], layers[index - 1].weight_hh.shape[-1]
        if above != below:
            raise ValueError(
                f"weight_ih_l{index} of {source} takes {above} inputs; layer {index - 1} has "
                f"{below} units."
            )
    return layers


def _refuse(matches: dict[str, re.Match[str]], source: str) -> None:
    reverse = sorted(name for name, m in matches.items() if m["reverse"])
    if reverse:
        raise ValueError(f"bidirectional layers are not supported yet: {source} holds {reverse}.")
    projected = sorted(name for name, m in matches.items() if m["what"].endswith("_hr"))
    if projected:
        raise ValueError(f"proj_size is not supported yet: {source} holds {projected}.")


def _layer(parts: dict[int, dict[str, np.ndarray]], index: int, source: str) -> _Layer:
    part = parts.get(index, {})
    missing = [f"{what}_l{index}" for what in ("weight_ih", "weight_hh") if what not in part]
    if ("bias_ih" in part) != ("bias_hh" in part):
        missing.append(f"bias_{'hh' if 'bias_ih' in part else 'ih'}_l{index}")
    if missing:
        raise ValueError(f"{source} lacks the tensors {missing}.")
    return _Layer(part["weight_ih"], part["weight_hh"], part.get("bias_ih"), part.get("bias_hh"))


def _kind(layers: list[_Layer], cell: str | None, source: str) -> str:
    if cell is not None and cell not in _GATES:
        raise ValueError(f"cell must be 'lstm', 'gru' or 'rnn'; got {cell!r}.")
    shapes = [layer.weight_hh.shape for layer in layers]
    for kind, gates in _GATES.items():
        if all(len(shape) == 2 and shape[0] == gates * shape[1] for shape in shapes):
            if cell in (None, kind):
                return kind
            break
    raise ValueError(
        f"expected weight_hh of shape (4n, n) for an LSTM, (3n, n) for a GRU, (n, n) for an RNN"
        f"{'' if cell is None else f', here {cell!r}'}; {source} holds {shapes}."
    )


def _cell(kind: str, layer: _Layer, nonlinearity: str | None) -> AbstractCell:
    n, d = layer.weight_hh.shape[1], layer.weight_ih.shape[-1]
    arrays: dict[str, Any] = {"weight_hh": layer.weight_hh, "weight_xh": layer.weight_ih}
    dtype, rows = layer.weight_hh.dtype, layer.weight_hh.shape[0]
    bias_ih = np.zeros(rows, dtype) if layer.bias_ih is None else layer.bias_ih
    bias_hh = np.zeros(rows, dtype) if layer.bias_hh is None else layer.bias_hh
    if kind == "gru":
        # h' = tanh(W x + b_ih + r * (W h + b_hh)): only the gates' biases can be added.
        gates = np.arange(3 * n) < 2 * n
        arrays["bias"] = bias_ih + np.where(gates, bias_hh, np.zeros_like(bias_hh))
        arrays["bias_n"] = bias_hh[2 * n :]
        return from_arrays(GRUCell, d, n, arrays)
    arrays["bias"] = bias_ih + bias_hh
    if kind == "lstm":
        return from_arrays(LSTMCell, d, n, arrays)
    return from_arrays(VanillaCell, d, n, arrays, activation=nonlinearity)
