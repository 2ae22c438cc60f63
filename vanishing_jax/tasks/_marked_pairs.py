"""Two marked numbers among many: the adding and the multiplication problem."""

import abc
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Float, Int

from .._types import Array, Key, PyTree
from ._base import AbstractDescribedTask
from ._draws import check_at_least, check_variant, integer, shortest_length, uniform
from ._padded import pack, values_of

# Where the two markers are (the docstring of `Adding` says how each places them), and the length
# without which there is no room for them.
_LEAST = {"le": 2, "bai": 2, "pascanu": 10, "hochreiter": 24}


class Chances(NamedTuple):
    """How often a marked number is known without memory, or fixed."""

    last: float  # the second number (or, of two, one) is the last input
    neutral: float  # a marked number is the first input and replaced by the neutral one


class AbstractMarkedPairs(AbstractDescribedTask):
    """A task that asks for some function of two marked numbers, uniform in [low, 1).

    `neutral` takes the place of a marked number that comes first, in variant "hochreiter".
    """

    variant: str = eqx.field(static=True)
    low: float = eqx.field(static=True)
    neutral: float = eqx.field(static=True)

    def _describe_pairs(
        self, problem: str, length: int, variant: str, *, low: float, neutral: float
    ) -> None:
        check_variant(variant, _LEAST)
        check_at_least("length", length, _LEAST[variant], f"for the markers of variant {variant!r}")
        self.variant, self.low, self.neutral = variant, low, neutral
        name = problem if variant == "le" else f"{problem} {variant}"
        baseline = self._baseline(_chances(length, variant))
        within = f"share within {self._tolerance}"
        self._describe(name, length, sizes=(2, 1), baseline=baseline, metric_name=within)

    @property
    def _tolerance(self) -> float:
        """How far off an output may be and still count as right."""
        return 0.2 if self.variant == "pascanu" else 0.04  # Pascanu et al.: a squared error of 0.04

    @abc.abstractmethod
    def _baseline(self, chances: Chances) -> float:
        """Return the squared error of the best memoryless model."""

    @abc.abstractmethod
    def _target(self, first: Float[Array, " batch"], second: Float[Array, " batch"]) -> Array:
        """Return what is asked for."""

    @eqx.filter_jit
    def sample(self, key: Key, batch_size: int) -> tuple[PyTree, PyTree]:
        """Return (inputs, targets): `batch time 2` and `batch`, or both `Padded`."""
        u = uniform(key, batch_size, self.length + 3)
        numbers, spare = self.low + (1 - self.low) * u[:, : self.length], u[:, self.length :]
        ends = integer(spare[:, 2], shortest_length(self.length), self.length + 1)
        first, second = _positions(spare, self.length, self.variant, ends)
        steps = jnp.arange(self.length, dtype=jnp.int32)[None]
        marked = (steps == first[:, None]) | (steps == second[:, None])
        markers = marked.astype(u.dtype)
        if self.variant == "hochreiter":
            neutral = jnp.asarray(self.neutral, u.dtype)
            numbers = jnp.where(marked & (steps == 0), neutral, numbers)
            edge = (steps == 0) | (steps == ends[:, None] - 1)
            markers = jnp.where(edge, -jnp.ones((), u.dtype), markers)
        padded = self.variant in ("pascanu", "hochreiter")
        if padded:
            inside, zero = steps < ends[:, None], jnp.zeros((), u.dtype)
            numbers, markers = (jnp.where(inside, x, zero) for x in (numbers, markers))

        def at(index: Int[Array, " batch"]) -> Array:
            return jnp.take_along_axis(numbers, index[:, None], axis=1)[:, 0]

        targets = self._target(at(first), at(second))
        return pack(jnp.stack([numbers, markers], axis=-1), targets, ends if padded else None)

    def loss(self, outputs: Float[Array, "*batch 1"], targets: PyTree) -> Array:
        """Return the mean squared error."""
        return jnp.square(outputs[..., 0] - values_of(targets)).mean()

    def metric(self, outputs: Float[Array, "*batch 1"], targets: PyTree) -> Array:
        """Return the share of sequences whose output is close enough to the target."""
        error = jnp.abs(outputs[..., 0] - values_of(targets))
        return (error < self._tolerance).astype(outputs.dtype).mean()


def _chances(length: int, variant: str) -> Chances:
    """Return the chances from which baselines are made."""
    if variant == "le":
        return Chances(1 / (length - length // 2), 0.0)
    if variant == "bai":
        return Chances(2 / length, 0.0)
    if variant == "pascanu":
        return Chances(0.0, 0.0)
    return Chances(0.0, 0.1 + 0.9 / (shortest_length(length) // 2 - 2))


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
