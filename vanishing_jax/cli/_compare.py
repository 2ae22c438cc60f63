"""`vanishing-jax compare`: remedies compared by training, into a folder that can be resumed."""

import dataclasses
import os
import pathlib
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ._cache import NoCache
from ._output import INTERRUPTED

if TYPE_CHECKING:
    import xarray as xr

_QUIET_SECONDS = "30"  # between two lines of progress in a file


@dataclasses.dataclass(frozen=True)
class Compare:
    """Train recipes on one task, several seeds of each, and compare them.

    Prints a table and writes comparison.nc, table.md, report.html and the figures.
    The same command again loads what is finished and trains the rest; it may ask for more recipes
    or seeds. With --help, all recipes and tasks are listed below.
    """

    recipes: str
    """Recipes, with commas between: tanh,irnn+clip=5,lstm+rmsprop+lr=3e-3."""
    task: str
    """Task: adding, "copy memory", digits, ..."""
    out: pathlib.Path
    """Folder for the results of one choice of settings, resumed if there are some."""
    length: int | None = None
    """Time steps of a sequence; by default the task's own."""
    seeds: int = 5
    """Seeds of each recipe."""
    steps: int = 2000
    """Training updates of each seed."""
    batch_size: int = 32
    """Sequences per update."""
    hidden_size: int = 64
    """Units of each cell."""
    learning_rate: float | None = None
    """Learning rate of all recipes in place of their own; for one of them write RECIPE+lr=0.01."""
    record_every: int = 10
    """Updates that each point of the learning curves averages."""
    record: str = "gradient_profile"
    """What else to record: gradient_profile,saturation,update_ratio,exponents, or none."""
    target: str | None = None
    """When a seed is done early, such as "loss < 0.01" or "metric > 0.9"."""
    num_test: int = 1000
    """Fresh sequences for the final scores; a task with held-out data uses those."""
    checkpoint: bool = False
    """Back-propagate in memory O(sqrt(length)), in more time."""
    path: pathlib.Path | None = None
    """File or folder of the data, for a task that reads them: mnist, "time series"."""
    seed: int = 0
    """Seed of the key for weights and batches: jax.random.key(seed)."""
    no_cache: NoCache = False

    def command_line(self) -> str:
        """Return the shell command that has all of these settings, also those left to defaults."""
        words = ["vanishing-jax", "compare"]
        for field in dataclasses.fields(self):
            name, value = "--" + field.name.replace("_", "-"), getattr(self, field.name)
            if isinstance(value, bool):
                words += [name] if value else []
            elif value is not None:
                words += [name, str(value)]
        return shlex.join(words)


def run(command: Compare) -> int:
    """Compare, print the table, write the results; return the exit code."""
    if not sys.stderr.isatty():  # read by tqdm when it is first imported
        os.environ.setdefault("TQDM_MININTERVAL", _QUIET_SECONDS)
    from ..comparison import comparison_table

    try:
        comparison = _compared(command)
    except KeyboardInterrupt:
        print("\ninterrupted before any recipe was finished", file=sys.stderr)
        return _to_resume(command)
    table = aligned(comparison_table(comparison))
    print(table)
    paths = _write(command, comparison, table)
    print(f"wrote {', '.join(path.name for path in paths)} in {command.out}", file=sys.stderr)
    if comparison.attrs.get("interrupted"):
        done, asked = comparison.sizes["recipe"], len(_listed(command.recipes))
        print(f"interrupted: {done} of {asked} recipes finished", file=sys.stderr)
        return _to_resume(command)
    return 0


def _compared(command: Compare) -> "xr.Dataset":
    import jax

    from .. import tasks
    from ..comparison import compare

    data = {} if command.path is None else {"path": command.path}
    same = (
        "steps", "seeds", "batch_size", "hidden_size", "learning_rate", "record_every", "target",
        "num_test", "checkpoint", "out",
    )  # fmt: skip
    return compare(
        _listed(command.recipes),
        tasks.named(command.task, length=command.length, **data),
        record=[] if command.record == "none" else _listed(command.record),
        key=jax.random.key(command.seed),
        **{name: getattr(command, name) for name in same},
    )


def _write(command: Compare, comparison: "xr.Dataset", table: str) -> list[pathlib.Path]:
    """Write everything that is made of the finished runs, each file whole or not at all."""
    from .._files import write_atomically
    from ..comparison._store import write_dataset
    from ..report import save_comparison_figures, write_comparison
    from ..report._figures import drawn_once

    out = command.out
    with drawn_once():
        return [
            write_dataset(out / "comparison.nc", comparison),
            write_atomically(out / "table.md", f"{table}\n".encode()),
            *save_comparison_figures(out, comparison),
            write_comparison(out / "report.html", comparison, command=command.command_line()),
        ]


def _to_resume(command: Compare) -> int:
    print(f"to go on: {command.command_line()}", file=sys.stderr)
    return INTERRUPTED


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def aligned(markdown: str) -> str:
    """Return Markdown with its table's columns padded, for a terminal."""
    lines = markdown.splitlines()
    rows = [[cell.strip() for cell in x.strip("|").split("|")] for x in lines if x[:1] == "|"]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = iter(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    )
    return "\n".join(next(padded) if line[:1] == "|" else line for line in lines)


def print_names_after_help(arguments: Sequence[str]) -> None:
    """Print all recipes and tasks if the help that was just printed is that of `compare`.

    Apart from it, since only this needs JAX.
    """
    if list(arguments[:1]) != ["compare"]:
        return
    sys.stdout.flush()
    import textwrap

    from ..comparison import recipes
    from ..tasks._named import _MAKERS

    def paragraph(head: str, names: Sequence[str]) -> str:
        text = ", ".join(name.replace(" ", "\0") for name in names)
        options: dict = {"initial_indent": "  ", "subsequent_indent": "  "}
        lines = textwrap.fill(text, 96, break_on_hyphens=False, **options)
        return f"{head}:\n{lines}".replace("\0", " ")

    parts = [f"  {name:<20}{text}" for name, text in recipes.parts().items()]
    heads = [paragraph("tasks", list(_MAKERS)), paragraph("recipes", recipes.names())]
    try:
        print(*heads, "parts of recipes, in any combination:", *parts, sep="\n", flush=True)
    except BrokenPipeError:  # `... --help | head`: what is left is flushed at exit, into nothing
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
