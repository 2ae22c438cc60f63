"""Recurrent weights held near orthogonal ones: by a penalty, or by a projection."""

from collections.abc import Callable

import jax.numpy as jnp
from jax.tree_util import Partial

from .._types import Array, PyTree
from ..cells import AbstractCell
from ._mitigation import Mitigation, check_not_negative
from ._recurrent import map_recurrent, recurrent_blocks


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
    check_not_negative(strength=strength)
    penalty = Partial(_penalty, jnp.asarray(float(strength)))
    return Mitigation(f"soft orthogonality, strength {strength:g}", penalty=penalty)


def singular_value_band(margin: float = 0.0) -> Mitigation:
    r"""Return the projection of recurrent blocks to singular values in $[1 - m, 1 + m]$.

    $W = U \,\mathrm{diag}(s)\, V^\top$ becomes $U \,\mathrm{diag}(\mathrm{clip}(s)) V^\top$, the
    nearest such matrix in Frobenius norm; with margin 0 the nearest orthogonal one. Vorontsov et
    al. reach the same band by a parametrization. Gradients still shrink by the activation's slope.

    **Arguments:**

    - `margin`: m in [0, 1]; 0 by default. It is data.

    **Returns:** a `Mitigation` with `project`.

    **Raises:** `ValueError` for a margin outside; when applied, for a cell that does not know its
    recurrent blocks.

    **Cost:** one singular value decomposition of each block per update.

    The reference is that of `soft_orthogonality`.
    """
    if not 0 <= margin <= 1:
        raise ValueError(f"expected 0 <= margin <= 1; got {margin}.")
    project = Partial(_project, jnp.asarray(float(margin)))
    return Mitigation(f"singular values within {margin:g} of 1", project=project)


def _penalty(strength: Array, cell: AbstractCell, inputs: PyTree, loss: Callable) -> Array:
    def distance(block: Array) -> Array:
        return jnp.sum(jnp.square(block.T @ block - jnp.eye(block.shape[0], dtype=block.dtype)))

    first, *others = (distance(block) for block in recurrent_blocks(cell))
    return strength * sum(others, start=first)


def _project(margin: Array, cell: AbstractCell) -> AbstractCell:
    def clip(block: Array) -> Array:
        # There is no decomposition in half precision; the weights keep their dtype.
        wide = block.dtype if jnp.finfo(block.dtype).bits >= 32 else jnp.float32
        u, s, vt = jnp.linalg.svd(block.astype(wide), full_matrices=False)
        clipped = jnp.clip(s, (1 - margin).astype(s.dtype), (1 + margin).astype(s.dtype))
        return ((u * clipped[None, :]) @ vt).astype(block.dtype)

    return map_recurrent(clip, cell)
