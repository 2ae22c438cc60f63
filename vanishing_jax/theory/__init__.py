"""Predictions to hold measurements against: random products, mean-field theory, known maps.

Scalars by one rule: a law of numbers returns a Python float for Python numbers, computed in 64
bits, and an array of their broadcast shape for arrays. JAX arrays stay in JAX, in their dtype, and
can be traced where the mean-field law is one number: `mean_field_variance`,
`mean_field_susceptibility`, `mean_field_exponent`, `mean_field_mean_exponent`, `critical_gain`,
`gaussian_average` and the one-step moments. A law of n units or T steps returns NumPy arrays in
float64.
"""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from ._small_gradients import adam_update_size as adam_update_size
    from ._small_gradients import memory_horizon as memory_horizon
    from .gates._memory import gate_log_retention as gate_log_retention
    from .gates._memory import memory_sensitivity as memory_sensitivity
    from .gates._one_step_moments import gru_one_step_moment as gru_one_step_moment
    from .gates._one_step_moments import lstm_one_step_moments as lstm_one_step_moments
    from .mean_field._averages import gaussian_average as gaussian_average
    from .mean_field._correlation import mean_field_correlation as mean_field_correlation
    from .mean_field._leaky import leaky_mean_field as leaky_mean_field
    from .mean_field._spectrum import mean_field_spectrum as mean_field_spectrum
    from .mean_field._stationary import critical_gain as critical_gain
    from .mean_field._stationary import mean_field_exponent as mean_field_exponent
    from .mean_field._stationary import mean_field_mean_exponent as mean_field_mean_exponent
    from .mean_field._stationary import mean_field_susceptibility as mean_field_susceptibility
    from .mean_field._stationary import mean_field_variance as mean_field_variance
    from .mean_field._transient import mean_field_transient as mean_field_transient
    from .normalization._exponents import batch_norm_exponent as batch_norm_exponent
    from .normalization._exponents import layer_norm_exponent as layer_norm_exponent
    from .normalization._exponents import layer_norm_singular_values as layer_norm_singular_values
    from .normalization._exponents import rms_norm_exponent as rms_norm_exponent
    from .prediction._predict import predict as predict
    from .prediction._predict_plain import predict_plain as predict_plain
    from .prediction._prediction import Prediction as Prediction
    from .random_matrices._products import ginibre_exponents as ginibre_exponents
    from .random_matrices._products import ginibre_growth_variance as ginibre_growth_variance
    from .random_matrices._weight_law import weight_law as weight_law
else:
    __getattr__, __dir__, __all__ = lazy(__name__)
