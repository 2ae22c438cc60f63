"""Predictions to hold measurements against: random products, mean-field theory, known maps."""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from ._circular_law import skip_exponents as skip_exponents
    from ._circular_law import skip_top_exponent as skip_top_exponent
    from ._circular_law import triangle_law as triangle_law
    from ._complex_ginibre import complex_ginibre_exponents as complex_ginibre_exponents
    from ._complex_ginibre import complex_ginibre_growth_variance as complex_ginibre_growth_variance
    from ._correlated_skip import correlated_skip_exponent as correlated_skip_exponent
    from ._critical_gain import critical_gain as critical_gain
    from ._determinant import log_determinants as log_determinants
    from ._determinant import vanilla_log_determinants as vanilla_log_determinants
    from ._diagonal import independent_weight_bound as independent_weight_bound
    from ._diagonal import ring_exponents as ring_exponents
    from ._diagonal import ring_mean_exponent as ring_mean_exponent
    from ._driven_mean_field import DrivenMeanField as DrivenMeanField
    from ._driven_mean_field import driven_mean_field as driven_mean_field
    from ._fuss_catalan import fuss_catalan_edge as fuss_catalan_edge
    from ._fuss_catalan import (
        fuss_catalan_log_singular_values as fuss_catalan_log_singular_values,
    )
    from ._fuss_catalan import fuss_catalan_moments as fuss_catalan_moments
    from ._gaussian_average import gaussian_average as gaussian_average
    from ._jacobian_moments import jacobian_moments as jacobian_moments
    from ._jacobian_moments import singular_value_dispersion as singular_value_dispersion
    from ._latch import FixedPoint as FixedPoint
    from ._latch import latch_margin as latch_margin
    from ._latch import tanh_fixed_point as tanh_fixed_point
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
    from ._masked_orthogonal import masked_orthogonal_exponents as masked_orthogonal_exponents
    from ._masked_orthogonal import (
        masked_orthogonal_growth_variance as masked_orthogonal_growth_variance,
    )
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
    from ._memory_sensitivity import MemorySensitivity as MemorySensitivity
    from ._memory_sensitivity import memory_sensitivity as memory_sensitivity
    from ._newman import ginibre_exponents as ginibre_exponents
    from ._newman import ginibre_growth_variance as ginibre_growth_variance
    from ._norm_bounds import GrowthBound as GrowthBound
    from ._norm_bounds import growth_bound as growth_bound
    from ._norm_bounds import product_norm_bounds as product_norm_bounds
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
    from ._optimizer import adam_update_size as adam_update_size
    from ._optimizer import lag_shares as lag_shares
    from ._optimizer import steps_until_stall as steps_until_stall
    from ._oscillators import antisymmetric_exponents as antisymmetric_exponents
    from ._oscillators import cornn_log_determinant as cornn_log_determinant
    from ._oscillators import oscillator_exponents as oscillator_exponents
    from ._predict import can_predict as can_predict
    from ._predict import predict as predict
    from ._predict_plain import predict_plain as predict_plain
    from ._prediction import Assumption as Assumption
    from ._prediction import Prediction as Prediction
    from ._time_scales import chrono_longest_share as chrono_longest_share
    from ._time_scales import chrono_retention as chrono_retention
    from ._time_scales import gate_log_retention as gate_log_retention
    from ._time_scales import gate_time_scale as gate_time_scale
    from ._truncated_orthogonal import (
        truncated_orthogonal_exponents as truncated_orthogonal_exponents,
    )
    from ._truncated_orthogonal import (
        truncated_orthogonal_growth_variance as truncated_orthogonal_growth_variance,
    )
    from ._vector_growth import VectorGrowth as VectorGrowth
    from ._vector_growth import ginibre_log_moment as ginibre_log_moment
    from ._vector_growth import ginibre_vector_growth as ginibre_vector_growth
    from ._weight_law import WeightLaw as WeightLaw
    from ._weight_law import weight_law as weight_law
else:
    __getattr__, __dir__, __all__ = lazy(
        __name__,
        _circular_law="skip_exponents skip_top_exponent triangle_law",
        _complex_ginibre="complex_ginibre_exponents complex_ginibre_growth_variance",
        _correlated_skip="correlated_skip_exponent",
        _critical_gain="critical_gain",
        _determinant="log_determinants vanilla_log_determinants",
        _diagonal="independent_weight_bound ring_exponents ring_mean_exponent",
        _driven_mean_field="DrivenMeanField driven_mean_field",
        _fuss_catalan="fuss_catalan_edge fuss_catalan_log_singular_values fuss_catalan_moments",
        _gaussian_average="gaussian_average",
        _jacobian_moments="jacobian_moments singular_value_dispersion",
        _latch="FixedPoint latch_margin tanh_fixed_point",
        _leaky_mean_field="LeakyMeanField leaky_mean_field",
        _maps="KnownSystem baker_map cat_map henon_map logistic_map lorenz_flow",
        _masked="masked_ginibre_exponents masked_ginibre_growth_variance masked_ginibre_survival",
        _masked_orthogonal="masked_orthogonal_exponents masked_orthogonal_growth_variance",
        _mean_field=(
            "mean_field_exponent mean_field_mean_exponent mean_field_susceptibility "
            "mean_field_variance"
        ),
        _mean_field_correlation="MeanFieldCorrelation mean_field_correlation",
        _mean_field_spectrum="mean_field_spectrum",
        _mean_field_transient="MeanFieldTransient mean_field_transient",
        _memory_horizon="memory_horizon",
        _memory_sensitivity="MemorySensitivity memory_sensitivity",
        _newman="ginibre_exponents ginibre_growth_variance",
        _norm_bounds="GrowthBound growth_bound product_norm_bounds",
        _normalized_exponents=(
            "batch_norm_exponent layer_norm_exponent layer_norm_singular_values rms_norm_exponent"
        ),
        _one_step_moments=(
            "LSTMOneStepMoments gru_one_step_moment leaky_one_step_moment "
            "lstm_one_step_moments minimal_rnn_one_step_moment residual_one_step_moment"
        ),
        _optimizer="adam_update_size lag_shares steps_until_stall",
        _oscillators="antisymmetric_exponents cornn_log_determinant oscillator_exponents",
        _predict="can_predict predict",
        _predict_plain="predict_plain",
        _prediction="Assumption Prediction",
        _time_scales="chrono_longest_share chrono_retention gate_log_retention gate_time_scale",
        _truncated_orthogonal="truncated_orthogonal_exponents truncated_orthogonal_growth_variance",
        _vector_growth="VectorGrowth ginibre_log_moment ginibre_vector_growth",
        _weight_law="WeightLaw weight_law",
    )
