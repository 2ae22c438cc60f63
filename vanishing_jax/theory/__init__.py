"""Predictions to hold measurements against: random products, mean-field theory, known maps."""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from ._critical_gain import critical_gain as critical_gain
    from ._gaussian_average import gaussian_average as gaussian_average
    from ._leaky_mean_field import leaky_mean_field as leaky_mean_field
    from ._mean_field import mean_field_exponent as mean_field_exponent
    from ._mean_field import mean_field_mean_exponent as mean_field_mean_exponent
    from ._mean_field import mean_field_susceptibility as mean_field_susceptibility
    from ._mean_field import mean_field_variance as mean_field_variance
    from ._mean_field_correlation import mean_field_correlation as mean_field_correlation
    from ._mean_field_spectrum import mean_field_spectrum as mean_field_spectrum
    from ._mean_field_transient import mean_field_transient as mean_field_transient
    from ._memory_horizon import memory_horizon as memory_horizon
    from ._memory_sensitivity import memory_sensitivity as memory_sensitivity
    from ._newman import ginibre_exponents as ginibre_exponents
    from ._newman import ginibre_growth_variance as ginibre_growth_variance
    from ._normalized_exponents import batch_norm_exponent as batch_norm_exponent
    from ._normalized_exponents import layer_norm_exponent as layer_norm_exponent
    from ._normalized_exponents import layer_norm_singular_values as layer_norm_singular_values
    from ._normalized_exponents import rms_norm_exponent as rms_norm_exponent
    from ._one_step_moments import gru_one_step_moment as gru_one_step_moment
    from ._one_step_moments import lstm_one_step_moments as lstm_one_step_moments
    from ._optimizer import adam_update_size as adam_update_size
    from ._predict import predict as predict
    from ._predict_plain import predict_plain as predict_plain
    from ._prediction import Prediction as Prediction
    from ._time_scales import gate_log_retention as gate_log_retention
    from ._weight_law import weight_law as weight_law
else:
    __getattr__, __dir__, __all__ = lazy(__name__)
