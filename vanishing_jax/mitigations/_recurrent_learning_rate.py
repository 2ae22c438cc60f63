"""A learning rate of its own for the recurrent weights."""

import optax

from .._types import Array
from ._mitigation import Mitigation
from ._recurrent import recurrent_mask
from ._transformation import transformation


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
    if not factor >= 0:
        raise ValueError(f"expected a factor of at least 0; got {factor}.")
    scale = transformation(_make, step_size=factor)
    return Mitigation(f"recurrent learning rate times {factor:g}", update_transform=scale)


def _make(step_size: Array) -> optax.GradientTransformationExtraArgs:
    return optax.masked(optax.scale(step_size), recurrent_mask)
