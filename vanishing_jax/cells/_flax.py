"""Cells made of Flax modules, Linen or NNX. Flax itself is never imported here."""

import dataclasses
import sys
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Array, PyTree
from ._foreign import AbstractForeignCell, Known, is_instance_of
from ._weights import map_blocks


@dataclasses.dataclass(frozen=True)
class _Cell(Known):
    """One of Flax's own cells; the same for Linen and NNX."""

    recurrent: tuple[str, ...]  # layers whose kernel multiplies h


# Flax carries an LSTM's state as (c, h), where PyTorch, Equinox and this package have (h, c).
_LSTM = _Cell(("c", "h"), ("input", "forget", "output"), ("hi", "hf", "hg", "ho", "dense_h"))
_KNOWN = {
    "LSTMCell": _LSTM,
    "OptimizedLSTMCell": _LSTM,
    "SimpleCell": _Cell(("h",), (), ("h", "dense_h")),
    "GRUCell": _Cell(("h",), ("reset", "update"), ("hr", "hz", "hn", "dense_h")),
    "MGUCell": _Cell(("h",), ("forget",), ("hf", "hn")),
}
_FLAX_FILES = ("flax.linen.recurrent", "flax.nnx.nn.recurrent")


def is_linen(obj: Any) -> bool:
    """Return whether `obj` is a Flax Linen module."""
    return is_instance_of(obj, "flax.linen.module", "Module")


def is_nnx(obj: Any) -> bool:
    """Return whether `obj` is a Flax NNX module."""
    return is_instance_of(obj, "flax.nnx.module", "Module")


class FlaxCell(AbstractForeignCell):
    """A cell made of a Flax module that is called as `module(carry, input) -> (carry, output)`.

    The carry is the state; the output is left out. Flax's own recurrent cells are known: their
    shapes are checked, their state and gates named, their recurrent blocks mapped. Any other
    module with this signature works, with `state0=` given. An LSTM's carry is (c, h) in Flax.

    **Arguments:**

    - `module`: a Linen module, or an NNX module (a snapshot of its variables is taken).
    - `variables`: for Linen, the mapping that `module.init` returned; for NNX, leave it out.

    The floating leaves of the field `variables` are the parameters of the cell.

    **Raises:** `TypeError` for anything but a Flax module. `ValueError` if Linen variables are
    missing or malformed; if an NNX module contains a dropout or batch normalization in training
    mode, whose step is not a function of state and input; when called, if the module does not
    return `(carry, output)` with a carry of the state's structure and shapes.

    **Example:**

    >>> import jax, jax.numpy as jnp, flax.linen
    >>> module = flax.linen.GRUCell(features=2)
    >>> h, x = jnp.zeros(2, jnp.float32), jnp.ones(3, jnp.float32)
    >>> cell = FlaxCell(module, module.init(jax.random.key(0), h, x))
    >>> cell(h, x).shape
    (2,)
    """

    variables: PyTree
    definition: Any = eqx.field(static=True)  # Linen module or NNX graph definition
    name: str = eqx.field(static=True)
    known: _Cell | None = eqx.field(static=True)
    carry: tuple[Any, tuple[Any, ...]] | None = eqx.field(static=True)  # structure, shapes

    def __init__(self, module: Any, variables: PyTree = None):
        if is_linen(module):
            self.variables, self.definition = _check_variables(module, variables), module
        elif is_nnx(module):
            self.definition, self.variables = _split(module, variables)
        else:
            raise TypeError(
                "expected a Flax Linen module, FlaxCell(module, variables), or a Flax NNX module, "
                f"FlaxCell(module); got {type(module).__name__}."
            )
        kind = type(module)
        own = kind.__module__ in _FLAX_FILES
        self.name = kind.__name__
        self.known = _KNOWN.get(kind.__name__) if own else None
        self.carry = _carry(module, self.known)

    def __call__(self, state: PyTree, input: PyTree) -> PyTree:
        """Return the new carry."""
        if self.known is not None:
            self._check_shapes(state, input)
        if is_linen(self.definition):
            out = self.definition.apply(self.variables, state, input)
        else:
            # Merged anew at each call, so that nothing leaks from one trace to another.
            out = _nnx().merge(self.definition, _copied(self.variables))(state, input)
        if not isinstance(out, tuple) or len(out) != 2 or _shapes(out[0]) != _shapes(state):
            raise ValueError(
                f"FlaxCell expected {self.name}(carry, input) -> (carry, output) with a carry of "
                f"{_shapes(state)} as it was given; got {_shapes(out)}. Wrap a module of another "
                "signature: FunctionCell(lambda p, state, input: ..., variables)."
            )
        return out[0]

    def initial_state(self) -> PyTree:
        """Return zeros of the carry's shapes; raise ValueError if these are not known."""
        if self.carry is None:
            raise ValueError(f"FlaxCell does not know the carry of {self.name}: pass state0=.")
        structure, leaves = self.carry
        zeros = [jnp.zeros(leaf.shape, leaf.dtype) for leaf in leaves]
        return jax.tree.unflatten(structure, zeros)

    def map_recurrent(self, fn: Callable[[Array], Array]) -> "FlaxCell | None":
        """Return this cell with `fn` applied to each gate's recurrent block; None if not known.

        Flax multiplies from the right, h @ kernel: `fn` receives the transposed blocks, which
        multiply the column h from the left as in every other cell.
        """
        if self.known is None:
            return None
        recurrent = self.known.recurrent

        def map_leaf(path: tuple[Any, ...], leaf: Any) -> Any:
            keys = [key.key for key in path if isinstance(key, jax.tree_util.DictKey)]
            if keys[-1:] == ["kernel"] and keys[-2] in recurrent:
                return map_blocks(fn, jnp.asarray(leaf).T).T
            return leaf

        mapped = jax.tree_util.tree_map_with_path(map_leaf, self.variables)
        return eqx.tree_at(lambda c: c.variables, self, mapped)

    def _check_shapes(self, state: PyTree, input: PyTree) -> None:
        assert self.carry is not None
        self.check_state(state, self.carry[1][0].shape[0])
        if jnp.ndim(input) != 1:
            raise ValueError(
                f"FlaxCell expected input of shape (input_size,); got shape {jnp.shape(input)}. "
                "The call is cell(state, input), one step of one sequence: use jax.vmap for "
                "batches."
            )


def _nnx() -> Any:
    # Loaded already: whoever holds an NNX module has imported it.
    return sys.modules["flax.nnx"]


def _copied(variables: PyTree) -> PyTree:
    # NNX variables are mutable objects; a rebuilt tree shares none of them.
    return jax.tree.map(lambda leaf: leaf, variables)


def _shapes(tree: PyTree) -> str:
    return str(jax.tree.map(jnp.shape, tree))


def _check_variables(module: Any, variables: PyTree) -> PyTree:
    name = type(module).__name__
    how = f"FlaxCell(module, variables) with variables = {name}(...).init(key, carry, input)"
    if variables is None:
        raise ValueError(f"a Linen module does not hold its variables: write {how}.")
    if not isinstance(variables, Mapping) or "params" not in variables:
        came = list(variables) if isinstance(variables, Mapping) else type(variables).__name__
        raise ValueError(f"expected {how}, a mapping with the key 'params'; got {came}.")
    return variables


def _split(module: Any, variables: PyTree) -> tuple[Any, PyTree]:
    if variables is not None:
        raise ValueError("an NNX module holds its own variables: write FlaxCell(module).")
    nnx = _nnx()
    for path, part in nnx.iter_graph(module):
        stochastic = getattr(part, "deterministic", None) is False and getattr(part, "rate", 1) > 0
        if is_nnx(part) and (stochastic or getattr(part, "use_running_average", None) is False):
            where = ".".join(map(str, path)) or "the module itself"
            raise ValueError(
                f"{type(part).__name__} ({where}) is in training mode, so a step is not a function "
                "of state and input: call module.eval() before FlaxCell(module)."
            )
    definition, state = nnx.split(module)
    return definition, _copied(state)


def _carry(module: Any, known: Known | None) -> tuple[Any, tuple[Any, ...]] | None:
    """Return structure and shapes of the carry, or None if they cannot be known."""
    if known is not None:
        size = module.features if is_linen(module) else module.hidden_features
        leaf = jax.ShapeDtypeStruct((size,), module.param_dtype)
        carry: PyTree = leaf if len(known.state_names) == 1 else (leaf, leaf)
    elif is_instance_of(module, "flax.linen.recurrent", "RNNCellBase"):
        # Of the input's shape Flax's convention uses only the batch axes if one axis is features.
        if module.num_feature_axes != 1:
            return None
        carry = jax.eval_shape(lambda k: module.initialize_carry(k, (1,)), jax.random.key(0))
    else:
        return None
    leaves, structure = jax.tree.flatten(carry)
    return structure, tuple(leaves)
