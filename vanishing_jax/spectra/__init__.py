"""Spectra of products of Jacobians: docs/guides/spectra.md says how, and what the bounds mean."""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from ._block_spectrum import block_log_singular_values as block_log_singular_values
    from ._covariant import covariant_lyapunov_vectors as covariant_lyapunov_vectors
    from ._decoupled import decoupled_blocks as decoupled_blocks
    from ._leading import leading_singular_values as leading_singular_values
    from ._log_singular_values import Spectrum as Spectrum
    from ._log_singular_values import log_singular_values as log_singular_values
    from ._lyapunov import LyapunovExponents as LyapunovExponents
    from ._lyapunov import lyapunov_exponents as lyapunov_exponents
    from ._partial_spectrum import PartialSpectrum as PartialSpectrum
    from ._partial_spectrum import input_loadings as input_loadings
    from ._scan_gradient import product_log_growth as product_log_growth
    from ._scan_gradient import product_log_singular_values as product_log_singular_values
    from ._spectral_gradient import SpectralGradient as SpectralGradient
    from ._spectral_gradient import spectral_gradient as spectral_gradient
    from ._surviving import surviving_directions as surviving_directions
else:
    __getattr__, __dir__, __all__ = lazy(__name__)
