"""Predictions to hold measurements against: exact laws of random products, known chaotic maps."""

from ._complex_ginibre import complex_ginibre_exponents as complex_ginibre_exponents
from ._complex_ginibre import complex_ginibre_growth_variance as complex_ginibre_growth_variance
from ._gaussian_average import gaussian_average as gaussian_average
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
from ._mean_field import mean_field_susceptibility as mean_field_susceptibility
from ._mean_field import mean_field_variance as mean_field_variance
from ._newman import ginibre_exponents as ginibre_exponents
from ._newman import ginibre_growth_variance as ginibre_growth_variance
from ._truncated_orthogonal import (
    truncated_orthogonal_exponents as truncated_orthogonal_exponents,
)
from ._truncated_orthogonal import (
    truncated_orthogonal_growth_variance as truncated_orthogonal_growth_variance,
)
