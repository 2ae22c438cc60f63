"""Arguments of the command line, parsed before anything heavy is imported.

The command `vanishing-jax name` has a dataclass here and a function `run` in `_name.py`.
"""

import dataclasses
import gc
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import tyro

from .. import __version__
from ._cache import NoCache, set_up
from ._compare import Compare, print_names_after_help
from ._output import BROKEN_PIPE, INTERRUPTED, USAGE

Framework: TypeAlias = Literal[
    "auto", "vanishing_jax", "torch", "keras", "flax", "haiku", "equinox", "onnx"
]
Kind: TypeAlias = Literal["auto", "rnn", "lstm", "gru", "mgu"]


@dataclasses.dataclass(frozen=True)
class Demo:
    """Train a tanh RNN and an LSTM on handwritten digits read pixel by pixel, diagnose both."""

    out: pathlib.Path = pathlib.Path("runs/demo")
    """Folder for report.html and the figures."""
    steps: int = 600
    """Training updates per network."""
    seed: int = 0
    """Seed of weights and batches."""
    no_cache: NoCache = False


@dataclasses.dataclass(frozen=True)
class Diagnose:
    """Diagnose a saved cell or network on your inputs.

    Exit code: 0 healthy, 2 usage, 3 vanishing, 4 exploding, 5 inconclusive.
    """

    file: tyro.conf.Positional[pathlib.Path]
    """Weights as a safetensors file, of save_cell or another framework; or an ONNX model."""
    inputs: pathlib.Path
    """Inputs as .npy: (time, input) or (batch, time, input)."""
    lengths: pathlib.Path | None = None
    """Number of steps of each sequence as .npy, where the rest of the inputs is padding."""
    framework: Framework = "auto"
    """Who wrote the file."""
    cell: Kind = "auto"
    """Kind of cell in a file of another framework."""
    nonlinearity: Literal["tanh", "relu"] | None = None
    """Nonlinearity of a plain layer, which a file of weights does not hold."""
    prefix: str | None = None
    """What precedes the layer's names, where the file holds several recurrent layers."""
    html: pathlib.Path | None = None
    """Write the report to this file."""
    json: str | None = None
    """Write the result as JSON to this file; - prints it (and the text goes to stderr)."""
    details: bool = False
    """Print all that there is to say, not the answer alone."""
    no_cache: NoCache = False


@dataclasses.dataclass(frozen=True)
class Inspect:
    """List what a file of weights holds: cells, sizes, and the recurrent matrix of every gate."""

    file: tyro.conf.Positional[pathlib.Path]
    """Weights as a safetensors file, of save_cell or another framework; or an ONNX model."""
    framework: Framework = "auto"
    """Who wrote the file."""
    cell: Kind = "auto"
    """Kind of cell in a file of another framework."""
    prefix: str | None = None
    """What precedes the layer's names, where the file holds several recurrent layers."""
    json: str | None = None
    """Write the result as JSON to this file; - prints it instead of the text."""
    no_cache: NoCache = False


@dataclasses.dataclass(frozen=True)
class Selftest:
    """Check this installation against exact laws: z-scores and residuals, exit 1 on a failure."""

    seed: int = 0
    """Seed of the random matrices."""
    no_cache: NoCache = False


@dataclasses.dataclass(frozen=True)
class Table:
    """Measure every claim of the article's summary table: causes, effects and mitigations.

    Interrupted, the same command goes on from the finished runs.
    """

    out: pathlib.Path = pathlib.Path("runs/table")
    """Folder for table.html, table.md, table.json, table.nc and the finished runs."""
    quick: bool = False
    """A few networks of each row, small and briefly trained."""
    length: int | None = None
    """Time steps of the adding task."""
    hidden_size: int | None = None
    """Units of a layer."""
    steps: int | None = None
    """Training updates of each seed at most."""
    seeds: int | None = None
    """Networks trained of each kind."""
    seed: int = 0
    """Seed of all randomness."""
    no_cache: NoCache = False


@dataclasses.dataclass(frozen=True)
class Claims:
    """Test what the article says, claim by claim, against measurements and theory.

    Interrupted, the same command goes on after the finished claims.
    """

    out: pathlib.Path = pathlib.Path("runs/claims")
    """Folder for claims.html, claims.md, claims.json, the figures and the finished claims."""
    quick: bool = False
    """Small networks, and few updates of training."""
    only: str | None = None
    """Ids of the claims to test, such as C1,C4; all by default."""
    seed: int = 0
    """Seed of all randomness."""
    no_cache: NoCache = False


COMMANDS = (Demo, Diagnose, Inspect, Compare, Selftest, Table, Claims)


def _run(command: Any) -> int:
    """Run a command, of whose module nothing is imported before; return the exit code."""
    match command:
        case Demo():
            from ._demo import run
        case Diagnose():
            from ._diagnose import run
        case Inspect():
            from ._inspect import run
        case Compare():
            from ._compare import run
        case Selftest():
            from ._selftest import run
        case Table():
            from ._table import run
        case _:
            from ._claims import run
    return run(command)  # pyright: ignore[reportArgumentType]  # each case has its own


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, run the command and exit with its code.

    An error about the input (`OSError`, `ValueError`, `TypeError`) is printed without traceback and
    exits with 2; Ctrl-C exits with 130, a pipe whose reader has gone (`| head -1`) with 141.
    """
    try:
        try:
            _main(arguments)
        finally:
            sys.stdout.flush()  # here, not as the interpreter ends, where nobody can catch it
    except BrokenPipeError:
        # What is left in the buffer goes nowhere, quietly.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(BROKEN_PIPE) from None


def _main(arguments: Sequence[str] | None) -> None:
    is_program = arguments is None
    arguments = sys.argv[1:] if arguments is None else arguments
    if list(arguments) == ["--version"]:
        print(f"vanishing-jax {__version__}")
        raise SystemExit(0)
    try:
        command: Any = tyro.extras.subcommand_cli_from_dict(
            {one.__name__.lower(): one for one in COMMANDS},
            args=arguments,
            prog="vanishing-jax",
            description="Whether gradients vanish in a recurrent network, how far they reach, and "
            "why. --version prints the version.",
        )
    except SystemExit as stopped:
        if not stopped.code:
            print_names_after_help(arguments)
        raise
    if is_program:  # the process of a caller is not ours to set up
        set_up(no_cache=command.no_cache)
        # Imports and tracing make millions of objects and next to no garbage: 10 % of a warm call.
        gc.set_threshold(50_000, 20, 50)
    try:
        code = _run(command)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        code = INTERRUPTED
    except BrokenPipeError:
        raise
    except (OSError, ValueError, TypeError, ImportError) as error:
        print(f"vanishing-jax: {error}", file=sys.stderr)
        code = USAGE
    if is_program and code == INTERRUPTED:
        # jaxlib 0.10.2 crashes as the interpreter ends if Ctrl-C came during a compilation.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    raise SystemExit(code)
