"""`vanishing-jax inspect`: what a file of weights holds."""

import pathlib
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
import safetensors

from ..cells import (
    GRUCell,
    LSTMCell,
    MGUCell,
    PeepholeLSTMCell,
    ProjectedLSTMCell,
    ResetBeforeGRUCell,
    StackedCell,
    VanillaCell,
)
from ..cells._wrapper import AbstractWrapper
from ..networks import RecurrentNetwork
from ._diagnose import load
from ._output import FAILED, in_columns, write_json

if TYPE_CHECKING:
    from ._main import Inspect

# What the rows of the recurrent matrix belong to, in their order.
_GATES = {
    LSTMCell: ("input", "forget", "content", "output"),
    PeepholeLSTMCell: ("input", "forget", "content", "output"),
    ProjectedLSTMCell: ("input", "forget", "content", "output"),
    GRUCell: ("reset", "update", "content"),
    ResetBeforeGRUCell: ("reset", "update", "content"),
    MGUCell: ("forget", "content"),
    VanillaCell: ("state",),
}


_SIZES = ("input_size", "hidden_size", "projection_size")
_HEADINGS = ("part", "cell", "sizes", "gate", "radius", "sigma max", "sigma min", "mean bias")


def run(command: "Inspect") -> int:
    """Print what the file holds; return 0, or 1 when there are NaN or infinite values in it."""
    found = inspect_file(command)
    if command.json != "-":
        print(_text(found))
    if command.json is not None:
        write_json(command.json, found)
    return FAILED if found["non_finite"] else 0


def inspect_file(command: "Inspect") -> dict[str, Any]:
    """Return what the file holds, ready for JSON."""
    if not command.file.exists():
        raise FileNotFoundError(f"no such file: {command.file}")
    sizes, broken = _tensors(command.file)
    found: dict[str, Any] = {
        "file": str(command.file),
        "tensors": len(sizes),
        "parameters": sum(sizes.values()),
        "non_finite": broken,
        "layers": 0,
        "bidirectional": False,
        "parts": [],
    }
    if broken:  # nothing that is computed from such weights means anything
        return found
    parts = _parts(_load(command))
    layers = {part["layer"] for part in parts}
    return found | {
        "layers": len(layers), "bidirectional": len(parts) > len(layers), "parts": parts,
    }  # fmt: skip


def _tensors(path: pathlib.Path) -> tuple[dict[str, int], dict[str, int]]:
    """Return the size of every tensor, and the number of NaN and inf of those that hold any."""
    sizes, broken = {}, {}
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            for name in file.keys():
                tensor = file.get_tensor(name)
                sizes[name] = int(tensor.size)
                if jnp.issubdtype(tensor.dtype, jnp.floating):
                    count = int(np.sum(~np.isfinite(tensor.astype(np.float64))))
                    broken |= {name: count} if count else {}
    except safetensors.SafetensorError:
        pass  # not such a file, or a broken one: what loads it says what is wrong
    return sizes, broken


def _load(command: "Inspect") -> Any:
    try:
        return load(command)
    except ValueError as error:
        if "nonlinearity=" not in str(error) and "activation=" not in str(error):
            raise
    # The recurrent matrix of an RNN is the same whatever its nonlinearity.
    return load(command, nonlinearity="tanh")


def _parts(network: Any) -> list[dict[str, Any]]:
    if isinstance(network, RecurrentNetwork):
        return [_part(p.name, p.layer, p.direction, p.cell) for p in network.parts]
    cells = network.cells if isinstance(network, StackedCell) else (network,)
    return [_part(f"layer{i}", i, "forward", cell) for i, cell in enumerate(cells)]


def _part(name: str, layer: int, direction: str, cell: Any) -> dict[str, Any]:
    wrappers = []
    while isinstance(cell, AbstractWrapper):
        wrappers.insert(0, type(cell).__name__)
        cell = cell.cell
    part: dict[str, Any] = {"name": name, "layer": layer, "direction": direction}
    part["cell"] = " in ".join([type(cell).__name__, *wrappers])
    part |= {size: getattr(cell, size) for size in _SIZES if hasattr(cell, size)}
    return part | {"gates": _gates(cell)}


def _gates(cell: Any) -> list[dict[str, Any]]:
    names = _GATES.get(type(cell), ())
    if not names:
        return []
    if isinstance(cell, PeepholeLSTMCell) and cell.coupled:  # the forget gate is 1 - input
        names = tuple(name for name in names if name != "forget")
    blocks = np.split(np.asarray(cell.weight_hh, np.float64), len(names))
    if isinstance(cell, ProjectedLSTMCell):
        # What a gate does to what the cell state gives out: (n, p) by (p, n).
        blocks = [block @ np.asarray(cell.weight_hr, np.float64) for block in blocks]
    biases = [None] * len(names)
    if cell.bias is not None:
        biases = np.split(np.asarray(cell.bias, np.float64), len(names))
    return [_gate(*row) for row in zip(names, blocks, biases, strict=True)]


def _gate(name: str, block: np.ndarray, bias: np.ndarray | None) -> dict[str, Any]:
    """Return the norms of the recurrent matrix of one gate, and its mean bias."""
    sigma = np.linalg.svd(block, compute_uv=False)
    return {
        "gate": name,
        "spectral_radius": float(np.abs(np.linalg.eigvals(block)).max()),
        "largest_singular_value": float(sigma[0]),
        "smallest_singular_value": float(sigma[-1]),
        "mean_bias": None if bias is None else float(bias.mean()),
    }


def _text(found: dict[str, Any]) -> str:
    lines = [f"{found['file']}: {found['tensors']} tensors, {found['parameters']:,} parameters"]
    for name, count in found["non_finite"].items():
        lines.append(f"  NOT FINITE  {name}: {count} NaN or infinite values")
    if found["non_finite"]:
        return "\n".join([*lines, "  The layers are not described: nothing about them would hold."])
    both = ", both directions" if found["bidirectional"] else ""
    layers = "1 layer" if found["layers"] == 1 else f"{found['layers']} layers"
    lines.append(f"{layers}{both}; of each gate the recurrent matrix, not the fused kernel:")
    rows: list[tuple[str, ...]] = [_HEADINGS]
    for part in found["parts"]:
        sizes = " -> ".join(str(part[name]) for name in _SIZES if name in part)
        first = (part["name"], part["cell"], sizes)
        for gate, *values in map(dict.values, part["gates"]):
            numbers = ("none" if value is None else f"{value:.3f}" for value in values)
            rows.append((*first, gate, *numbers))
            first = ("", "", "")
        if not part["gates"]:
            rows.append((*first, "no recurrent matrix that is known", "", "", "", ""))
    return "\n".join([*lines, *(f"  {line}" for line in in_columns(rows, right=range(4, 8)))])
