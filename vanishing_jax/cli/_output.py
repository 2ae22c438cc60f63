"""What a command leaves: exit codes, columns of text, JSON."""

import json
import pathlib
from collections.abc import Collection, Sequence
from typing import Any

from .._files import write_atomically

EXIT_CODES = {"healthy": 0, "vanishing": 3, "exploding": 4, "inconclusive": 5}
"""One code per verdict: a script can branch on it."""
FAILED = 1
USAGE = 2
INTERRUPTED = 130
BROKEN_PIPE = 141  # what a shell reports of a program that SIGPIPE ended: 128 + 13


def in_columns(rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> list[str]:
    """Return a line per row, its cells under each other; those in `right` end there."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def line(row: Sequence[str]) -> str:
        cells = zip(row, widths, strict=True)
        return "  ".join(
            f"{cell:>{width}}" if i in right else f"{cell:<{width}}"
            for i, (cell, width) in enumerate(cells)
        ).rstrip()

    return [line(row) for row in rows]


def write_json(where: str, content: dict[str, Any]) -> None:
    """Write JSON to a file, or print it where that is "-"."""
    text = json.dumps(content, indent=1)
    if where == "-":
        print(text)
    else:
        write_atomically(pathlib.Path(where), text.encode())
