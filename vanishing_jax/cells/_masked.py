"""A cell that stands still where its input is padding."""

from typing import Any

import jax
import jax.numpy as jnp

from .._types import PyTree
from ._as_cell import as_cell
from ._base import AbstractCell
from ._weights import check_parts
from ._wrapper import AbstractPlainWrapper


class MaskedCell(AbstractPlainWrapper):
    r"""A cell for padded sequences: where `keep` is False the state stays as it is.

    $$s' = f(s, x) \text{ if keep, else } s$$

    The input is the pair (x, keep) with one boolean a step, so sequences of different lengths run
    side by side. The Jacobian of a skipped step is the identity, bit for bit, and the derivative
    with respect to x and the parameters is exactly 0 there. What x holds in the padding does not
    matter: it is replaced by zeros before the cell sees it, so that not even a NaN gets into values
    or gradients.

    **Arguments:**

    - `cell`: the cell inside, anything that `as_cell` takes.

    **Raises:** when called, `ValueError` for an input that is not (x, keep), keep one boolean.

    **Example:**

    >>> import jax, jax.numpy as jnp
    >>> from vanishing_jax.cells import MaskedCell, VanillaCell
    >>> cell = MaskedCell(VanillaCell(3, 5, key=jax.random.key(0)))
    >>> cell(jnp.ones(5), (jnp.full(3, jnp.nan), jnp.array(False))).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """

    cell: AbstractCell

    def __init__(self, cell: Any):
        self.cell = as_cell(cell)

    def __call__(self, state: PyTree, input: PyTree) -> PyTree:
        """Return the cell's next state, or `state` itself where keep is False."""
        what = "input (x, keep), keep one boolean: False skips the step"
        x, keep = check_parts("MaskedCell", what, input, 2)
        if jnp.shape(keep) != () or not jnp.issubdtype(jnp.result_type(keep), bool):
            raise ValueError(
                "MaskedCell expected keep, one boolean; got "
                f"{jnp.result_type(keep)} of shape {jnp.shape(keep)}."
            )
        # Two selections: an unused branch with a NaN would give 0 * NaN in the derivative.
        x = jax.tree.map(lambda leaf: jnp.where(keep, leaf, jnp.zeros_like(leaf)), x)
        return jax.tree.map(lambda new, old: jnp.where(keep, new, old), self.cell(state, x), state)
