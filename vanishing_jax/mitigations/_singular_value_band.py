"""A projection of recurrent weights onto a band of singular values around 1."""

import jax.numpy as jnp
from jax.tree_util import Partial

from .._types import Array
from ..cells import AbstractCell
from ._mitigation import Mitigation
from ._recurrent import map_recurrent


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

    ??? cite "Reference"
        ```bibtex
        @inproceedings{vorontsov2017orthogonality, title={On orthogonality and learning recurrent
          networks with long term dependencies}, author={Vorontsov, Eugene and Trabelsi, Chiheb and
          Kadoury, Samuel and Pal, Chris}, booktitle={ICML}, year={2017}}
        ```
    """
    if not 0 <= margin <= 1:
        raise ValueError(f"expected 0 <= margin <= 1; got {margin}.")
    project = Partial(_project, jnp.asarray(float(margin)))
    return Mitigation(f"singular values within {margin:g} of 1", project=project)


def _project(margin: Array, cell: AbstractCell) -> AbstractCell:
    def clip(block: Array) -> Array:
        # There is no decomposition in half precision; the weights keep their dtype.
        wide = block.dtype if jnp.finfo(block.dtype).bits >= 32 else jnp.float32
        u, s, vt = jnp.linalg.svd(block.astype(wide), full_matrices=False)
        clipped = jnp.clip(s, (1 - margin).astype(s.dtype), (1 + margin).astype(s.dtype))
        return ((u * clipped[None, :]) @ vt).astype(block.dtype)

    return map_recurrent(clip, cell)
