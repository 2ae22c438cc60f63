"""Two marked numbers among many: the inputs of the adding and the multiplication problem."""

import abc
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Float, Int

from .._types import Array, Key, PyTree
from ._base import AbstractTask
from ._draws import check_at_least, check_variant, integer, shortest_length, uniform
from ._padded import Padded
from ._scores import share_within, squared_error

VARIANTS = ("le", "bai", "pascanu", "hochreiter")
"""Where the two markers are; the docstring of `Adding` says how each places them."""

_LEAST = {"le": 2, "bai": 2, "pascanu": 10, "hochreiter": 24}


class MarkedPairs(NamedTuple):
    """A batch of sequences of (number, marker), and the two marked numbers."""

    inputs: Float[Array, "batch time 2"]
    first: Float[Array, " batch"]
    second: Float[Array, " batch"]
    length: Int[Array, " batch"] | None  # None: all are equally long


class Chances(NamedTuple):
    """How often a marked number is known without memory, or fixed."""

    last: float  # the second number (or, of two, one) is the last input
    neutral: float  # a marked number is the first input and replaced by the neutral one


class AbstractMarkedPairs(AbstractTask):
    """A task that asks for some function of the two marked numbers."""

    length: int = eqx.field(static=True)
    variant: str = eqx.field(static=True)
    name: str = eqx.field(static=True)
    metric_name: str = eqx.field(static=True)
    baseline: float = eqx.field(static=True)
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)
    every_step: bool = eqx.field(static=True)

    def _describe(self, problem: str, length: int, variant: str) -> None:
        """Set all fields: what a subclass's `__init__` does."""
        check(length, variant)
        self.length, self.variant = length, variant
        self.name = problem if variant == "le" else f"{problem} {variant}"
        self.metric_name = f"share within {tolerance(variant)}"
        self.baseline = self._baseline(chances(length, variant))
        self.input_size, self.output_size, self.every_step = 2, 1, False

    @abc.abstractmethod
    def _baseline(self, chances: Chances) -> float:
        """Return the squared error of the best memoryless model."""

    def loss(self, outputs: Float[Array, "*batch 1"], targets: PyTree) -> Array:
        """Return the mean squared error."""
        return squared_error(outputs, targets)

    def metric(self, outputs: Float[Array, "*batch 1"], targets: PyTree) -> Array:
        """Return the share of sequences whose output is close enough to the target."""
        return share_within(outputs, targets, tolerance(self.variant))


def check(length: int, variant: str) -> None:
    """Raise ValueError for an unknown variant, or a length that leaves no room for its markers."""
    check_variant(variant, VARIANTS)
    check_at_least("length", length, _LEAST[variant], f"for the markers of variant {variant!r}")


def chances(length: int, variant: str) -> Chances:
    """Return the chances from which baselines are made."""
    if variant == "le":
        return Chances(1 / (length - length // 2), 0.0)
    if variant == "bai":
        return Chances(2 / length, 0.0)
    if variant == "pascanu":
        return Chances(0.0, 0.0)
    return Chances(0.0, 0.1 + 0.9 / (shortest_length(length) // 2 - 2))


def draw(
    key: Key, batch_size: int, length: int, variant: str, *, low: float, neutral: float
) -> MarkedPairs:
    """Return sequences of numbers in [low, 1) with two of them marked.

    `neutral` takes the place of a marked number that comes first, in variant "hochreiter".
    """
    u = uniform(key, batch_size, length + 3)
    numbers, spare = low + (1 - low) * u[:, :length], u[:, length:]
    ends = integer(spare[:, 2], shortest_length(length), length + 1)
    padded = variant in ("pascanu", "hochreiter")
    first, second = _positions(spare, length, variant, ends)
    steps = jnp.arange(length, dtype=jnp.int32)[None]
    marked = (steps == first[:, None]) | (steps == second[:, None])
    markers = marked.astype(u.dtype)
    if variant == "hochreiter":
        numbers = jnp.where(marked & (steps == 0), jnp.asarray(neutral, u.dtype), numbers)
        edge = (steps == 0) | (steps == ends[:, None] - 1)
        markers = jnp.where(edge, -jnp.ones((), u.dtype), markers)
    if padded:
        numbers, markers = (
            jnp.where(steps < ends[:, None], x, jnp.zeros((), u.dtype)) for x in (numbers, markers)
        )

    def at(index):
        return jnp.take_along_axis(numbers, index[:, None], axis=1)[:, 0]

    inputs = jnp.stack([numbers, markers], axis=-1)
    return MarkedPairs(inputs, at(first), at(second), ends if padded else None)


def _positions(spare, length, variant, ends) -> tuple[Array, Array]:
    """Return the indices of the two markers."""
    if variant == "le":
        half = length // 2
        return integer(spare[:, 0], 0, half), integer(spare[:, 1], half, length)
    if variant == "pascanu":
        tenth, half = ends // 10, ends // 2
        return integer(spare[:, 0], 0, tenth), integer(spare[:, 1], tenth, half)
    among = length if variant == "bai" else shortest_length(length) // 2 - 1
    first = integer(spare[:, 0], 0, length if variant == "bai" else 10)
    second = integer(spare[:, 1], 0, among - 1)
    return first, second + (second >= first).astype(second.dtype)  # one of those still unmarked


def pack(pairs: MarkedPairs, targets: Float[Array, " batch"]) -> tuple[PyTree, PyTree]:
    """Return inputs and targets, with their lengths where these differ."""
    if pairs.length is None:
        return pairs.inputs, targets
    return Padded(pairs.inputs, pairs.length), Padded(targets, pairs.length)


def tolerance(variant: str) -> float:
    """Return how far off an output may be and still count as right."""
    return 0.2 if variant == "pascanu" else 0.04  # Pascanu et al.: a squared error of 0.04
