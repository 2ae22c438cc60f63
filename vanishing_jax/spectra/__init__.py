"""Spectra of products of Jacobians."""

from ._log_singular_values import Spectrum as Spectrum
from ._log_singular_values import log_singular_values as log_singular_values
from ._lyapunov import LyapunovExponents as LyapunovExponents
from ._lyapunov import lyapunov_exponents as lyapunov_exponents
from ._product import product_log_singular_values as product_log_singular_values
