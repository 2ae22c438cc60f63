"""Recurrent cells of Flax, Linen and NNX, from their parameters."""

import numpy as np

from ._assemble import Loaded, assemble
from ._canonical import GATES, Layer, check_activation, kind_of, split_gates
from ._tensors import Group, Prefix, Source, groups, read

# A cell has one Dense layer per gate, named by "i" or "h" (what it multiplies) and the gate ...
_SEPARATE = {"lstm": "ifgo", "gru": "rzn", "mgu": "fn", "rnn": ("",)}
# ... or one for all gates, in this order.
_FUSED = {"lstm": "ifgo", "gru": "rzn", "rnn": "h"}
_FUSED_KINDS = {1: "rnn", 3: "gru", 4: "lstm"}
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
    return assemble(
        tensors,
        found,
        lambda group: _layer(group, activation),
        cell=cell,
        prefix=prefix,
        examples="hi/kernel, ii/kernel, ...; dense_h/kernel, dense_i/kernel",
    )


def _layer(group: Group, activation: str | None) -> Layer:
    named = {}
    for tail, array in group.items():
        module, _, what = tail.partition("/")
        named[_MODULES[module], what] = array
    kernels = {module for module, what in named if what == "kernel"}
    if kernels == {"dense_h", "dense_i"}:
        return _fused(named, activation)
    kinds = [
        kind
        for kind, gates in _SEPARATE.items()
        if kernels == {f"{side}{gate}" for side in "ih" for gate in gates}
    ]
    if not kinds:
        raise ValueError(f"the kernels {sorted(kernels)} are not those of one cell: " + _expected())
    (kind,) = kinds
    gates = _SEPARATE[kind]
    check_activation(kind, activation, "a SimpleCell")
    if kind == "mgu" and ("hn", "bias") not in named:
        raise ValueError("hn has no bias: an MGUCell with reset_gate=False is not supported")
    sides = {}
    for side in "ih":
        pairs = list(zip(GATES[kind], gates, strict=True))
        sides[side, "kernel"] = {g: named[f"{side}{name}", "kernel"].T for g, name in pairs}
        biases = {g: named.get((f"{side}{name}", "bias")) for g, name in pairs}
        sides[side, "bias"] = {g: bias for g, bias in biases.items() if bias is not None}
    return Layer(
        kind,
        hidden=sides["h", "kernel"],
        input=sides["i", "kernel"],
        input_bias=sides["i", "bias"],
        hidden_bias=sides["h", "bias"],
        activation=activation,
    )


def _expected() -> str:
    described = [
        f"{kind!r} has {', '.join(f'{side}{gate}' for side in 'ih' for gate in gates)}"
        for kind, gates in _SEPARATE.items()
    ]
    return "; ".join([*described, "fused cells have dense_i, dense_h"])


def _fused(named: dict[tuple[str, str], np.ndarray], activation: str | None) -> Layer:
    kernel, recurrent = named["dense_i", "kernel"], named["dense_h", "kernel"]
    kind = kind_of(recurrent.shape, _FUSED_KINDS)
    if kind is None:
        raise ValueError(
            "dense_h/kernel must be of shape (n, 4n) for an LSTM, (n, 3n) for a GRU, (n, n) for a "
            f"SimpleCell; got {recurrent.shape}"
        )
    check_activation(kind, activation, "a SimpleCell")
    order = _FUSED[kind]
    biases = {}
    for module in ("dense_i", "dense_h"):
        bias = named.get((module, "bias"))
        biases[module] = {} if bias is None else split_gates(f"{module}/bias", bias, order)
    return Layer(
        kind,
        hidden=split_gates("dense_h/kernel", recurrent, order, axis=1),
        input=split_gates("dense_i/kernel", kernel, order, axis=1),
        input_bias=biases["dense_i"],
        hidden_bias=biases["dense_h"],
        activation=activation,
    )
