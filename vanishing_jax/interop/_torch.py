"""Recurrent layers of PyTorch, from their saved weights."""

import functools as ft
import re

from ._assemble import Loaded, assemble
from ._canonical import GATES, Layer, check_activation, fused_layer, kind_of
from ._tensors import Group, Prefix, Source, read

_NAME = re.compile(r"(?P<what>(weight|bias)_(ih|hh|hr))(_l(?P<layer>\d+))?(?P<reverse>_reverse)?")


def load_torch(
    source: Source,
    cell: str | None = None,
    *,
    nonlinearity: str | None = None,
    prefix: Prefix = None,
) -> Loaded:
    """Return the cell, or network, that a recurrent PyTorch layer is, from its weights.

    Reads `torch.nn.LSTM`, `GRU` and `RNN` with any `num_layers`, `bias`, `bidirectional` and
    `proj_size`, and `LSTMCell`, `GRUCell`, `RNNCell`, as in evaluation mode: dropout between layers
    is no part of the weights. PyTorch's two biases are added to one, except inside the reset of a
    GRU, where they differ. Weights keep their dtype, except that float64 becomes float32 when JAX's
    64-bit types are off. `batch_first` is not in the file and concerns the layout of inputs only:
    here a sequence is (time, input) and a batch (batch, time, input), as with `batch_first=True`.

    **Arguments:**

    - `source`: a safetensors file, `safetensors.torch.save_file(model.state_dict(), path)`,
      or a mapping of names to arrays. Pickles (`.pt`, `.pth`) are never opened.
    - `cell`: "lstm", "gru" or "rnn"; None reads it off the shapes.
    - `nonlinearity`: "tanh" or "relu", required for an RNN: the weights do not tell.
    - `prefix`: what precedes the layer's names in the state dict ("encoder.rnn"); needed only if
      the state dict holds several recurrent layers; a list stacks them, the lowest first.

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
    tensors = read(source, "PyTorch")
    found: dict[str, Group] = {}
    for name, array in tensors.arrays.items():
        place, _, end = name.rpartition("/")
        if _NAME.fullmatch(end):
            found.setdefault(place, {})[end] = array
    readers = {place: ft.partial(_layers, group, nonlinearity) for place, group in found.items()}
    return assemble(
        tensors, readers, cell=cell, prefix=prefix, examples="weight_ih_l0, weight_hh_l0, ..."
    )


def _layers(group: Group, nonlinearity: str | None) -> list[list[Layer]]:
    """Return the layers of one module, each in 1 or 2 directions."""
    matches = [match for name in group if (match := _NAME.fullmatch(name))]
    depth = 1 + max(int(match["layer"] or 0) for match in matches)
    numbered = any(match["layer"] for match in matches)  # unlike those of an LSTMCell
    directions = ["", "_reverse"] if any(match["reverse"] for match in matches) else [""]
    ends = [[f"_l{i}{d}" if numbered else d for d in directions] for i in range(depth)]
    # All layers and directions have what one of them has.
    kinds = {"weight_ih", "weight_hh"} | {match["what"] for match in matches}
    kinds |= {"bias_ih", "bias_hh"} if kinds & {"bias_ih", "bias_hh"} else set()
    needed = {f"{what}{end}" for what in kinds for pair in ends for end in pair}
    missing = sorted(needed - group.keys())
    if missing:
        raise ValueError(f"it lacks the tensors {missing}")
    return [[_layer(group, end, nonlinearity) for end in pair] for pair in ends]


def _layer(group: Group, end: str, nonlinearity: str | None) -> Layer:
    names = [what + end for what in ("weight_hh", "weight_ih", "bias_ih", "bias_hh")]
    projection, recurrent = group.get("weight_hr" + end), group[names[0]]
    kind = "lstm" if projection is not None else kind_of(names[0], recurrent.shape)
    check_activation(kind, nonlinearity, "an RNN", "nonlinearity")
    options = {"activation": nonlinearity, "projection": projection}
    return fused_layer(kind, GATES[kind], group, names, **options)
