"""Recurrent cells of Flax, Linen and NNX, from their parameters."""

import numpy as np

from ._assemble import Loaded, assemble, single_layers
from ._canonical import GATES, Layer, check_activation, fused_layer, kind_of
from ._tensors import Group, Prefix, Source, groups, read

# A cell has one Dense layer per gate, named by "i" or "h" (what it multiplies) and the gate ...
_SEPARATE = {"lstm": "ifgo", "gru": "rzn", "mgu": "fn", "rnn": ("",)}
# ... or one for all gates, dense_i and dense_h, in the order of `GATES`.
_MODULES = {"dense_i": "dense_i", "dense_h": "dense_h"}
_MODULES |= {
    f"{side}{gate}": f"{side}{gate}"
    for gates in _SEPARATE.values()
    for side in "ih"
    for gate in gates
}
_MODULES |= {f"{name}_": name for name in ("if", "in")}  # Python's keywords, in NNX
_TAILS = tuple(f"{module}/{what}" for module in _MODULES for what in ("kernel", "bias"))


def load_flax(
    source: Source,
    cell: str | None = None,
    *,
    activation: str | None = None,
    prefix: Prefix = None,
) -> Loaded:
    """Return the cell that a recurrent Flax module steps with, from its parameters.

    Reads `LSTMCell`, `OptimizedLSTMCell`, `GRUCell`, `SimpleCell` and `MGUCell` of Linen and of NNX
    (which has no `MGUCell`), alone or in `RNN` and `Bidirectional`. Flax carries an LSTM's state as
    (c, h): this package's cells carry (h, c). The GRU of NNX has no bias inside its reset, that of
    Linen has; both fit a `GRUCell`. Activations are taken to be Flax's defaults, tanh and sigmoid;
    that of a SimpleCell must be given, because people do change it.

    **Arguments:**

    - `source`: a safetensors file, or a mapping of names to arrays, nested or joined by "/" or ".":
      `module.init(...)` of Linen, `nnx.state(module, nnx.Param)` or `nnx.to_pure_dict` of it.
    - `cell`: "lstm", "gru", "mgu" or "rnn"; None reads it off the names.
    - `activation`: "tanh", "relu", "sigmoid" or "identity", required for a SimpleCell.
    - `prefix`: the path before the cell's names ("params/encoder/cell", or "params/encoder" if
      there is one cell in it), if there are several; a list stacks them, the lowest first.

    **Returns:** an `LSTMCell`, `GRUCell`, `MGUCell`, `VanillaCell`, or a `StackedCell` of these; a
    `RecurrentNetwork` if a layer is bidirectional.

    **Raises:** `ValueError`, naming tensors and choices, for a file that is truncated or not
    safetensors, no cell, several without `prefix`, another kind than asked for, missing tensors,
    NaN or inf. `TypeError` for what holds no arrays.

    **Example:**

    >>> import jax, jax.numpy as jnp, flax.linen
    >>> h, x = jnp.zeros(2, jnp.float32), jnp.ones(3, jnp.float32)
    >>> variables = flax.linen.GRUCell(features=2).init(jax.random.key(0), h, x)
    >>> load_flax(variables).hidden_size
    2
    """
    tensors = read(source, "Flax")
    found = {
        place: group
        for place, group in groups(tensors, _TAILS).items()
        if sum(tail.endswith("/kernel") for tail in group) >= 2
    }
    readers = single_layers(tensors, found, lambda group: _layer(group, activation))
    examples = "hi/kernel, ii/kernel, ...; dense_h/kernel, dense_i/kernel"
    return assemble(tensors, readers, cell=cell, prefix=prefix, examples=examples)


def _layer(group: Group, activation: str | None) -> Layer:
    tensors = {}
    for tail, array in group.items():
        module, _, what = tail.partition("/")
        tensors[f"{_MODULES[module]}/{what}"] = array
    kernels = {name.partition("/")[0] for name in tensors if name.endswith("/kernel")}
    if kernels == {"dense_h", "dense_i"}:
        kind = kind_of("dense_h/kernel", tensors["dense_h/kernel"].shape, axis=1)
        check_activation(kind, activation, "a SimpleCell")
        names = ("dense_h/kernel", "dense_i/kernel", "dense_i/bias", "dense_h/bias")
        return fused_layer(kind, GATES[kind], tensors, names, axis=1, activation=activation)
    kinds = [kind for kind in _SEPARATE if kernels == set(_modules(kind))]
    if not kinds:
        expected = [f"{kind!r} has {', '.join(_modules(kind))}" for kind in _SEPARATE]
        raise ValueError(
            f"the kernels {sorted(kernels)} are not those of one cell: {'; '.join(expected)}; "
            "fused cells have dense_i, dense_h"
        )
    (kind,) = kinds
    check_activation(kind, activation, "a SimpleCell")
    if kind == "mgu" and "hn/bias" not in tensors:
        raise ValueError("hn has no bias: an MGUCell with reset_gate=False is not supported")

    def gates(side: str, what: str) -> dict[str, np.ndarray]:
        pairs = zip(GATES[kind], _SEPARATE[kind], strict=True)
        named = {gate: tensors.get(f"{side}{own}/{what}") for gate, own in pairs}
        return {gate: array.T for gate, array in named.items() if array is not None}

    parts = [gates(side, what) for what in ("kernel", "bias") for side in "hi"]
    hidden, given, hidden_bias, input_bias = parts
    return Layer(kind, hidden, given, input_bias, hidden_bias, activation=activation)


def _modules(kind: str) -> list[str]:
    return [f"{side}{gate}" for side in "ih" for gate in _SEPARATE[kind]]
