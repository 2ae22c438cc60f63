"""Skips through time: the state and what a cell makes of it, in a weighted mean or a sum."""

import math
from typing import Any

import equinox as eqx

from .._types import PyTree
from ._as_cell import as_cell
from ._base import AbstractCell
from ._statistics import mix_states
from ._wrapper import AbstractPlainWrapper


class LeakyCell(AbstractPlainWrapper):
    r"""Leaky units around any cell: $s' = (1 - a) s + a f(s, x)$.

    With a `VanillaCell` inside these are the leaky units of echo state networks,
    $h' = (1 - a) h + a \phi(W h + U x + b)$, with time constant about $1/a$ steps. The Jacobian is
    $(1 - a) I + a J_f$: at $h = 0$ and with Gaussian $W$ of gain $g$ its largest exponent is
    $\ln(1 - a + a g)$, closer to 0 than $\ln g$ but on the same side.

    **Arguments:**

    - `cell`: the cell inside, anything that `as_cell` takes.
    - `rate`: $a$, a fixed number, $0 < a \le 1$; 1 is the cell itself. It is part of the compiled
      program.

    **Raises:** `ValueError` for a rate outside (0, 1].

    **Example:**

    >>> import jax, jax.numpy as jnp
    >>> from vanishing_jax.cells import LeakyCell, VanillaCell
    >>> cell = LeakyCell(VanillaCell(3, 5, key=jax.random.key(0)), rate=0.1)
    >>> cell(jnp.ones(5), jnp.zeros(3)).shape
    (5,)

    ??? cite "Reference"
        ```bibtex
        @article{jaeger2007optimization, title={Optimization and applications of echo state networks
          with leaky-integrator neurons}, author={Jaeger, Herbert and Luko{\v{s}}evi{\v{c}}ius,
          Mantas and Popovici, Dan and Siewert, Udo}, journal={Neural Networks}, volume={20},
          number={3}, pages={335--352}, year={2007}}
        ```
    """

    cell: AbstractCell
    rate: float = eqx.field(static=True)

    def __init__(self, cell: Any, rate: float):
        if not 0 < rate <= 1:
            raise ValueError(f"expected 0 < rate <= 1; got {rate}.")
        self.cell, self.rate = as_cell(cell), float(rate)

    def __call__(self, state: PyTree, input: PyTree) -> PyTree:
        """Return the weighted mean of the state and the cell's next state."""
        new = self.cell(state, input)
        return mix_states(lambda s, f: (1 - self.rate) * s + self.rate * f, state, new)


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
