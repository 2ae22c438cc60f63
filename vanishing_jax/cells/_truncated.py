"""Truncated back-propagation through time."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Array, PyTree
from ._as_cell import as_cell
from ._base import AbstractCell
from ._statistics import differentiable
from ._weights import check_sizes
from ._wrapper import AbstractCountingWrapper


class TruncatedCell(AbstractCountingWrapper):
    r"""A cell through which no gradient travels further back than the last multiple of K steps.

    The sequence falls into blocks of K steps. Forward it is the cell inside; at the start of each
    block but the first the incoming state is a constant to differentiation. A loss at step t feels
    what happened since its block began, 1 to K steps; contributions of lag K or more are exactly 0,
    and some of a smaller lag, across a boundary, too. With $K \ge T$ the gradient is that of full
    back-propagation, bit for bit. The gradient is biased and costs the same time: this is the
    objective that stateful training on chunks of K steps follows, for study.

    Derivatives of either mode see it: the Jacobian of the first step of a block is 0, so `diagnose`
    the cell inside.

    The state is the pair (state of the cell inside, number of steps done: int32).

    **Arguments:**

    - `cell`: the cell inside, anything that `as_cell` takes.
    - `steps`: K, at least 1.

    **Raises:** `ValueError` for `steps` below 1; when called, for a state that is no pair.

    **Example:**

    >>> import jax, jax.numpy as jnp
    >>> from vanishing_jax.cells import TruncatedCell, VanillaCell
    >>> cell = TruncatedCell(VanillaCell(3, 5, key=jax.random.key(0)), steps=20)
    >>> h, step = cell(cell.initial_state(), jnp.ones(3))
    >>> step.item()
    1

    ??? cite "Reference"
        ```bibtex
        @article{williams1990efficient, title={An efficient gradient-based algorithm for on-line
          training of recurrent network trajectories}, author={Williams, Ronald J. and Peng, Jing},
          journal={Neural Computation}, volume={2}, number={4}, pages={490--501}, year={1990}}
        ```
    """

    cell: AbstractCell
    steps: int = eqx.field(static=True)

    def __init__(self, cell: Any, steps: int):
        check_sizes(steps=steps)
        self.cell, self.steps = as_cell(cell), int(steps)

    def __call__(self, state: PyTree, input: PyTree) -> tuple[PyTree, Array]:
        """Return (the cell's next state, number of steps done)."""
        inner, step = self.parts(state)
        floating, rest = differentiable(inner)
        cut = (step > 0) & (step % self.steps == 0)
        # A selection, not a product with 0 or 1: an infinite gradient is cut, too.
        floating = jax.tree.map(
            lambda leaf: jnp.where(cut, jax.lax.stop_gradient(leaf), leaf), floating
        )
        return self.cell(eqx.combine(floating, rest), input), step + jnp.ones_like(step)
