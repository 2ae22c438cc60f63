"""Predictions to hold measurements against: exact laws of products of random matrices."""

from ._newman import ginibre_exponents as ginibre_exponents
from ._newman import ginibre_growth_variance as ginibre_growth_variance
