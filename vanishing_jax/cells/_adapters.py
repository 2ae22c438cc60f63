"""Cells made of plain functions and of Equinox modules."""

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Array, PyTree
from ._base import AbstractCell
from ._foreign import AbstractForeignCell, Known
from ._weights import check_vector, map_blocks

_KNOWN = {
    eqx.nn.LSTMCell: Known(("h", "c"), ("input", "forget", "output")),
    eqx.nn.GRUCell: Known(("h",), ("reset", "update")),
}
# Names that leave no doubt. The order is never guessed from them; it is contradicted.
_STATE_WORDS = frozenset("state states h hidden carry h_prev prev_state hx hc".split())
_INPUT_WORDS = frozenset("input inputs x xs x_t xt inp".split())


def _check_names(fn: Any, skip: int, order: tuple[str, str], instead: str) -> None:
    """Raise if the arguments of `fn` after the first `skip` are named in the wrong order."""
    try:
        names = list(inspect.signature(fn).parameters)[skip : skip + 2]
    except (TypeError, ValueError):  # a built-in function tells nothing
        return
    words = {"state": _STATE_WORDS, "input": _INPUT_WORDS}
    if len(names) == 2 and all(
        name in words[other] for name, other in zip(names, order[::-1], strict=True)
    ):
        raise TypeError(
            f"expected arguments in the order ({', '.join(order)}); got them named "
            f"({', '.join(names)}). Swapped, a network runs without an error whenever the sizes "
            f"agree, and every number is wrong. Write {instead}."
        )


class FunctionCell(AbstractCell):
    """A cell made of a function `fn(params, state, input) -> state`.

    This is the way in for anything without an adapter of its own: write one line that calls it.

    **Arguments:**

    - `fn`: pure function of one step of one sequence; returns a state of the same structure.
    - `params`: any pytree of the arrays that `fn` depends on; gradients reach it.

    **Raises:** `TypeError` if `fn` is not callable, itself carries arrays (they belong in
    `params`, or they would be constants), or names its arguments in the order (params, x, h).

    **Example:**

    >>> import jax.numpy as jnp
    >>> cell = FunctionCell(lambda w, h, x: jnp.tanh(w @ h + x), 0.5 * jnp.eye(2))
    >>> cell(jnp.zeros(2), jnp.zeros(2)).tolist()
    [0.0, 0.0]
    """

    fn: Callable[..., PyTree] = eqx.field(static=True)
    params: PyTree

    state_names: ClassVar[None] = None  # leaves are named by their path
    gate_names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, fn: Callable[..., PyTree], params: PyTree):
        if not callable(fn):
            raise TypeError(
                "expected FunctionCell(fn, params) with a function fn(params, state, input); got "
                f"{type(fn).__name__} as fn."
            )
        if any(eqx.is_array(leaf) for leaf in jax.tree.leaves(fn)):
            raise TypeError(
                f"fn is a {type(fn).__name__} that carries arrays; pass it as params: "
                "FunctionCell(lambda p, state, input: p(state, input), fn)."
            )
        _check_names(
            fn, 1, ("state", "input"),
            "FunctionCell(lambda p, state, input: fn(p, input, state), params)",
        )  # fmt: skip
        self.fn, self.params = fn, params

    def __call__(self, state: PyTree, input: PyTree) -> PyTree:
        """Return `fn(params, state, input)`."""
        return self.fn(self.params, state, input)

    def initial_state(self) -> PyTree:
        """Raise ValueError: a function does not say what its state looks like."""
        raise ValueError("FunctionCell does not know the shape of its state: pass state0=.")

    def map_recurrent(self, fn: Callable[[Array], Array]) -> None:
        """Return None: a function does not know its recurrent blocks."""
        return None


class EquinoxCell(AbstractForeignCell):
    """A cell made of an Equinox module that is called as `module(input, state) -> state`.

    `eqx.nn.LSTMCell` (state (h, c)) and `eqx.nn.GRUCell` (state h) are known: their shapes are
    checked, their gates named, their recurrent blocks mapped. Any other module with this order of
    arguments works, with `state0=` given. For a module called as `module(state, input)` write
    `FunctionCell(lambda p, state, input: p(state, input), module)`: with the arguments swapped a
    network runs without an error whenever the sizes agree, and every number is wrong.

    **Arguments:**

    - `module`: the Equinox module; its arrays are the cell's parameters.

    **Raises:** `TypeError` for anything but an Equinox module, and for one that names its
    arguments in the other order, (h, x).

    **Example:**

    >>> import equinox as eqx, jax, jax.numpy as jnp
    >>> cell = EquinoxCell(eqx.nn.LSTMCell(3, 5, key=jax.random.key(0)))
    >>> h, c = cell(cell.initial_state(), jnp.ones(3))
    """

    module: Any  # an eqx.Module

    def __init__(self, module: Any):
        if isinstance(module, AbstractCell):
            raise TypeError(
                f"{type(module).__name__} is a cell already, called as cell(state, input): use it "
                "as it is."
            )
        if not isinstance(module, eqx.Module) or not callable(module):
            raise TypeError(
                "expected a callable Equinox module, module(input, state) -> state; got "
                f"{type(module).__name__}. For a function write FunctionCell(fn, params)."
            )
        _check_names(
            module, 0, ("input", "state"),
            "FunctionCell(lambda p, state, input: p(state, input), module)",
        )  # fmt: skip
        self.module = module

    def __call__(self, state: PyTree, input: PyTree) -> PyTree:
        """Return `module(input, state)`."""
        module = self.module
        if self.known is not None:
            check_vector("EquinoxCell", "input", input, module.input_size)
            self.check_state(state, module.hidden_size)
        return module(input, state)

    def initial_state(self) -> PyTree:
        """Return zeros; raise ValueError if the module is not one of the known two."""
        module = self.module
        if self.known is None:
            raise ValueError(
                f"EquinoxCell does not know the state of {type(module).__name__}: pass state0=."
            )
        zero = jnp.zeros(module.hidden_size, module.weight_hh.dtype)
        return zero if len(self.known.state_names) == 1 else (zero, zero)

    @property
    def known(self) -> Known | None:
        """What is known of `eqx.nn.LSTMCell` and `eqx.nn.GRUCell`; None for another module."""
        return _KNOWN.get(type(self.module))

    def map_recurrent(self, fn: Callable[[Array], Array]) -> "EquinoxCell | None":
        """Return this cell with `fn` applied to each gate's recurrent block; None if not known."""
        if self.known is None:
            return None
        mapped = map_blocks(fn, self.module.weight_hh)
        return eqx.tree_at(lambda c: c.module.weight_hh, self, mapped)
