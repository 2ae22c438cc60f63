"""Results as plain data: JSON has no word for NaN and the infinities, which become text."""

import math
from collections.abc import Mapping
from typing import Any

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
