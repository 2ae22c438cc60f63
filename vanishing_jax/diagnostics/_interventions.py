"""What could be changed about a network, each change as data for one compiled program.

An intervention is measured by running the changed cell on the same sequences. Everything an
intervention may change is an array (`Knobs`) or a weight, so that a dozen of them share one
compilation. To add one, append a row to `INTERVENTIONS`.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from .. import _stable
from .._activations import with_activation_rule
from .._types import Array, PyTree
from ..cells import AbstractCell

_VALUE = {"tanh": _stable.tanh, "sigmoid": _stable.sigmoid, "relu": jax.nn.relu}
_LARGEST_SLOPE = {"tanh": 1.0, "sigmoid": 0.25, "relu": 1.0}


class Knobs(NamedTuple):
    """The changes to a step that are not changes of weights; one entry per activation.

    - `linear`: replace the derivative by its largest value (the states stay as they are).
    - `normalize`: layer-normalize the pre-activation.
    - `shift`: add to the pre-activation.
    - `new_share`: a in s' = (1 - a) s + a cell(s, x); 1 is the plain cell.
    - `input_scale`: factor on floating inputs.
    """

    linear: Bool[Array, "activation"]
    normalize: Bool[Array, "activation"]
    shift: Float[Array, "activation"]
    new_share: Float[Array, ""]
    input_scale: Float[Array, ""]


class IntervenedCell(AbstractCell):
    """A cell with its knobs turned; neutral knobs reproduce the cell."""

    cell: AbstractCell
    knobs: Knobs

    def __call__(self, state: PyTree, input: PyTree) -> PyTree:
        """Return the next state of the changed cell."""
        counter = iter(range(len(self.knobs.linear)))

        def rule(kind, preactivation):
            return self._activation(next(counter), kind, preactivation)

        input = jax.tree.map(self._scaled, input)
        new = with_activation_rule(self.cell, rule)(state, input)
        return jax.tree.map(self._mix, state, new)

    def _activation(self, index, kind, a):
        knobs = self.knobs
        # Two selections: the unused branch must have a finite derivative, else it gives 0 * inf.
        normalize = knobs.normalize[index]
        harmless = jnp.linspace(-1, 1, a.size, dtype=a.dtype).reshape(a.shape)
        a = jnp.where(normalize, _layer_norm(jnp.where(normalize, a, harmless)), a)
        a = a + knobs.shift[index].astype(a.dtype)
        value = _VALUE[kind](a)
        slope = jnp.asarray(_LARGEST_SLOPE[kind], a.dtype)
        # The same value, but with the derivative of a straight line.
        straight = jax.lax.stop_gradient(value - slope * a) + slope * a
        return jnp.where(knobs.linear[index], straight, value)

    def _scaled(self, leaf):
        return leaf * self.knobs.input_scale.astype(leaf.dtype) if _inexact(leaf) else leaf

    def _mix(self, old, new):
        if not _inexact(new):
            return new
        share = self.knobs.new_share.astype(new.dtype)
        return (1 - share) * old + share * new

    def initial_state(self) -> PyTree:
        """Return the initial state of the cell inside."""
        return self.cell.initial_state()

    @property
    def state_names(self) -> tuple[str, ...] | None:
        """Names of the state's leaves."""
        return self.cell.state_names

    @property
    def gate_names(self) -> tuple[str, ...]:
        """Names of the gates."""
        return self.cell.gate_names

    def map_recurrent(self, fn: Callable[[Array], Array]) -> AbstractCell | None:
        """Return the same knobs around the changed cell, or None."""
        changed = self.cell.map_recurrent(fn)
        return None if changed is None else IntervenedCell(changed, self.knobs)


@dataclasses.dataclass(frozen=True)
class Subject:
    """The cell to intervene on and what is known of its activations."""

    cell: AbstractCell
    kinds: tuple[str, ...]
    names: tuple[str, ...]
    is_gate: tuple[bool, ...]
    has_floating_input: bool

    def neutral(self) -> IntervenedCell:
        """Return the cell with every knob at rest."""
        off = jnp.zeros(len(self.kinds), bool)
        one = jnp.ones(())
        return IntervenedCell(self.cell, Knobs(off, off, jnp.zeros(len(self.kinds)), one, one))

    def where(self, gates: bool) -> np.ndarray:
        """Return a mask of the activations that are (or are not) gates."""
        return np.array([gate == gates for gate in self.is_gate], bool)


class Intervention(NamedTuple):
    """One change, and what it blames if it helps.

    - `kind`: "remedy" if one can build the changed network, "cause" if it is a thought experiment.
    - `blames`: the cause that the change removes, in words; None if it removes none.
    - `is_bound`: whether it is the extreme case of a cause, which may overshoot.
    - `apply`: returns the changed cell, or a sentence that says why it does not apply.
    """

    name: str
    description: str
    kind: str
    blames: str | None
    is_bound: bool
    apply: Callable[[Subject], IntervenedCell | str]


def interventions(subject: Subject) -> list[Intervention]:
    """Return every intervention for this cell, the gate biases included."""
    return [*INTERVENTIONS, *_gate_interventions(subject)]


def _turn(subject, **changes) -> IntervenedCell:
    neutral = subject.neutral()
    return IntervenedCell(neutral.cell, neutral.knobs._replace(**changes))


def _linear(subject):
    mask = subject.where(gates=False)
    if not mask.any():
        return "no activation other than gates was recognized"
    return _turn(subject, linear=jnp.asarray(mask))


def _normalized(subject):
    if not subject.kinds:
        return "no activation was recognized"
    return _turn(subject, normalize=jnp.ones(len(subject.kinds), bool))


def _without_input(subject):
    if not subject.has_floating_input:
        return "the inputs are not floating numbers that could be set to 0"
    return _turn(subject, input_scale=jnp.zeros(()))


def _leaky(share):
    # Of the dtype that a neutral knob has: jnp.asarray(0.1) is weakly typed, another compilation.
    return lambda subject: _turn(subject, new_share=share * jnp.ones(()))


def _recurrent(fn):
    def apply(subject):
        changed = subject.cell.map_recurrent(fn)
        if changed is None:
            return "the cell does not say which of its weights are recurrent"
        return eqx.tree_at(lambda c: c.cell, subject.neutral(), changed)

    return apply


def _nearest_orthogonal(W):
    U, _, Vt = np.linalg.svd(np.asarray(W, np.float64))
    return jnp.asarray(U @ Vt, W.dtype)


def _scale(factor):
    return lambda W: W * jnp.asarray(factor, W.dtype)


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


def _gate_interventions(subject):
    rows = []
    for index, (kind, name) in enumerate(zip(subject.kinds, subject.names, strict=True)):
        lone = kind == "sigmoid" and set(subject.kinds) == {"sigmoid"} and not any(subject.is_gate)
        if kind != "sigmoid" or lone:
            continue
        for shift in (2.0, -2.0):
            blames = f"{name} too {'closed' if shift > 0 else 'open'}"
            description = f"the bias of the {name} changed by {shift:+g}"
            apply = _shifted(index, shift)
            title = f"{name} bias {shift:+g}"
            rows.append(Intervention(title, description, "remedy", blames, False, apply))
    return rows


def _shifted(index, shift):
    def apply(subject):
        return _turn(subject, shift=jnp.zeros(len(subject.kinds)).at[index].set(shift))

    return apply


def _layer_norm(a):
    wide = a.astype(jnp.float32) if jnp.finfo(a.dtype).bits < 32 else a
    centered = wide - jnp.mean(wide)
    return (centered / jnp.sqrt(jnp.mean(centered**2) + 1e-5)).astype(a.dtype)


def _inexact(leaf):
    return jnp.issubdtype(leaf.dtype, jnp.inexact)
