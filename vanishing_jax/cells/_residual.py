"""A skip connection through time: the state plus what a cell makes of it."""

import math
from typing import Any

import equinox as eqx

from .._types import PyTree
from ._as_cell import as_cell
from ._base import AbstractCell
from ._statistics import mix_states
from ._wrapper import AbstractPlainWrapper


class ResidualCell(AbstractPlainWrapper):
    r"""A residual connection through time around any cell: $s' = s + \epsilon f(s, x)$.

    With a `VanillaCell` inside, $h' = h + \epsilon \phi(W h + U x + b)$. The Jacobian is
    $I + \epsilon J_f$, so every exponent per step is at most $\ln(1 + \epsilon \|J_f\|_2)$ and the
    gradient has a path that no factor shrinks. Nothing bounds the state: with tanh inside it grows
    by up to $\epsilon$ a step. `LeakyCell` forgets as fast as it adds.

    **Arguments:**

    - `cell`: the cell inside, anything that `as_cell` takes.
    - `scale`: $\epsilon$, a fixed number; 1 by default. It is part of the compiled program.

    **Raises:** `ValueError` for a scale that is 0 or not finite.

    **Example:**

    >>> import jax, jax.numpy as jnp
    >>> from vanishing_jax.cells import ResidualCell, VanillaCell
    >>> cell = ResidualCell(VanillaCell(3, 5, key=jax.random.key(0)), scale=0.1)
    >>> cell(jnp.ones(5), jnp.zeros(3)).shape
    (5,)

    ??? cite "Reference"
        ```bibtex
        @inproceedings{he2016deep, title={Deep residual learning for image recognition},
          author={He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian},
          booktitle={CVPR}, year={2016}}
        ```
    """

    cell: AbstractCell
    scale: float = eqx.field(static=True)

    def __init__(self, cell: Any, scale: float = 1.0):
        if not math.isfinite(scale) or scale == 0:
            raise ValueError(f"expected a finite scale other than 0; got {scale}.")
        self.cell, self.scale = as_cell(cell), float(scale)

    def __call__(self, state: PyTree, input: PyTree) -> PyTree:
        """Return the state plus `scale` times the cell's next state."""
        return mix_states(lambda old, new: old + self.scale * new, state, self.cell(state, input))
