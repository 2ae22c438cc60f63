"""The claims of an article about vanishing gradients, each an experiment with a verdict.

The article is "Gradient Vanishing in Unnormalized RNN Architectures"; `CLAIMS` lists what it says.
A verdict follows from the measured intervals by one rule, `RULE`. To add a claim, put a function
that measures under the decorator `claim`: in your own program, or here in the file of its theme.
"""

from .._verdicts import VERDICTS as VERDICTS
from .._verdicts import decide as decide
from ._catalogue import CLAIMS as CLAIMS
from ._claim import Claim as Claim
from ._claim import claim as claim
from ._figure import Curve as Curve
from ._figure import Figure as Figure
from ._finding import all_seeds as all_seeds
from ._finding import exact as exact
from ._finding import over_seeds as over_seeds
from ._networks import Settings as Settings
from ._pages import write_claims as write_claims
from ._plot import plot_claim as plot_claim
from ._result import RULE as RULE
from ._result import ClaimResult as ClaimResult
from ._run import check_claim as check_claim
from ._run import run_claims as run_claims
