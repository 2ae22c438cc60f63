"""The RNN, LSTM and GRU operators of ONNX, from a model file or from their weights."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ._assemble import Loaded, check_choice, to_network
from ._canonical import Layer, kind_of, split_gates, to_cell
from ._onnx_file import read_nodes
from ._tensors import Group, Source, groups, read

_KINDS = {1: "rnn", 3: "gru", 4: "lstm"}
_ORDER = {"rnn": "h", "gru": "zrh", "lstm": "iofc"}
# ONNX calls the candidate h in a GRU and c in an LSTM.
_NAMES = {"rnn": {"h": "h"}, "gru": {"z": "z", "r": "r", "h": "n"}, "lstm": {"c": "g"}}
_ACTIVATIONS = {
    "lstm": ("sigmoid", "tanh", "tanh"),
    "gru": ("sigmoid", "tanh"),
}
_PLAIN = ("tanh", "relu", "sigmoid")
_TAILS = ("W", "R", "B", "P")


def load_onnx(
    source: Source,
    node: str | Sequence[str] | None = None,
    *,
    cell: str | None = None,
    direction: str | None = None,
    activations: Sequence[str] | None = None,
    linear_before_reset: int | bool | None = None,
    input_forget: int | bool | None = None,
    clip: float | None = None,
) -> Loaded:
    """Return the cell that an ONNX RNN, LSTM or GRU operator steps with.

    Reads the nodes of a model, whose attributes say everything (the package onnx must be
    installed), or their weights W, R, B and P alone, with the attributes as keywords. The order of
    the gates (i o f c, z r h), peepholes, `clip`, `input_forget` and both places of a GRU's reset
    are kept, directions too. `clip` bounds the pre-activations as ONNX Runtime does, not the cell
    state that is read. `sequence_lens`, `initial_h` and `initial_c` are inputs of the operator,
    not weights: give lengths or a mask and `state0` where the cell is run. `layout` only orders the
    axes of the operator's inputs.

    **Arguments:**

    - `source`: an .onnx file; or a mapping of the operator's inputs W (directions, gates n, d), R
      (directions, gates n, n), B (directions, 2 gates n) and P (directions, 3n), the last two
      optional; or a safetensors file of it. Names may have something before them ("encoder/W").
    - `node`: the name of the node, or what precedes the names of the weights, if there are several;
      a list stacks them, the lowest first.
    - `cell`: "lstm", "gru" or "rnn", to be refused if it is another; None takes what there is.
    - `direction`: "forward" or "bidirectional", as W and R tell; "reverse" gives the cell to run
      over reversed inputs.
    - `activations`: as the attribute; ("Sigmoid", "Tanh", "Tanh") for an LSTM and ("Sigmoid",
      "Tanh") for a GRU are all that is supported; required for an RNN without a model file:
      ("Tanh",), ("Relu",) or ("Sigmoid",). Of two directions first one's, then the other's.
    - `linear_before_reset`: 0 or 1, required for a GRU without a model file.
    - `input_forget`: whether the forget gate of an LSTM is 1 - i; 0 by default.
    - `clip`: the bound on pre-activations; None for none.

    **Returns:** an `LSTMCell`, `PeepholeLSTMCell`, `GRUCell`, `ResetBeforeGRUCell`, `VanillaCell`,
    or a `StackedCell` of these; a `RecurrentNetwork` if a layer is bidirectional.

    **Raises:** `ImportError` for a model file without onnx. `ValueError`, naming nodes, tensors and
    choices, for a broken file, no operator, several without `node`, activations or attributes not
    supported, weights that another node computes, a question that the weights leave open, NaN or
    inf. `TypeError` for what holds no arrays.

    **Example:**

    >>> import numpy as np
    >>> weights = {"W": np.ones((1, 6, 3)), "R": np.zeros((1, 6, 2)), "B": np.zeros((1, 12))}
    >>> type(load_onnx(weights, linear_before_reset=0)).__name__
    'ResetBeforeGRUCell'
    """
    given = {
        "direction": direction,
        "activations": activations,
        "linear_before_reset": linear_before_reset,
        "input_forget": input_forget,
        "clip": clip,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if isinstance(source, str | os.PathLike) and Path(source).suffix.lower() == ".onnx":
        if given:
            raise ValueError(
                f"{source} says itself what its nodes do: leave out the keywords {list(given)}."
            )
        where, found = str(source), read_nodes(source)
    else:
        tensors = read(source, "ONNX")
        where = tensors.source
        found = {
            place: (group, dict(given))
            for place, group in groups(tensors, _TAILS).items()
            if {"W", "R"} <= set(group)
        }
        if not found:
            raise ValueError(
                f"there are no weights W and R of an RNN, LSTM or GRU operator in {where}, but "
                f"{sorted(tensors.arrays)}."
            )
    layers = []
    for name in check_choice({key: (key,) for key in found}, node, where, "node"):
        try:
            directions = _layers(*found[name])
            if cell not in (None, directions[0].kind):
                raise ValueError(f"it is of the kind {directions[0].kind!r}, not {cell!r}")
            layers.append([to_cell(layer) for layer in directions])
        except ValueError as error:
            raise ValueError(f"{name or 'the operator'} of {where}: {error}") from error
    return to_network(layers, where)


def _layers(group: Group, attributes: dict[str, Any]) -> list[Layer]:
    """Return the layer of each direction."""
    W, R = group["W"], group["R"]
    if W.ndim != 3 or R.ndim != 3 or W.shape[:2] != R.shape[:2] or len(W) not in (1, 2):
        raise ValueError(
            "expected W (directions, gates n, d) and R (directions, gates n, n) with 1 or 2 "
            f"directions; got {W.shape} and {R.shape}"
        )
    kind = kind_of(R.shape[:0:-1], _KINDS)
    if kind is None:
        raise ValueError(
            f"R must be of shape (directions, 4n, n) for an LSTM, (directions, 3n, n) for a GRU, "
            f"(directions, n, n) for an RNN; got {R.shape}"
        )
    n, rows = R.shape[2], R.shape[1]
    for name, length in (("B", 2 * rows), ("P", 3 * n)):
        if name in group and group[name].shape != (len(W), length):
            raise ValueError(f"{name} must be of shape {(len(W), length)}; got {group[name].shape}")
    if "P" in group and kind != "lstm":
        raise ValueError(f"P holds the peepholes of an LSTM; this is of the kind {kind!r}")
    _check_direction(attributes.get("direction"), len(W))
    options = _options(kind, attributes)
    activations = _activations(kind, attributes, len(W))
    return [_layer(kind, group, i, activations[i], options) for i in range(len(W))]


def _layer(
    kind: str, group: Group, index: int, activation: str | None, options: dict[str, Any]
) -> Layer:
    def split(name: str, fused: np.ndarray, order: str = _ORDER[kind]) -> dict[str, np.ndarray]:
        names = _NAMES[kind]
        return {names.get(g, g): b for g, b in split_gates(name, fused, order).items()}

    biases: list[dict] = [{}, {}]
    if "B" in group:
        biases = [split("B", half) for half in np.split(group["B"][index], 2)]
    coupled = options.get("coupled", False)
    peepholes = split("P", group["P"][index], "iof") if "P" in group else {}
    return Layer(
        kind,
        hidden=split("R", group["R"][index]),
        input=split("W", group["W"][index]),
        input_bias=biases[0],
        hidden_bias=biases[1],
        activation=activation,
        peepholes={g: p for g, p in peepholes.items() if not (coupled and g == "f")},
        **options,
    )


def _check_direction(direction: Any, count: int) -> None:
    fits = ("bidirectional",) if count == 2 else ("forward", "reverse")
    if direction is not None and direction not in fits:
        raise ValueError(
            f"direction must be {' or '.join(map(repr, fits))} for weights of {count} "
            f"direction{'s' if count == 2 else ''}; got {direction!r}"
        )


def _options(kind: str, attributes: dict[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if attributes.get("clip") is not None:
        options["clip"] = float(attributes["clip"])
    if attributes.get("input_forget"):
        if kind != "lstm":
            raise ValueError(f"input_forget is only for an LSTM; this is of the kind {kind!r}")
        options["coupled"] = True
    after = attributes.get("linear_before_reset")
    if kind == "gru":
        if after is None:
            raise ValueError(
                "the weights of a GRU do not tell where it resets: pass linear_before_reset=0 "
                "(the default of the operator) or linear_before_reset=1 (as PyTorch exports it)"
            )
        options["reset_after"] = bool(after)
    elif after is not None:
        raise ValueError(f"linear_before_reset is only for a GRU; this is of the kind {kind!r}")
    return options


def _activations(kind: str, attributes: dict[str, Any], count: int) -> list[str | None]:
    """Return the activation of each direction of an RNN, None of another kind."""
    given = attributes.get("activations")
    if given is None:
        if kind == "rnn":
            raise ValueError(
                "the weights of an RNN do not tell its activation: pass activations=['Tanh'], "
                "['Relu'] or ['Sigmoid'], one for each direction"
            )
        return [None] * count
    names = [str(name).lower() for name in given]
    if kind == "rnn":
        if len(names) != count or not set(names) <= set(_PLAIN):
            raise ValueError(
                f"expected {count} of the activations Tanh, Relu, Sigmoid; got {list(given)}"
            )
        return list(names)
    if names != list(_ACTIVATIONS[kind]) * count:
        expected = [name.capitalize() for name in _ACTIVATIONS[kind]] * count
        raise ValueError(
            f"only the activations {expected} are supported for an {kind.upper()} of {count} "
            f"direction{'s' if count == 2 else ''}; got {list(given)}"
        )
    return [None] * count
