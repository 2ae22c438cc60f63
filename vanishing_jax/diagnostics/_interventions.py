"""What could be changed about a network, each change as data for one compiled program.

An intervention is measured by running the changed cell on the same sequences. Everything an
intervention may change is an array (`InterventionParameters`) or a weight, so that a dozen of them
share one compilation. To add one, append a row to `INTERVENTIONS`.
"""

import dataclasses
import functools as ft
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from .. import _stable
from .._activations import with_activation_rule
from .._types import Array, ArrayLike, PyTree
from ..cells import AbstractCell
from ..cells._wrapper import AbstractPlainWrapper
from ._effects import Intervention

_VALUE = {"tanh": _stable.tanh, "sigmoid": _stable.sigmoid, "relu": jax.nn.relu}
_LARGEST_SLOPE = {"tanh": 1.0, "sigmoid": 0.25, "relu": 1.0}


class InterventionParameters(NamedTuple):
    """The changes to a step that are not changes of weights; one entry per activation.

    - `linear`: replace the derivative by its largest value (the states stay as they are).
    - `normalize`: layer-normalize the pre-activation.
    - `shift`: add to the pre-activation.
    - `new_share`: a in s' = (1 - a) s + a cell(s, x); 1 is the plain cell.
    - `input_scale`: factor on floating inputs.
    """

    linear: Bool[ArrayLike, "activation"]
    normalize: Bool[ArrayLike, "activation"]
    shift: Float[ArrayLike, "activation"]
    new_share: Float[ArrayLike, ""]
    input_scale: Float[ArrayLike, ""]


def activation(kind: str, a: Array, linear: Bool[ArrayLike, ""]) -> Array:
    """Return the activation of `a`; where `linear`, with its largest slope as derivative."""
    value = _VALUE[kind](a)
    slope = jnp.asarray(_LARGEST_SLOPE[kind], a.dtype)
    # The same value, but with the derivative of a straight line: the states do not change.
    straight = jax.lax.stop_gradient(value - slope * a) + slope * a
    return jnp.where(linear, straight, value)


class IntervenedCell(AbstractPlainWrapper):
    """A cell with intervention parameters; neutral ones reproduce the cell."""

    cell: AbstractCell
    parameters: InterventionParameters

    def __call__(self, state: PyTree, input: PyTree) -> PyTree:
        """Return the next state of the changed cell."""
        order = itertools.count()

        def rule(kind, a):
            index = next(order)
            a = self._preactivation(index, a)
            return activation(kind, a, self.parameters.linear[index])

        new = with_activation_rule(self.cell, rule)(state, jax.tree.map(self._scaled, input))
        return jax.tree.map(self._mix, state, new)

    def _preactivation(self, index, a):
        """Return the pre-activation, normalized and shifted as the parameters say."""
        on = self.parameters.normalize[index]
        wide = a.astype(jnp.float32) if jnp.finfo(a.dtype).bits < 32 else a
        # The unused branch sees zeros: its derivative must be finite, else it gives 0 * inf.
        centered = wide - jnp.mean(jnp.where(on, wide, 0))
        variance = jnp.mean(jnp.where(on, centered, 0) ** 2)
        normal = centered * jnp.where(on, jax.lax.rsqrt(variance + 1e-5), 1)
        return normal.astype(a.dtype) + self.parameters.shift[index].astype(a.dtype)

    def _scaled(self, leaf):
        return leaf * self.parameters.input_scale.astype(leaf.dtype) if _inexact(leaf) else leaf

    def _mix(self, old, new):
        if not _inexact(new):
            return new
        # A share of 1 gives the new state to the bit: 0 * old + 1 * new, both finite.
        share = self.parameters.new_share.astype(new.dtype)
        return (1 - share) * old + share * new


def unchanged(cell: AbstractCell, num_activations: int) -> IntervenedCell:
    """Return the cell with neutral intervention parameters."""
    # In NumPy, here and below: each operation of JAX would compile a program of its own.
    off, one = np.zeros(num_activations, bool), np.ones(())
    return IntervenedCell(
        cell, InterventionParameters(off, off, np.zeros(num_activations), one, one)
    )


def same_states(one: IntervenedCell, other: IntervenedCell) -> bool:
    """Say whether both cells pass through the same states: only derivatives differ."""
    # `linear` changes derivatives only, so both are compared with it set alike.
    alike = one.parameters._replace(linear=other.parameters.linear)
    equal = map(np.array_equal, alike, other.parameters)
    return one.cell is other.cell and all(equal)


@dataclasses.dataclass(frozen=True)
class Target:
    """The cell to intervene on and what is known of its activations."""

    cell: AbstractCell
    kinds: tuple[str, ...]
    names: tuple[str, ...]
    is_gate: tuple[bool, ...]
    has_floating_input: bool

    def neutral(self) -> IntervenedCell:
        """Return the cell with neutral intervention parameters."""
        return unchanged(self.cell, len(self.kinds))


def interventions(target: Target) -> list[Intervention]:
    """Return every intervention for this cell, the gate biases included."""
    return [*INTERVENTIONS, *_gate_interventions(target)]


def _modified(target, **changes) -> IntervenedCell:
    neutral = target.neutral()
    return IntervenedCell(neutral.cell, neutral.parameters._replace(**changes))


def _linear(target):
    # A gate's slope is its function: what it lets through is not to be called saturation.
    mask = ~np.array(target.is_gate, bool)
    if not mask.any():
        return "no activation other than gates was recognized"
    return _modified(target, linear=mask)


def _normalized(target):
    if not target.kinds:
        return "no activation was recognized"
    return _modified(target, normalize=np.ones(len(target.kinds), bool))


def _without_input(target):
    if not target.has_floating_input:
        return "the inputs are not floating numbers that could be set to 0"
    return _modified(target, input_scale=np.zeros(()))


def _leaky(share):
    return lambda target: _modified(target, new_share=np.asarray(share))


def _recurrent(fn):
    def apply(target):
        changed = target.cell.map_recurrent(fn)
        if changed is None:
            return "the cell does not say which of its weights are recurrent"
        return IntervenedCell(changed, target.neutral().parameters)

    return apply


def _nearest_orthogonal(W):
    U, _, Vt = np.linalg.svd(np.asarray(W, np.float64))
    return (U @ Vt).astype(W.dtype)


def _scale(factor):
    return lambda W: np.asarray(W) * np.asarray(factor, W.dtype)


INTERVENTIONS: list[Intervention] = [
    Intervention(
        "activation linearized",
        "the derivative of every activation (gates apart) replaced by its largest value, at the "
        "same states",
        "cause", "slopes of the activation below their maximum", True, _linear,
    ),
    Intervention(
        "input removed", "the same network run on zero input",
        "cause", "the input", False, _without_input,
    ),
    Intervention(
        "orthogonal recurrent weights",
        "each recurrent block replaced by the nearest orthogonal matrix",
        "remedy", "recurrent weights away from orthogonal", False, _recurrent(_nearest_orthogonal),
    ),
    Intervention(
        "recurrent weights x 1.5", "each recurrent block multiplied by 1.5",
        "remedy", "recurrent weights too small", False, _recurrent(_scale(1.5)),
    ),
    Intervention(
        "recurrent weights x 0.7", "each recurrent block multiplied by 0.7",
        "remedy", "recurrent weights too large", False, _recurrent(_scale(0.7)),
    ),
    Intervention(
        "LayerNorm on pre-activations",
        "every pre-activation (joint sum, per gate, bias included) normalized to mean 0 and "
        "variance 1 over units",
        "remedy", "scale of the pre-activations", False, _normalized,
    ),
    Intervention(
        "leaky skip, a = 0.1", "s' = 0.9 s + 0.1 cell(s, x): a skip connection through time",
        "remedy", None, False, _leaky(0.1),
    ),
]  # fmt: skip


def _gate_interventions(target):
    # Sigmoids alone that no cell calls gates are the units of a plain network.
    if set(target.kinds) == {"sigmoid"} and not any(target.is_gate):
        return []
    return [
        Intervention(
            f"{name} bias {shift:+g}", f"the bias of the {name} changed by {shift:+g}",
            "remedy", f"{name} too {'closed' if shift > 0 else 'open'}", False,
            ft.partial(_shifted, index=index, shift=shift),
        )
        for index, (kind, name) in enumerate(zip(target.kinds, target.names, strict=True))
        if kind == "sigmoid"
        for shift in (2.0, -2.0)
    ]  # fmt: skip


def _shifted(target, index, shift):
    return _modified(target, shift=np.where(np.arange(len(target.kinds)) == index, shift, 0.0))


def _inexact(leaf):
    return jnp.issubdtype(leaf.dtype, jnp.inexact)
