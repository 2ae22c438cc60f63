"""A penalty on recurrent weights that are not orthogonal."""

from collections.abc import Callable

import jax.numpy as jnp
from jax.tree_util import Partial

from .._types import Array, PyTree
from ..cells import AbstractCell
from ._mitigation import Mitigation
from ._recurrent import recurrent_blocks


def soft_orthogonality(strength: float = 1e-2) -> Mitigation:
    r"""Return the penalty $\beta \sum \|W^\top W - I\|_F^2$ over the recurrent blocks.

    In terms of singular values $\beta \sum_i (\sigma_i^2 - 1)^2$: it pulls all of them to 1 without
    forcing them there.

    **Arguments:**

    - `strength`: $\beta$, in units of the loss. It is data.

    **Returns:** a `Mitigation` with `penalty`.

    **Raises:** `ValueError` for a negative strength; when applied, for a cell that does not know
    its recurrent blocks.

    ??? cite "Reference"
        ```bibtex
        @inproceedings{vorontsov2017orthogonality, title={On orthogonality and learning recurrent
          networks with long term dependencies}, author={Vorontsov, Eugene and Trabelsi, Chiheb and
          Kadoury, Samuel and Pal, Chris}, booktitle={ICML}, year={2017}}
        ```
    """
    if not strength >= 0:
        raise ValueError(f"expected a strength of at least 0; got {strength}.")
    penalty = Partial(_penalty, jnp.asarray(float(strength)))
    return Mitigation(f"soft orthogonality, strength {strength:g}", penalty=penalty)


def _penalty(strength: Array, cell: AbstractCell, inputs: PyTree, loss: Callable) -> Array:
    def distance(block: Array) -> Array:
        return jnp.sum(jnp.square(block.T @ block - jnp.eye(block.shape[0], dtype=block.dtype)))

    first, *others = (distance(block) for block in recurrent_blocks(cell))
    return strength * sum(others, start=first)
