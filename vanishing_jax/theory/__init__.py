"""Predictions to hold measurements against: random products, mean-field theory, known maps."""

from ._complex_ginibre import complex_ginibre_exponents as complex_ginibre_exponents
from ._complex_ginibre import complex_ginibre_growth_variance as complex_ginibre_growth_variance
from ._critical_gain import critical_gain as critical_gain
from ._gaussian_average import gaussian_average as gaussian_average
from ._jacobian_moments import jacobian_moments as jacobian_moments
from ._jacobian_moments import singular_value_dispersion as singular_value_dispersion
from ._leaky_mean_field import LeakyMeanField as LeakyMeanField
from ._leaky_mean_field import leaky_mean_field as leaky_mean_field
from ._maps import KnownSystem as KnownSystem
from ._maps import baker_map as baker_map
from ._maps import cat_map as cat_map
from ._maps import henon_map as henon_map
from ._maps import logistic_map as logistic_map
from ._maps import lorenz_flow as lorenz_flow
from ._masked import masked_ginibre_exponents as masked_ginibre_exponents
from ._masked import masked_ginibre_growth_variance as masked_ginibre_growth_variance
from ._masked import masked_ginibre_survival as masked_ginibre_survival
from ._mean_field import mean_field_exponent as mean_field_exponent
from ._mean_field import mean_field_mean_exponent as mean_field_mean_exponent
from ._mean_field import mean_field_susceptibility as mean_field_susceptibility
from ._mean_field import mean_field_variance as mean_field_variance
from ._mean_field_correlation import MeanFieldCorrelation as MeanFieldCorrelation
from ._mean_field_correlation import mean_field_correlation as mean_field_correlation
from ._mean_field_spectrum import mean_field_spectrum as mean_field_spectrum
from ._mean_field_transient import MeanFieldTransient as MeanFieldTransient
from ._mean_field_transient import mean_field_transient as mean_field_transient
from ._memory_horizon import memory_horizon as memory_horizon
from ._newman import ginibre_exponents as ginibre_exponents
from ._newman import ginibre_growth_variance as ginibre_growth_variance
from ._normalized_exponents import batch_norm_exponent as batch_norm_exponent
from ._normalized_exponents import layer_norm_exponent as layer_norm_exponent
from ._normalized_exponents import layer_norm_singular_values as layer_norm_singular_values
from ._normalized_exponents import rms_norm_exponent as rms_norm_exponent
from ._one_step_moments import LSTMOneStepMoments as LSTMOneStepMoments
from ._one_step_moments import gru_one_step_moment as gru_one_step_moment
from ._one_step_moments import leaky_one_step_moment as leaky_one_step_moment
from ._one_step_moments import lstm_one_step_moments as lstm_one_step_moments
from ._one_step_moments import minimal_rnn_one_step_moment as minimal_rnn_one_step_moment
from ._one_step_moments import residual_one_step_moment as residual_one_step_moment
from ._truncated_orthogonal import (
    truncated_orthogonal_exponents as truncated_orthogonal_exponents,
)
from ._truncated_orthogonal import (
    truncated_orthogonal_growth_variance as truncated_orthogonal_growth_variance,
)
