"""Layers that do the same with other numbers, as one program with the numbers as data.

Ten functions `lambda x: jnp.tanh(W @ x)`, each with a W of its own in its closure, are ten programs
to JAX, each compiled by itself. Traced, they differ in their constants alone. `shared_layers` finds
that out and gives layers that carry their constants as arrays and share what is compiled.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.core import Tracer
from jax.extend import core as jex

from ._activations import with_activation_rule
from ._tree import state_layout
from ._types import PyTree

# Programs of layers seen before, so that other weights compile nothing either.
_KNOWN: dict[tuple, "_Program"] = {}
_MOST_KNOWN = 256


class _Program:
    """What a layer computes from its parameters, its other constants and its input.

    Equal to itself alone, so that it is a static part of what is compiled.
    """

    def __init__(self, jaxpr: Any, output: Any):
        self.jaxpr, self.output = jaxpr, output

    def __call__(self, constants: Sequence, parameters: Sequence, x: PyTree) -> PyTree:
        leaves = [*parameters, *jax.tree.leaves(x)]
        run = jex.jaxpr_as_fun(jex.ClosedJaxpr(self.jaxpr, constants))
        return jax.tree.unflatten(self.output, run(*leaves))


class SharedLayer(eqx.Module):
    """A layer as a program that it shares with others.

    - `parameters`: its floating leaves; `constants`: the other arrays that its function reads,
      those in closures, which training does not change.
    """

    parameters: tuple
    constants: tuple
    program: _Program = eqx.field(static=True)

    def __call__(self, x: PyTree) -> PyTree:
        """Return the layer's output."""
        return self.program(jax.lax.stop_gradient(self.constants), self.parameters, x)


def shared_layers(layers: Sequence[Callable], inputs: Sequence[PyTree]) -> list[Callable]:
    """Return the layers with those of one program sharing it, given the shapes of their inputs.

    Two layers share a program if their traces, and those of their derivatives, are equal up to
    the constants. A layer of which that cannot be said (it calls back into Python, has no
    derivative in either mode, or is traced from outside) stays what it is.
    """
    found: dict[Any, tuple[tuple, _Program] | None] = {}
    return [_shared(layer, x, found) for layer, x in zip(layers, inputs, strict=True)]


def _shared(layer: Callable, x: PyTree, found: dict) -> Callable:
    floating, static = eqx.partition(layer, eqx.is_inexact_array)
    # Flat: the structure of a Partial holds a function, another one for each layer.
    parameters, structure = jax.tree.flatten(floating)
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((parameters, static, x))):
        return layer
    input = jax.tree.structure(x), *_kinds(jax.tree.leaves(x))
    code = _code(layer, structure, static), _kinds(parameters), input
    if code not in found:
        found[code] = _program(structure, static, parameters, x)
    known = found[code]
    return layer if known is None else SharedLayer(tuple(parameters), *known)


def _code(layer: Callable, structure: Any, static: PyTree) -> Any:
    """Return what tells the code of a layer from that of others: all but its floating arrays."""
    leaves, rest = jax.tree.flatten(static)
    if any(eqx.is_array(leaf) for leaf in leaves):  # whose values count
        return id(layer)
    code = structure, rest, *leaves
    try:
        hash(code)
    except TypeError:  # a field that has no hash
        return id(layer)
    return code


def _kinds(leaves: Sequence) -> tuple:
    return tuple((np.shape(leaf), str(leaf.dtype)) for leaf in leaves)


def _program(structure, static, parameters, x) -> tuple[tuple, _Program] | None:
    """Return the constants and the program of a layer, that of an earlier one if they agree."""
    output: list[Any] = []

    def run(parameters, x):
        y = eqx.combine(jax.tree.unflatten(structure, parameters), static)(x)
        output[:] = [jax.tree.structure(y)]
        return jax.tree.leaves(y)

    # Interpreted once: the constants of inner functions under `jit` become those of the trace.
    closed = jax.make_jaxpr(with_activation_rule(run, _as_it_is))(parameters, x)
    derivative = _derivative(closed, output[0], parameters, x)
    if derivative is None or any(isinstance(c, Tracer) for c in closed.consts):
        return None
    key = (_text(closed), _text(derivative), jax.tree.structure(x), output[0])
    key += _kinds(parameters), _kinds(closed.consts)
    if "callback" in key[0][0]:
        return None
    if key not in _KNOWN:
        if len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.clear()
        _KNOWN[key] = _Program(closed.jaxpr, output[0])
    return tuple(closed.consts), _KNOWN[key]


def _as_it_is(kind: str, preactivation: Any) -> Any:
    return NotImplemented


def _derivative(closed: Any, output: Any, parameters: Sequence, x: PyTree) -> Any:
    """Return the traced derivative, which custom rules are a part of; None if there is none."""
    layout, run = state_layout(x), jex.jaxpr_as_fun(closed)

    def vectors(parameters, vector):
        leaves = jax.tree.leaves(layout.unravel(vector, x))
        y = jax.tree.unflatten(output, run(*parameters, *leaves))
        return state_layout(y).ravel(y)

    def backward(parameters, x):
        out, pull = jax.vjp(vectors, parameters, layout.ravel(x))
        return pull(out)

    def forward(parameters, x):
        vector = layout.ravel(x)
        return jax.jvp(lambda v: vectors(parameters, v), (vector,), (vector,))

    for derivative in (backward, forward):
        try:
            return jax.make_jaxpr(derivative)(parameters, x)
        except (TypeError, ValueError):  # the mode that a loop or a custom rule does not have
            continue
    return None


def _text(closed: Any) -> tuple[str, str]:
    """Return a trace without the values of its constants, and a digest of the values inside it.

    Functions of custom rules print as addresses; what they do is in the trace of the derivative.
    """
    digest = hashlib.sha256()
    for value in _values(closed.jaxpr):
        digest.update(np.asarray(value).tobytes())
    return re.sub("0x[0-9a-f]+", "", str(closed.jaxpr)), digest.hexdigest()


def _values(jaxpr: Any) -> Iterator[Any]:
    """Yield every number that is written into a trace, in order, inner ones included."""
    for equation in jaxpr.eqns:
        yield from (v.val for v in equation.invars if isinstance(v, jex.Literal))
        for parameter in equation.params.values():
            several = parameter if isinstance(parameter, tuple | list) else (parameter,)
            for one in several:
                if isinstance(one, jex.ClosedJaxpr):
                    yield from one.consts
                    yield from _values(one.jaxpr)
                elif isinstance(one, jex.Jaxpr):
                    yield from _values(one)
                elif isinstance(one, np.ndarray | jax.Array):
                    yield one
    yield from (v.val for v in jaxpr.outvars if isinstance(v, jex.Literal))
