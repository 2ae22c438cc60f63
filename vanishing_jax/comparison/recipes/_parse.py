"""From "tanh+orthogonal+clip=5" to a recipe."""

import difflib
import math
from typing import Any

from ._bases import BASES
from ._parts import KINDS, PARTS, REQUIRED
from ._recipe import Recipe

_NAMES = (
    "tanh", "sigmoid", "relu", "linear", "irnn", "lstm", "gru", "lru", "mingru", "minlstm",
    "tanh+glorot", "tanh+he", "tanh+orthogonal", "tanh+identity", "tanh+small", "tanh+large",
    "tanh+critical",
    "lstm+layernorm", "gru+layernorm", "lstm+batchnorm+state-noise",
    "relu+he", "linear+orthogonal", "lstm+chrono", "lstm+forget-bias=0", "gru+chrono",
    "tanh+layernorm", "tanh+layernorm-separate", "tanh+layernorm-input", "tanh+batchnorm",
    "tanh+batchnorm-input",
    "tanh+residual", "tanh+leaky", "tanh+layers", "tanh+skip-layers",
    "tanh+clip", "tanh+clip-value", "tanh+clip-state", "irnn+clip", "lstm+clip", "gru+clip",
    "tanh+tbptt", "tanh+soft-orthogonal", "tanh+orthogonal+band", "tanh+slow-recurrent",
    "tanh+sgd", "tanh+momentum", "tanh+rmsprop", "tanh+adam", "tanh+adamw", "tanh+decay",
)  # fmt: skip


def names() -> tuple[str, ...]:
    """Return the names of ready-made recipes; `parse` reads many more.

    **Returns:** names, the plain cells first.

    **Example:**

    >>> import vanishing_jax as vj
    >>> vj.recipes.names()[:7]
    ('tanh', 'sigmoid', 'relu', 'linear', 'irnn', 'lstm', 'gru')
    """
    return _NAMES


def parse(text: str) -> Recipe:
    """Return the recipe that `text` spells: a cell and further parts, joined by "+", in any order.

    A part that takes a number may be followed by it: "clip=5", "leaky=0.3", "tbptt=10", "lr=3e-3".
    `vj.recipes.parts()` lists the parts. Each thing is chosen once: two optimizers, or two
    initializations, are an error and not a matter of order. Without an optimizer it is Adam at
    1e-3, without "clip" nothing is clipped.

    **Arguments:**

    - `text`: for instance "tanh+layernorm+rmsprop"; case and spaces do not matter.

    **Returns:** a `Recipe`; print it.

    **Raises:** `TypeError` for anything but a string. `ValueError` for an unknown part, with the
    nearest names; for no cell or parts that exclude each other; for a number that is missing,
    superfluous or unreadable.

    **Example:**

    >>> import jax, vanishing_jax as vj
    >>> print(vj.recipes.parse("clip=5+irnn+sgd"))
    irnn+clip=5+sgd
      cell:                     plain recurrent cell with ReLU (IRNN)
      recurrent initialization: 1 times the identity
      gradient clipping:        at global norm 5
      optimizer:                stochastic gradient descent
      learning rate:            0.01
    >>> model, optimizer = vj.recipes.parse("gru+clip").build(
    ...     vj.tasks.digits(), 8, key=jax.random.key(0))
    """
    if not isinstance(text, str):
        raise TypeError(
            f"expected a recipe as text, such as 'tanh+clip'; got {type(text).__name__}."
        )
    words = [word.strip().lower() for word in text.split("+")]
    chosen = [_read(word, text) for word in words]
    _check_base(chosen, text)
    _check_conflicts(chosen, text)
    chosen.sort(key=lambda part: KINDS.index(PARTS[part[0]].kind))
    return Recipe("+".join(_spell(*part) for part in chosen), tuple(chosen))


def _read(word: str, text: str) -> tuple[str, Any]:
    """Return (name, number) of one word."""
    name, equals, number = (piece.strip() for piece in word.partition("="))
    if name not in PARTS:
        near = difflib.get_close_matches(name, PARTS, n=3, cutoff=0.5)
        hint = f" Nearest: {_listed(near)}." if near else ""
        raise ValueError(
            f"unknown part {name!r} in recipe {text!r}.{hint} vj.recipes.parts() lists all parts."
        )
    default = PARTS[name].number
    if not equals:
        if default == REQUIRED:
            raise ValueError(f"part {name!r} needs a number: write {name}=0.001, for instance.")
        return name, default
    if default is None:
        raise ValueError(f"part {name!r} takes no number; got {word!r}.")
    return name, _number(number, word)


def _number(text: str, word: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"expected a finite number after '='; got {word!r}.")
    return number


def _check_base(chosen: list[tuple[str, Any]], text: str) -> None:
    bases = [name for name, _ in chosen if name in BASES]
    if not bases:
        raise ValueError(
            f"recipe {text!r} names no cell: start from one of {_listed(BASES)}, for instance "
            f"'tanh+{text}'."
        )
    for name, _ in chosen:
        allowed = PARTS[name].bases
        if allowed is not None and bases[0] not in allowed:
            raise ValueError(
                f"part {name!r} does not go with {bases[0]!r} in recipe {text!r}; it goes with "
                f"{_listed(allowed)}."
            )


def _check_conflicts(chosen: list[tuple[str, Any]], text: str) -> None:
    owners: dict[str, str] = {}
    for name, _ in chosen:
        for kind in filter(None, (PARTS[name].kind, PARTS[name].also)):
            if kind in owners:
                raise ValueError(
                    f"parts {owners[kind]!r} and {name!r} of recipe {text!r} both choose the "
                    f"{kind}: keep one."
                )
            owners[kind] = name


def _spell(name: str, number: Any) -> str:
    return name if number == PARTS[name].number else f"{name}={number:g}"


def _listed(names: Any) -> str:
    return ", ".join(map(repr, names))
