"""The RNN, LSTM and GRU operators of ONNX, from a model file or from their weights."""

import functools as ft
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ._assemble import Loaded, assemble
from ._canonical import Layer, fused_layer, kind_of, split_gates
from ._onnx_file import read_nodes
from ._tensors import Group, Prefix, Source, Tensors, groups, read

# With the letters of `GATES`: ONNX calls the candidate h in a GRU and c in an LSTM.
_ORDER = {"rnn": "h", "gru": "zrn", "lstm": "iofg"}
_ACTIVATIONS = {
    "lstm": ("sigmoid", "tanh", "tanh"),
    "gru": ("sigmoid", "tanh"),
}
_PLAIN = ("tanh", "relu", "sigmoid")
_TAILS = ("W", "R", "B", "P")


def load_onnx(
    source: Source,
    cell: str | None = None,
    *,
    prefix: Prefix = None,
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
    - `cell`: "lstm", "gru" or "rnn", to be refused if it is another; None takes what there is.
    - `prefix`: the name of the node, or what precedes the names of the weights, if there are
      several; a list stacks them, the lowest first.
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
    choices, for a broken file, no operator, several without `prefix`, activations or attributes not
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
        tensors, nodes = Tensors({}, str(source)), read_nodes(source)
    else:
        tensors = read(source, "ONNX")
        nodes = {
            place: (group, given)
            for place, group in groups(tensors, _TAILS).items()
            if {"W", "R"} <= set(group)
        }
    found = {name: ft.partial(_layers, *node) for name, node in nodes.items()}
    return assemble(tensors, found, cell=cell, prefix=prefix, examples="W, R")


def _layers(group: Group, attributes: dict[str, Any]) -> list[list[Layer]]:
    """Return the one layer of a node, in each direction."""
    W, R = group["W"], group["R"]
    if W.ndim != 3 or R.ndim != 3 or W.shape[:2] != R.shape[:2] or len(W) not in (1, 2):
        raise ValueError(
            "expected W (directions, gates n, d) and R (directions, gates n, n) with 1 or 2 "
            f"directions; got {W.shape} and {R.shape}"
        )
    kind = kind_of(f"each direction of R {R.shape}", R.shape[1:])
    n, rows = R.shape[2], R.shape[1]
    for name, length in (("B", 2 * rows), ("P", 3 * n)):
        if name in group and group[name].shape != (len(W), length):
            raise ValueError(f"{name} must be of shape {(len(W), length)}; got {group[name].shape}")
    if "P" in group and kind != "lstm":
        raise ValueError(f"P holds the peepholes of an LSTM; this is of the kind {kind!r}")
    _check_direction(attributes.get("direction"), len(W))
    options = _options(kind, attributes)
    activations = _activations(kind, attributes, len(W))
    return [[_layer(kind, group, i, activations[i], options) for i in range(len(W))]]


def _layer(
    kind: str, group: Group, index: int, activation: str | None, options: dict[str, Any]
) -> Layer:
    tensors = {name: group[name][index] for name in ("W", "R")}
    if "B" in group:
        tensors |= dict(zip(("B of x", "B of h"), np.split(group["B"][index], 2), strict=True))
    peepholes = split_gates(group["P"][index], "iof") if "P" in group else {}
    if options.get("coupled", False):
        peepholes.pop("f", None)
    names = ("R", "W", "B of x", "B of h")
    options = {"activation": activation, "peepholes": peepholes, **options}
    return fused_layer(kind, _ORDER[kind], tensors, names, **options)


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
