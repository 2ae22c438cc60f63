"""One plot per result; each draws what its result holds and computes nothing heavy.

`plot_x(result, *, ax=None, **kwargs) -> Axes`. Matplotlib is imported by the first call, its global
settings stay as they are, and nothing is shown or saved. Axes of magnitudes hold log10 values under
labels 10^k, for a product of a thousand Jacobians has no float.
"""

import typing as _typing

from .. import _lazy
from ._activations import plot_activations as plot_activations
from ._activations import plot_gates as plot_gates
from ._activations import plot_saturation as plot_saturation
from ._comparison import plot_comparison as plot_comparison
from ._diagnosis import plot_diagnosis as plot_diagnosis
from ._effects import plot_effects as plot_effects
from ._eigenvalues import plot_eigenvalues as plot_eigenvalues
from ._gradient_by_lag import plot_gradient_by_lag as plot_gradient_by_lag
from ._gradient_history import plot_gradient_history as plot_gradient_history
from ._gradient_profile import plot_gradient_profile as plot_gradient_profile
from ._influence import plot_influence as plot_influence
from ._layer_gradients import plot_layer_gradients as plot_layer_gradients
from ._lyapunov import plot_lyapunov as plot_lyapunov
from ._network import plot_network as plot_network
from ._phase_diagram import plot_phase_diagram as plot_phase_diagram
from ._spectrum import plot_spectrum as plot_spectrum
from ._spectrum import plot_spectrum_density as plot_spectrum_density
from ._test_scores import plot_test_scores as plot_test_scores
from ._trainability import plot_trainability as plot_trainability

if _typing.TYPE_CHECKING:
    from ..studies.claims import plot_claim as plot_claim
else:

    def __getattr__(name: str) -> _typing.Any:
        if name == "plot_claim":  # lives with its study, in a layer above
            return _lazy.from_above("studies.claims.plot_claim")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), "plot_claim"})
