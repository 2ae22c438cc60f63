"""The prediction for a plain network that is known by a few numbers only."""

import math

import numpy as np

from .._slopes import Activation, host_activation
from ..mean_field._spectrum import mean_field_spectrum
from ..mean_field._stationary import check_weights, mean_field_exponent
from ..random_matrices._weight_law import WeightLaw
from ._predict import SEQUENCES, Theory, predicted
from ._prediction import Prediction
from ._redrawn import PlainNetwork


def predict_plain(
    hidden_size: int,
    *,
    activation: Activation = "tanh",
    gain: float = 1.0,
    input_variance: float = 0.0,
    bias_variance: float = 0.0,
    weights: str = "gaussian",
    num_steps: int = 100,
) -> Prediction:
    r"""Return what theory predicts for a plain network of which only a few numbers are known.

    h' = phi(W h + u + b): `mean_field_exponent` and `mean_field_spectrum`, and the rate of networks
    of this size, whose W, inputs and biases are all drawn. Where the network is there,
    `predict(cell, inputs)` takes its own inputs and biases as they are; for a recipe
    `vj.recipes.predict` draws one.

    **Arguments:**

    - `hidden_size`: n.
    - `activation`, `gain`: as of `mean_field_exponent`.
    - `input_variance`: of U x per unit, white in time and across units.
    - `bias_variance`: of b.
    - `weights`: "gaussian" or "orthogonal".
    - `num_steps`: T, from h = 0.

    **Returns:** a `Prediction`; `weights` is None, for none were looked at.

    **Raises:** `ValueError` for a number out of range or another law.

    **Cost:** 32 networks on 4 sequences, on the host; the spectrum compiles once.

    **Validity:** as `mean_field_exponent`; of n = 24 units the mean of networks drawn is within
    three standard errors (`tests/theory/test_predict_plain.py`).

    **Example:**

    >>> from vanishing_jax import theory
    >>> prediction = theory.predict_plain(50, gain=1.0, input_variance=0.1)
    >>> round(prediction.top_exponent, 3), round(prediction.horizon)
    (-0.186, 37)
    """
    law = WeightLaw(check_weights(weights), gain, {}, "")
    numbers = {
        "activation": activation, "gain": gain, "input_variance": input_variance,
        "bias_variance": bias_variance,
    }  # fmt: skip
    theory = Theory(
        f"mean-field theory, {law.kind} weights of gain {gain:.3g}",
        mean_field_exponent(**numbers),
        mean_field_spectrum(hidden_size, **numbers, weights=weights),
    )
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(SEQUENCES, num_steps, hidden_size))
    bias = rng.normal(size=(SEQUENCES, 1, hidden_size))
    drives = math.sqrt(input_variance) * noise + math.sqrt(bias_variance) * bias
    network = PlainNetwork(drives, np.zeros((SEQUENCES, hidden_size)), host_activation(activation))
    return predicted(theory, network, law, 1, rng)
