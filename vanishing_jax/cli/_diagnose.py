"""`vanishing-jax diagnose`."""

import pathlib
import sys
from typing import TYPE_CHECKING

import numpy as np

from .._checks import check_finite
from ..cells import AbstractCell, BidirectionalCell, load_cell
from ..diagnostics import diagnose
from ..interop._loaders import load_file
from ..networks import RecurrentNetwork
from ._output import EXIT_CODES, write_json

if TYPE_CHECKING:
    from ._main import Diagnose, Inspect


def run(command: "Diagnose") -> int:
    """Diagnose what is saved, print, write what was asked for; return the verdict's exit code."""
    cell = load(command)
    lengths = None if command.lengths is None else _read_array(command.lengths)
    inputs = _read_inputs(command.inputs, cell, may_be_padded=lengths is not None)
    if isinstance(cell, RecurrentNetwork):
        message = f"diagnosing {len(cell.parts)} parts, and the network as a whole ..."
        print(message, file=sys.stderr)
    diagnosis = diagnose(cell, inputs, lengths=lengths)
    text = diagnosis.details() if command.details else str(diagnosis)
    print(text, file=sys.stderr if command.json == "-" else sys.stdout)
    if command.json is not None:
        write_json(command.json, diagnosis.to_dict())
    if command.html is not None:
        from ..report import write_report

        files = {"weights": command.file, "inputs": command.inputs, "lengths": command.lengths}
        configuration = {name: str(path) for name, path in files.items() if path is not None}
        write_report(
            command.html, diagnosis, title="Gradient diagnosis", configuration=configuration
        )
    return EXIT_CODES[diagnosis.verdict]


def load(command: "Diagnose | Inspect", **more: str) -> AbstractCell | RecurrentNetwork:
    """Return what the file holds, read as the options, and `more` of them, say."""
    framework = command.framework
    if not command.file.exists():
        raise FileNotFoundError(f"no such file: {command.file}")
    if framework == "auto":
        others = "onnx" if command.file.suffix.lower() == ".onnx" else "torch"
        framework = "vanishing_jax" if _is_ours(command.file) else others
    options = {name: getattr(command, name, None) for name in ("nonlinearity", "prefix")}
    options = {name: value for name, value in options.items() if value is not None} | more
    if framework == "vanishing_jax":
        if command.cell != "auto" or options:
            raise ValueError(
                f"{command.file} says itself what cell it holds: --cell, --nonlinearity and "
                "--prefix are for files of other frameworks. Leave them out."
            )
        cell = load_cell(command.file)
        # One layer in both directions needs the whole sequence.
        return RecurrentNetwork([cell]) if isinstance(cell, BidirectionalCell) else cell
    kind = None if command.cell == "auto" else command.cell
    return load_file(command.file, framework, kind, **options)


def _is_ours(path: pathlib.Path) -> bool:
    import safetensors

    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return (file.metadata() or {}).get("format") == "vanishing_jax"
    except (safetensors.SafetensorError, OSError):
        return False  # the loader says what is wrong with it


def _read_inputs(
    path: pathlib.Path, cell: AbstractCell | RecurrentNetwork, *, may_be_padded: bool
) -> np.ndarray:
    """Return the inputs in the dtype of the cell's weights."""
    import equinox as eqx
    import jax

    inputs = _read_array(path)
    if inputs.dtype.kind not in "biuf":
        raise ValueError(f"expected real numbers in {path}; got dtype {inputs.dtype}.")
    if not may_be_padded:
        check_finite(inputs, f"inputs in {path}", axis_name="index")
    dtype = jax.tree.leaves(eqx.filter(cell, eqx.is_inexact_array))[0].dtype
    return inputs.astype(dtype)


def _read_array(path: pathlib.Path) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(
            f"expected a .npy file of numbers at {path}; {error}. Write one with numpy.save."
        ) from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"expected one array in a .npy file; {path} is an archive of several.")
    return array
