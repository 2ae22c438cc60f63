"""What becomes of an update before it is multiplied by the learning rate."""

from collections.abc import Callable

import jax
import optax
from jax.tree_util import Partial

from .._types import Array, PyTree
from ..cells._statistics import BatchStatistics
from ._mitigation import Mitigation, check_not_negative
from ._recurrent import recurrent_mask
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
    check_not_negative(rate=rate)
    make = Partial(_decay, matrices if mask is None else mask)
    decay = transformation(make, weight_decay=rate)
    return Mitigation(f"weight decay {rate:g}", update_transform=decay)


def recurrent_learning_rate(factor: float = 0.1) -> Mitigation:
    r"""Return another learning rate for recurrent weights: `factor` times that of the others.

    The recurrent matrix acts once per step, so its gradient is the steepest; parameterized
    orthogonal matrices are commonly trained at a tenth of the rate (Lezcano-Casado and
    Martinez-Rubio 2019). Recurrent are the blocks that a cell's `map_recurrent` changes.

    **Arguments:**

    - `factor`: at least 0; 0 freezes the recurrent weights. It is data.

    **Returns:** a `Mitigation` with `update_transform` (`optax.scale` under `optax.masked`).

    **Raises:** `ValueError` for a negative factor; when applied, for a cell that does not know its
    recurrent blocks.

    ??? cite "Reference"
        ```bibtex
        @inproceedings{lezcano2019cheap, title={Cheap orthogonal constraints in neural networks: a
          simple parametrization of the orthogonal and unitary group}, author={Lezcano-Casado, Mario
          and Mart{\'i}nez-Rubio, David}, booktitle={ICML}, year={2019}}
        ```
    """
    check_not_negative(factor=factor)
    scale = transformation(_scale_recurrent, step_size=factor)
    return Mitigation(f"recurrent learning rate times {factor:g}", update_transform=scale)


def _decay(mask: Callable, weight_decay: Array) -> optax.GradientTransformation:
    return optax.add_decayed_weights(weight_decay, mask)


def matrices(params: PyTree) -> PyTree:
    """Return the mask of arrays of at least two axes, except population statistics."""

    def decays(node):
        if isinstance(node, BatchStatistics):
            return jax.tree.map(lambda _: False, node)
        return node.ndim >= 2

    return jax.tree.map(decays, params, is_leaf=lambda node: isinstance(node, BatchStatistics))


def _scale_recurrent(step_size: Array) -> optax.GradientTransformationExtraArgs:
    return optax.masked(optax.scale(step_size), recurrent_mask)
