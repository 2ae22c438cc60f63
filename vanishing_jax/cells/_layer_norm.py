"""Layer normalization inside a plain cell, LSTM or GRU."""

from typing import Any

import equinox as eqx

from .._checks import check_choice
from .._types import PyTree
from ._normalized import Normalizable, check_cell, normalized_step, sites
from ._wrapper import AbstractPlainWrapper


class LayerNormCell(AbstractPlainWrapper):
    r"""A plain cell, LSTM or GRU with layer normalization, in one of three placements.

    - `placement="joint"` (Ba et al. 2016, eq. 4): $\mathrm{LN}(W h + U x) + b$;
    - `placement="separate"` (their supplement, for LSTM and GRU):
      $\mathrm{LN}(W h) + \mathrm{LN}(U x) + b$;
    - `placement="input"`: $W h + \mathrm{LN}(U x) + b$, which leaves the structure of the Jacobian
      as it is and only fixes how strong the input is

    in the place of the pre-activations $W h + U x + b$, where
    $\mathrm{LN}(a) = g \odot (a - \bar a)/\sqrt{\mathrm{var}(a) + \epsilon}$ over the units of one
    step, with gains $g$ starting at 1 (`equinox.nn.LayerNorm`). As in the paper all four
    gates of an LSTM are normalized as one vector, and (not by "input") the state that its output
    reads:
    $h' = o \odot \tanh(\mathrm{LN}(c') + b_c)$, while $c'$ itself is carried on as it is. Of a GRU
    the two gates are one vector and the new content another: with the reset r inside,
    $\mathrm{LN}(U x + r \odot W h)$, or outside, $\mathrm{LN}(U x) + r \odot \mathrm{LN}(W h)$.

    Scaling $W$ and $U$ together (joint), or either (separate), changes nothing: the size of the
    recurrent matrix no longer decides whether gradients vanish or explode. The gains and the share
    of what is normalized that is recurrent do; in a plain cell without input they never vanish,
    with as much input as recurrence and gain 1 they do, by 0.20 a step in mean field (separate
    placement). The path of an LSTM or GRU that its gates keep open is none of normalization's. The
    separate placement has slope $1/\sqrt{\epsilon}$, 316 for $10^{-5}$, where $W h = 0$, as in the
    first step from $h = 0$; and of an input of one component it keeps nothing but the sign.

    State, names and recurrent blocks are those of the cell inside.

    **Arguments:**

    - `cell`: a `VanillaCell`, `LSTMCell` or `GRUCell` of at least 2 units, because one unit is its
      own mean.
    - `placement`: "joint" (default), "separate" or "input".
    - `epsilon`: added to the variance; 1e-5 by default.

    **Raises:** `TypeError` for another cell, `ValueError` for an unknown placement or one unit;
    when called, for a state or input of another shape.

    **Example:**

    >>> import jax, jax.numpy as jnp
    >>> from vanishing_jax.cells import LayerNormCell, LSTMCell
    >>> cell = LayerNormCell(LSTMCell(3, 5, key=jax.random.key(0)), placement="separate")
    >>> h, c = cell(cell.initial_state(), jnp.ones(3))
    >>> list(cell.norms)
    ['recurrent', 'input', 'cell']

    ??? cite "Reference"
        ```bibtex
        @article{ba2016layer, title={Layer normalization}, author={Ba, Jimmy Lei and Kiros, Jamie
          Ryan and Hinton, Geoffrey E.}, journal={arXiv:1607.06450}, year={2016}}
        ```
    """

    cell: Normalizable
    norms: dict[str, eqx.nn.LayerNorm]  # by site; the one of the cell state has a bias, too
    placement: str = eqx.field(static=True)
    epsilon: float = eqx.field(static=True)

    def __init__(self, cell: Any, *, placement: str = "joint", epsilon: float = 1e-5):
        self.cell = check_cell(cell, "LayerNormCell")
        check_choice("placement", placement, ("joint", "separate", "input"))
        if cell.hidden_size < 2:
            raise ValueError(
                f"layer normalization needs hidden_size of at least 2; got {cell.hidden_size}."
            )
        self.norms = {
            site: eqx.nn.LayerNorm(
                size, eps=epsilon, use_bias=site == "cell", dtype=cell.weight_hh.dtype
            )
            for site, size in sites(cell, placement).items()
        }
        self.placement, self.epsilon = placement, float(epsilon)

    def __call__(self, state: PyTree, input: PyTree) -> PyTree:
        """Return the next state."""

        def norm(site, values):
            return self.norms[site](values)

        return normalized_step(self.cell, state, input, self.placement, norm)
