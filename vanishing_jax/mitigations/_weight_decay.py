"""Decoupled weight decay."""

from collections.abc import Callable

import jax
import optax
from jax.tree_util import Partial

from .._types import Array, PyTree
from ..cells._statistics import BatchStatistics
from ._mitigation import Mitigation
from ._transformation import transformation


def weight_decay(rate: float, *, mask: Callable[[PyTree], PyTree] | None = None) -> Mitigation:
    """Return decoupled weight decay: w loses the share learning rate x `rate` of itself per update.

    Behind Adam this is AdamW. By default it leaves vectors (biases, gains) and population
    statistics alone. Decay pulls recurrent weights towards 0, hence gradients towards vanishing;
    pass a mask to exempt them.

    **Arguments:**

    - `rate`: the decay; data.
    - `mask`: a function from the tree of trained arrays to a tree of booleans, True where weights
      decay; None means arrays of at least two axes except population statistics. Define it once:
      another function object is another compilation.

    **Returns:** a `Mitigation` with `update_transform` (`optax.add_decayed_weights`).

    **Raises:** `ValueError` for a negative rate.

    ??? cite "Reference"
        ```bibtex
        @inproceedings{loshchilov2019decoupled, title={Decoupled weight decay regularization},
          author={Loshchilov, Ilya and Hutter, Frank}, booktitle={ICLR}, year={2019}}
        ```
    """
    if not rate >= 0:
        raise ValueError(f"expected a rate of at least 0; got {rate}.")
    make = Partial(_make, matrices if mask is None else mask)
    decay = transformation(make, weight_decay=rate)
    return Mitigation(f"weight decay {rate:g}", update_transform=decay)


def _make(mask: Callable, weight_decay: Array) -> optax.GradientTransformation:
    return optax.add_decayed_weights(weight_decay, mask)


def matrices(params: PyTree) -> PyTree:
    """Return the mask of arrays of at least two axes, except population statistics."""

    def decays(node):
        if isinstance(node, BatchStatistics):
            return jax.tree.map(lambda _: False, node)
        return node.ndim >= 2

    return jax.tree.map(decays, params, is_leaf=lambda node: isinstance(node, BatchStatistics))
