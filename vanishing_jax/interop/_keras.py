"""Recurrent layers of Keras 3, from their weights."""

import numpy as np

from ._assemble import Loaded, assemble, single_layers
from ._canonical import Layer, check_activation, find_kind, fused_layer, kind_of
from ._tensors import Group, Prefix, Source, groups, read

_ORDER = {"rnn": "h", "gru": "zrn", "lstm": "ifgo"}
_NAMES = ("kernel", "recurrent_kernel", "bias")
# `get_weights()` and *.weights.h5 number what `weights` names.
_NUMBERS = ("0", "1", "2")


def load_keras(
    source: Source,
    cell: str | None = None,
    *,
    activation: str | None = None,
    reset_after: bool | None = None,
    prefix: Prefix = None,
) -> Loaded:
    """Return the cell that a recurrent Keras layer steps with, from its weights.

    Reads the layers `LSTM`, `GRU`, `SimpleRNN`, `RNN` and the cells in them, with or without bias,
    and `Bidirectional` around them. The order of Keras' gates (i f c o, z r h) and its carry, [h,
    c], become this package's. The activations are not in the weights: of an LSTM or GRU they are
    taken to be the defaults, tanh and sigmoid, that of a SimpleRNN must be given. `go_backwards`,
    dropout and masking are not in the weights either.

    **Arguments:**

    - `source`: a mapping of names to arrays, `{w.path: w.numpy() for w in model.weights}`; the same
      as a safetensors file; the list `layer.get_weights()` of one layer in one direction; or a
      mapping of names to such lists.
    - `cell`: "lstm", "gru" or "rnn"; None reads it off the shapes.
    - `activation`: "tanh", "relu", "sigmoid" or "identity" ("linear" in Keras), required for a
      SimpleRNN.
    - `reset_after`: of a GRU; needed only without bias, whose shape tells it: (2, 3n) if True (the
      default in Keras), (3n,) if False.
    - `prefix`: the path before the layer's names ("encoder/lstm/lstm_cell", or "encoder" if there
      is one layer in it), if there are several layers; a list stacks them, the lowest first.

    **Returns:** an `LSTMCell`, `GRUCell`, `ResetBeforeGRUCell`, `VanillaCell`, or a
    `StackedCell` of these; a `RecurrentNetwork` if a layer is bidirectional.

    **Raises:** `ValueError`, naming tensors and choices, for a file that is truncated or not
    safetensors, no layer, several without `prefix`, another kind than asked for, a question that
    the weights leave open, NaN or inf. `TypeError` for what holds no arrays.

    **Example:**

    >>> import numpy as np
    >>> weights = {"gru/gru_cell/kernel": np.ones((3, 6)),
    ...            "gru/gru_cell/recurrent_kernel": np.zeros((2, 6)),
    ...            "gru/gru_cell/bias": np.zeros((2, 6))}
    >>> load_keras(weights).gate_names
    ('reset', 'update')
    """
    tensors = read(source, "Keras")
    found = {
        place: group
        for place, group in groups(tensors, _NAMES).items()
        if "kernel" in group and "recurrent_kernel" in group
    }
    for place, group in groups(tensors, _NUMBERS).items():
        if _is_recurrent(group):
            found[place] = group
    readers = single_layers(tensors, found, lambda group: _layer(group, activation, reset_after))
    return assemble(tensors, readers, cell=cell, prefix=prefix, examples="kernel, recurrent_kernel")


def _is_recurrent(group: Group) -> bool:
    """Return whether numbered arrays are a kernel, a recurrent kernel and perhaps a bias."""
    if "0" not in group or "1" not in group:
        return False
    kernel, recurrent = group["0"].shape, group["1"].shape
    return find_kind(recurrent, axis=1) is not None and kernel[1:] == recurrent[1:]


def _layer(group: Group, activation: str | None, reset_after: bool | None) -> Layer:
    names = _NAMES if "kernel" in group else _NUMBERS
    tensors = {name: group[own] for name, own in zip(_NAMES, names, strict=True) if own in group}
    kind = kind_of("recurrent_kernel", tensors["recurrent_kernel"].shape, axis=1)
    check_activation(kind, activation, "a SimpleRNN")
    bias = tensors.pop("bias", None)
    after = _reset_after(kind, bias, reset_after)
    if bias is not None:
        # Of a (2, 3n) bias the first row is added to the product with the input, the other to W h.
        rows = bias.reshape(-1, bias.shape[-1])
        tensors |= dict(zip(("bias", "bias of h"), rows, strict=False))
    names = ("recurrent_kernel", "kernel", "bias", "bias of h")
    options = {"activation": activation, "reset_after": after}
    return fused_layer(kind, _ORDER[kind], tensors, names, axis=1, **options)


def _reset_after(kind: str, bias: np.ndarray | None, reset_after: bool | None) -> bool:
    if kind != "gru":
        if reset_after is not None:
            raise ValueError(f"reset_after is only for a GRU; this layer is of the kind {kind!r}")
        if bias is not None and bias.ndim != 1:
            raise ValueError(f"bias must have one axis; got shape {bias.shape}")
        return True
    if bias is None:
        if reset_after is None:
            raise ValueError(
                "the weights of a GRU without bias do not tell where it resets: pass "
                "reset_after=True (the default in Keras) or reset_after=False"
            )
        return reset_after
    if bias.ndim not in (1, 2) or (bias.ndim == 2 and len(bias) != 2):
        raise ValueError(f"bias must be of shape (2, 3n) or (3n,); got {bias.shape}")
    after = bias.ndim == 2
    if reset_after not in (None, after):
        raise ValueError(
            f"a bias of shape {bias.shape} is that of a GRU with reset_after={after}; got "
            f"reset_after={reset_after}"
        )
    return after
