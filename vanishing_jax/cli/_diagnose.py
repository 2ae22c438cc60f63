"""`vanishing-jax diagnose`."""

import json
import pathlib
import sys
from typing import TYPE_CHECKING

import numpy as np

from .. import interop
from .._checks import check_finite
from .._files import write_atomically
from ..cells import AbstractCell, load_cell
from ..diagnostics import diagnose
from ..report import write_report

if TYPE_CHECKING:
    from ._main import Diagnose


def run_diagnose(command: "Diagnose") -> int:
    """Diagnose the saved cell, print, write what was asked for; return the verdict's exit code."""
    from ._main import EXIT_CODES

    cell = _load(command)
    diagnosis = diagnose(cell, _read_inputs(command.inputs, cell))
    on_stdout = command.json == "-"
    print(diagnosis, file=sys.stderr if on_stdout else sys.stdout)
    if command.json is not None:
        text = json.dumps(diagnosis.to_dict(), indent=1)
        if on_stdout:
            print(text)
        else:
            write_atomically(pathlib.Path(command.json), text.encode())
    if command.html is not None:
        configuration = {"weights": str(command.file), "inputs": str(command.inputs)}
        write_report(
            command.html, diagnosis, title="Gradient diagnosis", configuration=configuration
        )
    return EXIT_CODES[diagnosis.verdict]


def _load(command: "Diagnose") -> AbstractCell:
    framework = command.framework
    if not command.file.exists():
        raise FileNotFoundError(f"no such file: {command.file}")
    if framework == "auto":
        framework = "vanishing_jax" if _is_ours(command.file) else "torch"
    if framework == "vanishing_jax":
        if command.cell != "auto" or command.nonlinearity is not None:
            raise ValueError(
                f"{command.file} says itself what cell it holds: --cell and --nonlinearity are for "
                "PyTorch files. Leave them out."
            )
        return load_cell(command.file)
    kind = None if command.cell == "auto" else command.cell
    return interop.load_torch(command.file, kind, nonlinearity=command.nonlinearity)


def _is_ours(path: pathlib.Path) -> bool:
    import safetensors

    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return (file.metadata() or {}).get("format") == "vanishing_jax"
    except (safetensors.SafetensorError, OSError):
        return False  # the loader says what is wrong with it


def _read_inputs(path: pathlib.Path, cell: AbstractCell) -> np.ndarray:
    """Return the inputs in the dtype of the cell's weights."""
    import equinox as eqx
    import jax

    try:
        inputs = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(
            f"expected a .npy file of numbers at {path}; {error}. Write one with numpy.save."
        ) from error
    if not isinstance(inputs, np.ndarray):
        raise ValueError(f"expected one array in a .npy file; {path} is an archive of several.")
    if inputs.dtype.kind not in "biuf":
        raise ValueError(f"expected real numbers in {path}; got dtype {inputs.dtype}.")
    check_finite(inputs, f"inputs in {path}", axis_name="index")
    dtype = jax.tree.leaves(eqx.filter(cell, eqx.is_inexact_array))[0].dtype
    return inputs.astype(dtype)
