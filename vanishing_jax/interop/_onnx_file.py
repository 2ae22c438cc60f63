"""The recurrent nodes of an ONNX model file."""

import os
import warnings
from typing import Any

import numpy as np

from ..cells._io import check_finite
from ._tensors import Group

_INPUTS = {"W": 1, "R": 2, "B": 3, "P": 7}
_STATES = {"initial_h": 5, "initial_c": 6}
# What the operator does where an attribute is not written.
_DEFAULTS = {"RNN": {"activations": ["Tanh"]}, "GRU": {"linear_before_reset": 0}, "LSTM": {}}


def read_nodes(path: str | os.PathLike[str]) -> dict[str, tuple[Group, dict[str, Any]]]:
    """Return name -> (weights, attributes) of the recurrent nodes of a model.

    A node without a name has that of its first output.
    """
    onnx = _onnx()
    with open(path, "rb"):
        pass  # so that a missing or unreadable file raises the usual OSError
    try:
        # Protobuf's own exception for a cut file differs between its implementations.
        graph = onnx.load(path).graph
    except Exception as error:
        raise ValueError(f"{path} is not a complete ONNX model: {error}") from error
    nodes = [node for node in graph.node if node.op_type in _DEFAULTS and not node.domain]
    if not nodes:
        kinds = sorted({node.op_type for node in graph.node})
        raise ValueError(f"{path} holds no RNN, LSTM or GRU node; its nodes are {kinds}.")
    constants = _constants(onnx, graph)
    found = {}
    for node in nodes:
        name = node.name or next(output for output in node.output if output)
        _warn_of_state(node, constants, name, path)
        group = {}
        for what, position in _INPUTS.items():
            tensor = node.input[position] if position < len(node.input) else ""
            if not tensor:
                continue
            if tensor not in constants:
                raise ValueError(
                    f"{what} of the node {name!r} of {path} is computed by other nodes "
                    f"({tensor!r}), not stored: fold the constants of the model first."
                )
            group[what] = constants[tensor]
        check_finite({f"{name}/{what}": array for what, array in group.items()}, str(path))
        found[name] = (group, _attributes(onnx, node))
    return found


def _onnx() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            "reading an .onnx file needs the package onnx: pip install 'vanishing_jax[peers]', or "
            "pip install onnx. Without it pass the weights: load_onnx({'W': ..., 'R': ..., "
            "'B': ...}, ...)."
        ) from error
    return onnx


def _constants(onnx: Any, graph: Any) -> dict[str, np.ndarray]:
    to_array = onnx.numpy_helper.to_array
    found = {tensor.name: to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    found[node.output[0]] = to_array(attribute.t)
    return found


def _attributes(onnx: Any, node: Any) -> dict[str, Any]:
    attributes = dict(_DEFAULTS[node.op_type])
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if attribute.name in ("activations", "direction"):
            texts = [value] if isinstance(value, bytes) else value
            texts = [t.decode() if isinstance(t, bytes) else t for t in texts]
            value = texts if attribute.name == "activations" else texts[0]
        attributes[attribute.name] = value
    if node.op_type == "RNN" and attributes.get("direction") == "bidirectional":
        if len(attributes["activations"]) == 1:
            attributes["activations"] = 2 * attributes["activations"]
    return attributes


def _warn_of_state(node: Any, constants: dict[str, np.ndarray], name: str, path: Any) -> None:
    for what, position in _STATES.items():
        tensor = node.input[position] if position < len(node.input) else ""
        if np.any(constants.get(tensor, 0)):
            warnings.warn(
                f"the node {name!r} of {path} starts from a constant {what} that is not 0 "
                f"({tensor!r}). A cell does not carry its first state: pass it as state0=.",
                stacklevel=4,
            )
