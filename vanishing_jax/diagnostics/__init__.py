"""Diagnostics: what a recurrence does to gradients, and why."""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from ._activation_history import ActivationHistory as ActivationHistory
    from ._activation_history import activation_history as activation_history
    from ._diagnose import diagnose as diagnose
    from ._diagnose_layers import diagnose_layers as diagnose_layers
    from ._diagnosis import Diagnosis as Diagnosis
    from ._effects import Effect as Effect
    from ._eigenvalues import StepEigenvalues as StepEigenvalues
    from ._eigenvalues import step_eigenvalues as step_eigenvalues
    from ._gradient_profile import GradientProfile as GradientProfile
    from ._gradient_profile import gradient_profile as gradient_profile
    from ._influence import InfluenceMap as InfluenceMap
    from ._influence import influence_map as influence_map
    from ._layer_diagnosis import LayerDiagnosis as LayerDiagnosis
    from ._layer_gradients import LayerGradients as LayerGradients
    from ._layer_gradients import StackLayers as StackLayers
    from ._layer_profile import layer_gradient_profile as layer_gradient_profile
    from ._network_diagnosis import NetworkDiagnosis as NetworkDiagnosis
    from ._network_diagnosis import NetworkReach as NetworkReach
else:
    __getattr__, __dir__, __all__ = lazy(__name__)
