"""vanishing_jax: whether gradients vanish in a recurrent network, how far they reach, and why.

Everything public is here or in one of the namespaces `cells`, `claims`, `spectra`, `diagnostics`,
`theory`, `tasks`, `mitigations`, `networks`, `training`, `recipes`, `interop`, `plots`, `report`,
`studies`.
Names are loaded when first used (PEP 562), so that `import vanishing_jax` is cheap, changes no
global state, and the command line answers at once.
"""

from typing import TYPE_CHECKING

from ._lazy import lazy

__version__ = "0.2.0"

if TYPE_CHECKING:
    from . import cells as cells
    from . import diagnostics as diagnostics
    from . import interop as interop
    from . import mitigations as mitigations
    from . import networks as networks
    from . import plots as plots
    from . import report as report
    from . import spectra as spectra
    from . import studies as studies
    from . import tasks as tasks
    from . import theory as theory
    from . import training as training
    from ._chain import JacobianChain as JacobianChain
    from ._checks import NonFiniteError as NonFiniteError
    from ._linearize import linearize as linearize
    from ._linearize_layers import linearize_layers as linearize_layers
    from ._rollout import Trajectory as Trajectory
    from ._rollout import rollout as rollout
    from .cells import EquinoxCell as EquinoxCell
    from .cells import FlaxCell as FlaxCell
    from .cells import FunctionCell as FunctionCell
    from .cells import HaikuCell as HaikuCell
    from .cells import KerasCell as KerasCell
    from .cells import as_cell as as_cell
    from .comparison import compare as compare
    from .comparison import comparison_table as comparison_table
    from .comparison import phase_diagram as phase_diagram
    from .comparison import recipes as recipes
    from .comparison import train as train
    from .comparison import trainability_map as trainability_map
    from .diagnostics import Diagnosis as Diagnosis
    from .diagnostics import GradientProfile as GradientProfile
    from .diagnostics import LayerDiagnosis as LayerDiagnosis
    from .diagnostics import diagnose as diagnose
    from .diagnostics import diagnose_layers as diagnose_layers
    from .diagnostics import gradient_profile as gradient_profile
    from .spectra import LyapunovExponents as LyapunovExponents
    from .spectra import Spectrum as Spectrum
    from .spectra import log_singular_values as log_singular_values
    from .spectra import lyapunov_exponents as lyapunov_exponents
    from .studies import claims as claims
    from .studies import mitigation_table as mitigation_table
else:
    __getattr__, __dir__, __all__ = lazy(__name__)
