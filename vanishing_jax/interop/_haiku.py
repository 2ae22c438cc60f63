"""Recurrent cores of Haiku, from their parameters."""

import re

import numpy as np

from ._assemble import Loaded, assemble, single_layers
from ._canonical import Gates, Layer, fused_layer
from ._tensors import Group, Prefix, Source, Tensors, groups, read

_GRU = ("w_i", "w_h", "b")
_LINEAR = ("linear/w", "linear/b", "linear_1/w", "linear_1/b")
_OWN_NAMES = {"lstm": r"lstm(_\d+)?", "rnn": r"vanilla_rnn(_\d+)?"}


def load_haiku(source: Source, cell: str | None = None, *, prefix: Prefix = None) -> Loaded:
    """Return the cell that a recurrent Haiku core steps with, from its parameters.

    Reads `hk.LSTM`, `hk.GRU` and `hk.VanillaRNN`. Haiku's LSTM has its gates in the order i g f o
    and adds 1 to the pre-activation of f inside the call: here the 1 is in the bias. Its GRU has
    the order z r a, resets before the product, and its z near 1 replaces the state, where that of a
    `ResetBeforeGRUCell` keeps it: the weights of z change their sign. Its VanillaRNN is a ReLU
    network.

    **Arguments:**

    - `source`: what `hk.transform(...).init` returned, or a safetensors file of it, with names
      joined by "/" ("lstm/linear/w").
    - `cell`: "lstm", "gru" or "rnn"; None reads it off the names. Needed for an LSTM or VanillaRNN
      whose module has a name of your own: other modules have a "linear" inside too.
    - `prefix`: the module's name ("encoder/~/lstm", or "encoder" if there is one core in it), if
      there are several; a list stacks them, the lowest first, as `hk.DeepRNN` does.

    **Returns:** an `LSTMCell`, `ResetBeforeGRUCell`, `VanillaCell`, or a `StackedCell` of these.

    **Raises:** `ValueError`, naming tensors and choices, for a file that is truncated or not
    safetensors, no core, several without `prefix`, another kind than asked for, missing tensors,
    NaN or inf. `TypeError` for what holds no arrays.

    **Example:**

    >>> import numpy as np
    >>> weights = {"lstm/linear": {"w": np.zeros((5, 8)), "b": np.zeros(8)}}
    >>> load_haiku(weights).bias.tolist()
    [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    """
    tensors = read(source, "Haiku")
    readers = single_layers(tensors, _found(tensors, cell), _layer)
    examples = (
        "lstm/linear/w; gru/w_i, gru/w_h; vanilla_rnn/linear/w, vanilla_rnn/linear_1/w; "
        "modules with names of your own need cell="
    )
    return assemble(tensors, readers, cell=cell, prefix=prefix, examples=examples)


def _found(tensors: Tensors, cell: str | None) -> dict[str, Group]:
    found = {}
    for place, group in groups(tensors, _GRU).items():
        if {"w_i", "w_h"} <= set(group):
            found[place] = group
    for place, group in groups(tensors, _LINEAR).items():
        kind = _kind(group)
        name = place.rpartition("/")[2]
        if kind is not None and (cell == kind or re.fullmatch(_OWN_NAMES[kind], name)):
            found[place] = group
    return found


def _kind(group: Group) -> str | None:
    """Return which core the shapes of its linear layers fit, if any."""
    w, hidden = group.get("linear/w"), group.get("linear_1/w")
    if w is None or w.ndim != 2:
        return None
    if hidden is None:
        return "lstm" if w.shape[1] % 4 == 0 and w.shape[0] > w.shape[1] // 4 else None
    return "rnn" if hidden.shape == (w.shape[1], w.shape[1]) else None


def _layer(group: Group) -> Layer:
    if "w_h" in group:
        layer = fused_layer("gru", "zrn", group, ("w_h", "w_i", "b"), axis=1, reset_after=False)
        hidden, given, bias = map(_keeping, (layer.hidden, layer.input, layer.input_bias))
        return layer._replace(hidden=hidden, input=given, input_bias=bias)
    w = group["linear/w"]
    if "linear_1/w" in group:
        names = ("linear_1/w", "linear/w", "linear/b", "linear_1/b")
        return fused_layer("rnn", "h", group, names, axis=1, activation="relu")
    n = w.shape[1] // 4
    # One matrix multiplies [x, h].
    split = {"rows of h": w[-n:], "rows of x": w[:-n], "b": np.zeros(4 * n, w.dtype)}
    split |= {"b": group["linear/b"]} if "linear/b" in group else {}
    layer = fused_layer("lstm", "igfo", split, ("rows of h", "rows of x", "b"), axis=1)
    bias = {**layer.input_bias, "f": layer.input_bias["f"] + np.ones((), w.dtype)}
    return layer._replace(input_bias=bias)


def _keeping(gates: Gates) -> Gates:
    """Return the gates of a GRU whose z keeps what it replaced: 1 - sigmoid(a) = sigmoid(-a)."""
    return {gate: -block if gate == "z" else block for gate, block in gates.items()}
