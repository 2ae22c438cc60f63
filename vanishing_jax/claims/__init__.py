"""The claims of an article about vanishing gradients, each an experiment with a verdict.

The article is "Gradient Vanishing in Unnormalized RNN Architectures"; `CLAIMS` lists what it says.
A verdict follows from the measured intervals by one rule, `RULE`. To add a claim, put a function
that measures under the decorator `claim`: in your own program, or here in the file of its theme.
"""

from . import _learning as _learning
from . import _left_out as _left_out
from . import _mathematics as _mathematics
from . import _normalization as _normalization
from . import _remedies as _remedies
from . import _summary_table as _summary_table
from . import _what_vanishes as _what_vanishes
from ._intervals import all_seeds as all_seeds
from ._intervals import exact as exact
from ._intervals import over_seeds as over_seeds
from ._networks import Settings as Settings
from ._registry import ARTICLE as ARTICLE
from ._registry import Claim as Claim
from ._registry import check_claim as check_claim
from ._registry import claim as claim
from ._registry import registered as _registered
from ._result import RULE as RULE
from ._result import VERDICTS as VERDICTS
from ._result import ClaimResult as ClaimResult
from ._result import Curve as Curve
from ._result import Figure as Figure
from ._result import Finding as Finding
from ._result import decide as decide
from ._run import run_claims as run_claims

CLAIMS = _registered()
