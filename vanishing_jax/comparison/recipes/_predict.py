"""What theory says of a recipe as it is initialized, before anything is trained."""

from typing import Any

import jax
import jax.random as jr
import numpy as np

from ..._types import Key
from ...cells import BatchNormCell, estimate_statistics
from ...theory import Prediction
from ...theory import predict as predict_cell
from ._parse import parse
from ._recipe import Recipe

_SEQUENCES = 32  # drawn for the statistics of batch normalization


def predict(
    recipe: str | Recipe,
    inputs: Any,
    *,
    hidden_size: int,
    input_size: int = 1,
    num_steps: int = 100,
    key: Key | None = None,
) -> Prediction:
    """Return what theory predicts for gradients in a recipe's network as it is initialized.

    Builds the cell of the recipe with fresh weights and hands it to `theory.predict`, which says
    what is taken as random and what is not. Optimizers, clipping and penalties change nothing at
    initialization; of gated and stacked cells it says that there is no theory.

    **Arguments:**

    - `recipe`: such as "tanh+critical"; what `parse` takes or returned.
    - `inputs`: (time, input) or (batch, time, input), or a number: the variance of inputs that are
      white in time and across components, drawn for `num_steps` steps. Batch normalization gets its
      statistics from them: give it a batch.
    - `hidden_size`: units.
    - `input_size`: components of drawn inputs; 1 by default. Given inputs have their own.
    - `num_steps`: of drawn inputs.
    - `key`: for the weights; that of 0 by default.

    **Returns:** a `theory.Prediction`; print it.

    **Raises:** `ValueError` for a recipe that `parse` refuses and inputs of another shape.

    **Cost:** that of `theory.predict`, and drawing the weights.

    **Example:**

    >>> import vanishing_jax as vj
    >>> prediction = vj.recipes.predict("tanh", 1.0, hidden_size=64)
    >>> prediction.weights.name, -0.13 < prediction.top_exponent < -0.06
    ('gaussian', True)
    """
    recipe = parse(recipe) if isinstance(recipe, str) else recipe
    key_weights, key_inputs = jr.split(jr.key(0) if key is None else key)
    shape = np.shape(inputs)
    if shape and len(shape) not in (2, 3):
        raise ValueError(
            "expected inputs (time, input) or (batch, time, input), or the variance of white "
            f"inputs; got shape {shape}."
        )
    size, length = (shape[-1], shape[-2]) if shape else (input_size, num_steps)
    cell = recipe.cell(size, hidden_size, length=length, key=key_weights)
    if isinstance(cell, BatchNormCell):
        if not shape:
            dtype = cell.cell.weight_hh.dtype
            drawn = jr.normal(key_inputs, (_SEQUENCES, length, size), dtype)
            inputs = np.sqrt(float(inputs)).astype(dtype) * np.asarray(drawn)
        batch = np.asarray(inputs).reshape(-1, length, size)
        cell = estimate_statistics(cell, jax.numpy.asarray(batch, cell.cell.weight_hh.dtype))
    return predict_cell(cell, inputs, num_steps=num_steps)
