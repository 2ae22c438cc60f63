"""Cells that are affine in their state, component by component: linear recurrences."""

import abc
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Bool, Inexact

from .._types import Array, PyTree
from ._base import AbstractCell
from ._weights import check_vector, floating_dtype


class AbstractDiagonalCell(AbstractCell):
    r"""A cell $h' = a(x) \odot h + b(x)$ whose state is one vector, real or complex.

    A subclass says what a and b are, and which state a sequence starts from. All else follows: the
    Jacobian is diag(a), a product of them the product of the a, and neither depends on the state.
    So whoever runs whole sequences may compute a and b of all steps at once and then solve the
    recurrence by any method (`associative_states`). There is no recurrent matrix for
    `map_recurrent` to change.
    """

    state_names: ClassVar[tuple[str, ...]] = ("h",)

    @abc.abstractmethod
    def affine_step(
        self, input: PyTree
    ) -> tuple[Inexact[Array, "hidden"], Inexact[Array, "hidden"]]:
        """Return (a, b), both of the state's shape and dtype."""

    @abc.abstractmethod
    def initial_state(self) -> Inexact[Array, "hidden"]:
        """Return h = 0."""

    def __call__(self, state: PyTree, input: PyTree) -> Inexact[Array, "hidden"]:
        """Return the next h."""
        a, b = self.affine_step(input)
        check_vector(type(self).__name__, "state", state, a.size)
        return a * jnp.asarray(state) + b

    def map_recurrent(self, fn: Callable[[Array], Array]) -> None:
        """Return None: the recurrent weights are no matrix."""
        return None


def associative_states(
    cell: AbstractCell,
    state0: Inexact[Array, "hidden"],
    inputs: PyTree,
    mask: Bool[Array, "time"] | None = None,
) -> Inexact[Array, "time hidden"]:
    """Return the states h_1..h_T by a parallel scan: O(log T) stages, of O(T) work together.

    Two steps in a row are one, h -> a2 (a1 h + b1) + b2, and this is associative. Where `mask` is
    False the state stays. Equal to the scan to rounding for |a| <= 1; products of a that overflow
    give NaN.
    """
    if not isinstance(cell, AbstractDiagonalCell):
        raise TypeError(
            "expected method='scan' for a cell that is not affine and diagonal in its state; got "
            f"method='associative' for {type(cell).__name__}. It is for LRUCell, S4DCell, "
            "SelectiveCell, MinGRUCell and MinLSTMCell."
        )
    a, b = jax.vmap(cell.affine_step)(inputs)
    if mask is not None:
        a, b = (jnp.where(mask[:, None], x, jnp.asarray(y, x.dtype)) for x, y in ((a, 1), (b, 0)))
    b = b.at[0].add(a[0] * state0)

    def after(first, second):
        (a1, b1), (a2, b2) = first, second
        return a2 * a1, a2 * b1 + b2

    return jax.lax.associative_scan(after, (a, b))[1]


def part_dtype(dtype: Any) -> Any:
    """Return the dtype of the real part of a complex state, JAX's default for None."""
    dtype = floating_dtype(dtype)
    if jnp.finfo(dtype).bits < 32:
        raise ValueError(
            f"expected float32 or float64: there are no complex numbers of two {jnp.dtype(dtype)}."
        )
    return dtype


def complex_zeros(size: int, dtype: Any) -> Inexact[Array, "hidden"]:
    """Return complex zeros whose parts have this dtype."""
    part = jnp.zeros(size, dtype)
    return lax.complex(part, part)


def times_real(z: Inexact[Array, "*shape"], x: Any) -> Inexact[Array, "*shape"]:
    """Return complex z times real x, entry by entry."""
    return lax.complex(z.real * x, z.imag * x)


def check_range(name: str, low: float, high: float) -> None:
    """Check the ends of a range of time steps."""
    if not 0 < low <= high:
        raise ValueError(f"expected 0 < {name}_min <= {name}_max; got {low} and {high}.")
