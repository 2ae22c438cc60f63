"""Results as plain data: JSON has no word for NaN and the infinities, which become text."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .._files import write_atomically

_WORDS = ("nan", "inf", "-inf")


def to_plain(value: Any) -> Any:
    """Return nested data of which JSON can hold all; inverse of `from_plain`."""
    if isinstance(value, Mapping):
        return {name: to_plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def from_plain(value: Any) -> Any:
    """Return nested data with the numbers that JSON had as text."""
    if isinstance(value, Mapping):
        return {name: from_plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [from_plain(one) for one in value]
    return float(value) if value in _WORDS else value


def json_bytes(data: Any) -> bytes:
    """Return data as a JSON file."""
    return f"{json.dumps(to_plain(data), indent=1, ensure_ascii=False)}\n".encode()


def found_or_made(path: Path | None, made_with: Any, make: Callable[[], Any]) -> Any:
    """Return the plain data of a file if it was made with the same, or make them and write it."""
    if path is None:
        return make()
    try:
        there = json.loads(path.read_text("utf-8"))
        if there["made with"] == made_with:
            return from_plain(there["result"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not there, cut off, or of an earlier version: made again
    result = make()
    write_atomically(path, json_bytes({"made with": made_with, "result": result}))
    return result
