"""Tasks by name, for the command line and for comparisons."""

import difflib
import functools as ft
import inspect
from collections.abc import Callable
from typing import Any

from ._adding import Adding
from ._base import AbstractTask
from ._characters import CharacterLanguageModeling
from ._copy_memory import CopyMemory
from ._delayed_xor import DelayedXor
from ._digits import digits
from ._mnist import mnist
from ._multiplication import Multiplication
from ._random_permutation import RandomPermutation
from ._temporal_order import TemporalOrder
from ._time_series import time_series
from ._warping import Warping

_MAKERS: dict[str, Callable[..., AbstractTask]] = {
    "adding": Adding,
    "multiplication": Multiplication,
    "copy memory": CopyMemory,
    "temporal order": TemporalOrder,
    "3-bit temporal order": ft.partial(TemporalOrder, events=3),
    "delayed xor": DelayedXor,
    "random permutation": RandomPermutation,
    "warping": Warping,
    "digits": digits,
    "permuted digits": ft.partial(digits, permuted=True),
    "mnist": mnist,
    "permuted mnist": ft.partial(mnist, permuted=True),
    "character language modeling": CharacterLanguageModeling,
    "time series": time_series,
}


def named(name: str, *, length: int | None = None, **options: Any) -> AbstractTask:
    """Return the task called `name`, with what its class or function lets one choose.

    **Arguments:**

    - `name`: "adding", "multiplication", "copy memory", "temporal order", "3-bit temporal order",
      "delayed xor", "random permutation", "warping", "digits", "permuted digits", "mnist",
      "permuted mnist", "character language modeling" or "time series"; case, `-` and `_` do not
      matter.
    - `length`: number of steps T, all of them; by default the task's own. Where the data fix it, it
      cannot be given.
    - `options`: passed on, for instance `variant="pascanu"`, or `path="mnist/"`.

    **Raises:** `ValueError` for an unknown name, with the nearest ones; `TypeError` for an option
    that the task does not have or lacks; and what the task itself raises.

    **Example:**

    >>> from vanishing_jax.tasks import named
    >>> named("copy memory", length=70).length
    70
    >>> named("coppy memory")
    Traceback (most recent call last):
        ...
    ValueError: expected the name of a task; got 'coppy memory'. Did you mean 'copy memory'?
    """
    known = {_plain(key): key for key in _MAKERS}
    if _plain(name) not in known:
        near = difflib.get_close_matches(_plain(name), known, n=3, cutoff=0.5)
        listed = " or ".join(repr(known[key]) for key in near)
        hint = f"Did you mean {listed}?" if near else f"Tasks: {', '.join(_MAKERS)}."
        raise ValueError(f"expected the name of a task; got {name!r}. {hint}")
    key = known[_plain(name)]
    maker = _MAKERS[key]
    if length is not None:
        options["length"] = length
    parameters = inspect.signature(maker).parameters
    unknown = [option for option in options if option not in parameters]
    if unknown == ["length"]:
        raise TypeError(f"{key!r} has the length of its data; leave `length` out.")
    if unknown:
        raise TypeError(
            f"{key!r} has no option {', '.join(unknown)}. It takes: {', '.join(parameters)}."
        )
    lacking = [
        option
        for option, parameter in parameters.items()
        if parameter.default is parameter.empty and option not in options
    ]
    if lacking:
        raise TypeError(f"{key!r} needs `{lacking[0]}=`. It takes: {', '.join(parameters)}.")
    return maker(**options)


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("-", " ").replace("_", " ").split())
