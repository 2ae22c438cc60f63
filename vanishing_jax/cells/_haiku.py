"""Cells made of Haiku cores. Haiku itself is never imported here."""

import dataclasses
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .._tree import describe, same_structure
from .._types import Array, PyTree
from ._foreign import AbstractForeignCell, Known, is_instance_of
from ._weights import check_vector, map_blocks


@dataclasses.dataclass(frozen=True)
class _Core(Known):
    """One of Haiku's own cores."""

    recurrent: tuple[str, str]  # module below the core's own, parameter: multiplies h
    given: tuple[str, str]  # the same: multiplies the input
    blocks: int


# In Haiku one matrix of an LSTM multiplies (input, h): its last rows are the recurrent ones. A
# GRU evaluates one sigmoid for both of its gates.
_KNOWN = {
    "LSTM": _Core(("h", "c"), ("forget", "input", "output"), ("/linear", "w"), ("/linear", "w"), 4),
    "GRU": _Core(("h",), ("update and reset",), ("", "w_h"), ("", "w_i"), 3),
    "VanillaRNN": _Core(("h",), (), ("/linear_1", "w"), ("/linear", "w"), 1),
}


def is_transformed(obj: Any) -> bool:
    """Return whether `obj` is what `hk.transform` or `hk.transform_with_state` returns."""
    return is_instance_of(obj, "haiku._src.transform", "Transformed", "TransformedWithState")


class HaikuCell(AbstractForeignCell):
    """A cell made of a Haiku core, `core(input, state) -> (output, state)`.

    The shortest way is a function that builds the core, beside the trained parameters: `HaikuCell(
    lambda: hk.LSTM(64), params)`. It may be built with the `name=` it had in the trained model;
    parameters of a larger model are searched for the core's, whatever modules it was in. The
    output is left out. `hk.LSTM` (state `LSTMState(hidden, cell)`), `hk.GRU` and `hk.VanillaRNN`
    are known: their shapes are checked, their state and gates named, their recurrent blocks mapped.
    Mind that `hk.LSTM` adds 1 to the forget gate inside the call, so that a bias of 0 counts as 1.

    **Arguments:**

    - `core`: a function without arguments that returns the core; or one step as a transformed pair,
      `hk.transform(lambda input, state: ...)`, which then needs `state0=`.
    - `params`: the mapping of module names to parameters that `init` or training returned.

    The parameters of the cell are the arrays in `params` that belong to the core.

    **Raises:** `TypeError` for anything else as `core` (a `transform_with_state` included).
    `ValueError` for parameters in which the core's are missing or found twice, or that are of
    another hidden size; when called, for a step that needs a random key (dropout), or that does not
    return `(output, state)` with a state as it was given.

    **Example:**

    >>> import haiku as hk, jax.numpy as jnp  # doctest: +SKIP
    >>> params = {"lstm/linear": {"w": jnp.ones((5, 8)), "b": jnp.zeros(8)}}  # doctest: +SKIP
    >>> cell = HaikuCell(lambda: hk.LSTM(2), params)  # doctest: +SKIP
    >>> cell(cell.initial_state(), jnp.ones(3)).hidden.shape  # doctest: +SKIP
    (2,)
    """

    params: dict[str, dict[str, Any]]
    core: Any = eqx.field(static=True)  # Transformed, or a function that builds the core
    name: str = eqx.field(static=True)  # of the core's module in `params`
    known: _Core | None = eqx.field(static=True)
    input_size: int | None = eqx.field(static=True)

    def __init__(self, core: Any, params: Mapping[str, Mapping[str, Any]]):
        if is_instance_of(core, "haiku._src.transform", "TransformedWithState"):
            raise TypeError(
                "HaikuCell expected a core without hk.get_state; got a transform_with_state. If "
                "the state never changes (batch normalization in use), write FunctionCell("
                "lambda p, s, x: transformed.apply(*p, None, x, s)[0][1], (params, haiku_state))."
            )
        if not is_transformed(core) and not (callable(core) and "haiku" in sys.modules):
            raise TypeError(
                "expected HaikuCell(lambda: hk.LSTM(64), params), or a pair made by hk.transform; "
                f"got {type(core).__name__} as core."
            )
        if not isinstance(params, Mapping) or not all(
            isinstance(entry, Mapping) for entry in params.values()
        ):
            raise ValueError(
                "HaikuCell expected params, a mapping of module names to mappings of arrays, as "
                f"hk.transform(...).init returns; got {type(params).__name__}."
            )
        self.core, self.known, self.input_size = core, None, None
        self.name, self.params = "", {name: dict(entry) for name, entry in params.items()}
        if not is_transformed(core):
            kind, self.name = self._build(lambda built: (type(built), built.module_name))
            own = kind.__module__ == "haiku._src.recurrent"
            self.known = _KNOWN.get(kind.__name__) if own else None
            self.params = _of_core(self.params, self.name, required=self.known is not None)
        if self.known is not None:
            self.input_size = self._sizes()

    def _build(self, read: Callable[[Any], Any]) -> Any:
        """Return what `read` finds on the core, built with the parameters; computes nothing."""
        found = []

        def probe():
            built = self.core()
            if not callable(built) or not hasattr(built, "initial_state"):
                raise TypeError(
                    "HaikuCell expected a function without arguments that builds a core, e.g. "
                    f"lambda: hk.LSTM(64); it returned {type(built).__name__}."
                )
            found.append(read(built))
            return jnp.zeros(())

        transformed = sys.modules["haiku"].transform(probe)
        jax.eval_shape(lambda params: transformed.apply(params, None), self.params)
        return found[0]

    def _sizes(self) -> int:
        """Return the input size that the parameters tell; check that the hidden size agrees."""
        assert self.known is not None
        size = self._build(lambda built: built.hidden_size)
        recurrent, given = (
            jnp.shape(self.params[self.name + path][leaf])
            for path, leaf in (self.known.recurrent, self.known.given)
        )
        if recurrent[1] != self.known.blocks * size:
            raise ValueError(
                f"HaikuCell expected parameters of hidden size {size}, as the function builds; "
                f"those of {self.name!r} have {recurrent[1] // self.known.blocks}."
            )
        return given[0] - (size if self.known.recurrent == self.known.given else 0)

    def __call__(self, state: PyTree, input: PyTree) -> PyTree:
        """Return the new state."""
        if self.known is not None:
            check_vector("HaikuCell", "input", input, self.input_size or 0)
            self.check_state(state, self._size())
        out = self._apply(input, state)
        if not isinstance(out, tuple) or len(out) != 2 or not same_structure(out[1], state):
            raise ValueError(
                "HaikuCell expected core(input, state) -> (output, state) with the state as it was "
                f"given, {describe(state)}; got {describe(out)}. Wrap a step of another signature: "
                "FunctionCell(lambda p, state, input: ..., params)."
            )
        return out[1]

    def _apply(self, input: PyTree, state: PyTree) -> Any:
        pair = self.core
        if not is_transformed(pair):
            build = pair
            pair = sys.modules["haiku"].transform(lambda x, s: build()(x, s))
        takes_key = list(inspect.signature(pair.apply).parameters)[1] == "rng"
        try:
            return pair.apply(self.params, *([None] if takes_key else []), input, state)
        except ValueError as error:
            if "PRNGKey" in str(error):
                raise ValueError(
                    "HaikuCell expected a deterministic step; this one asks for a random key. "
                    f"Switch dropout (or other noise) off. Haiku says: {error}"
                ) from error
            if "retrieve parameter" not in str(error):
                raise
            raise ValueError(
                f"HaikuCell did not find a parameter: {error} params hold {sorted(self.params)}. "
                "Give the core the name it had there: lambda: hk.LSTM(64, name='...')."
            ) from error

    def _size(self) -> int:
        assert self.known is not None
        recurrent = self.params[self.name + self.known.recurrent[0]][self.known.recurrent[1]]
        return recurrent.shape[1] // self.known.blocks

    def initial_state(self) -> PyTree:
        """Return the core's initial state in the parameters' dtype; ValueError if not known."""
        if is_transformed(self.core):
            raise ValueError(
                "HaikuCell does not know the state of a transformed step: pass state0=."
            )
        transformed = sys.modules["haiku"].transform(lambda: self.core().initial_state(None))
        state = transformed.apply(self.params, None)
        dtypes = {a.dtype for a in jax.tree.leaves(self.params) if eqx.is_inexact_array(a)}
        if len(dtypes) != 1:
            return state
        (dtype,) = dtypes
        return jax.tree.map(lambda a: a.astype(dtype) if eqx.is_inexact_array(a) else a, state)

    def map_recurrent(self, fn: Callable[[Array], Array]) -> "HaikuCell | None":
        """Return this cell with `fn` applied to each gate's recurrent block; None if not known.

        Haiku multiplies from the right, h @ w: `fn` receives the transposed blocks.
        """
        if self.known is None:
            return None
        path, leaf = self.name + self.known.recurrent[0], self.known.recurrent[1]
        weight = jnp.asarray(self.params[path][leaf])
        rows = weight.shape[0] - self._size()
        mapped = map_blocks(fn, weight[rows:].T).T
        return eqx.tree_at(
            lambda c: c.params[path][leaf], self, jnp.concatenate([weight[:rows], mapped])
        )


def _of_core(params, name: str, *, required: bool):
    """Return the core's own parameters, under the names that it asks for."""
    prefixes = set()
    for path in params:
        words = path.split("/")
        prefixes.update("/".join([*words[:i], ""]) for i, w in enumerate(words) if w == name)
    if "" in prefixes:
        prefixes = {""}
    if not prefixes and not required:
        return params
    if len(prefixes) != 1:
        several = f"in several modules, {sorted(prefixes)}" if prefixes else "nowhere"
        raise ValueError(
            f"HaikuCell found the parameters of a core named {name!r} {several}; params hold "
            f"{sorted(params)}. Build the core with the name it had: lambda: hk.LSTM(64, "
            "name='...'), and pass the parameters of one of them."
        )
    (prefix,) = prefixes
    core = prefix + name
    return {
        path[len(prefix) :]: entry
        for path, entry in params.items()
        if path == core or path.startswith(core + "/")
    }
