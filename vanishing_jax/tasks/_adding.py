"""The adding problem."""

from jaxtyping import Float

from .._types import Array
from ._marked_pairs import AbstractMarkedPairs, Chances

_SCALE = {"le": 1.0, "bai": 1.0, "pascanu": 0.5, "hochreiter": 0.25}


class Adding(AbstractMarkedPairs):
    """The adding problem: of a sequence of random numbers, report the sum of the two marked ones.

    Each input is (number, marker); after the last step the output must be the sum, or a multiple of
    it. The loss is the mean squared error, the metric the share of outputs less than 0.04 off (0.2
    in "pascanu", where the squared error counts). Papers differ; `variant` says whose it is:

    | `variant` | numbers | markers | target | length |
    |---|---|---|---|---|
    | "le" (default; also Arjovsky, IndRNN, coRNN) | U[0, 1) | one in each half | X1 + X2 | T |
    | "bai" (the TCN paper) | U[0, 1) | two anywhere | X1 + X2 | T |
    | "pascanu" | U[0, 1) | first 10%; 10% to 50% | (X1 + X2) / 2 | T'..T |
    | "hochreiter" (1997) | U[-1, 1) | first ten; first T'/2 - 1 | (1 + (X1 + X2) / 2) / 2 | T'..T |

    The last two draw each sequence's length uniformly from T' = T - floor(T / 11) to T (the papers
    say: from T' to T' + T'/10) and return `Padded`. In "hochreiter" the first and the last marker
    are -1, and a marked number that comes first is set to 0. (The paper says that of X1; where X2
    comes first its marker is hidden as well.)

    The baseline is exact. It lies a little below the variance of the target, which is often quoted
    (1/6 for "le" and "bai", 1/24 for the others): with chance 1/(T/2) or 2/T a marked number is the
    last input, and in "hochreiter" one in ten first numbers is 0.

    **Arguments:**

    - `length`: number of steps T.
    - `variant`: see the table.

    **Raises:** `ValueError` for an unknown variant, and a length without room for the markers.

    **Example:**

    >>> import jax
    >>> from vanishing_jax.tasks import Adding
    >>> task = Adding(150)
    >>> inputs, targets = task.sample(jax.random.key(0), 32)
    >>> inputs.shape, targets.shape, round(task.baseline, 4)
    ((32, 150, 2), (32,), 0.1656)

    ??? cite "Reference"

        ```bibtex
        @article{hochreiter1997long,
          author  = {Hochreiter, Sepp and Schmidhuber, Jürgen},
          title   = {Long Short-Term Memory},
          journal = {Neural Computation},
          volume  = {9},
          number  = {8},
          pages   = {1735--1780},
          year    = {1997},
        }
        @inproceedings{hochreiter1996lstm,
          author    = {Hochreiter, Sepp and Schmidhuber, Jürgen},
          title     = {{LSTM} can Solve Hard Long Time Lag Problems},
          booktitle = {Advances in Neural Information Processing Systems},
          year      = {1996},
        }
        @article{le2015simple,
          author  = {Le, Quoc V. and Jaitly, Navdeep and Hinton, Geoffrey E.},
          title   = {A Simple Way to Initialize Recurrent Networks of Rectified Linear Units},
          journal = {arXiv:1504.00941},
          year    = {2015},
        }
        ```
    """

    def __init__(self, length: int = 100, *, variant: str = "le"):
        """See the class."""
        low = -1.0 if variant == "hochreiter" else 0.0
        self._describe_pairs("adding", length, variant, low=low, neutral=0.0)

    def _baseline(self, chances: Chances) -> float:
        # Two independent numbers; one less where it is the last input or was set to 0.
        number_variance = 1 / 3 if self.variant == "hochreiter" else 1 / 12
        return _SCALE[self.variant] ** 2 * number_variance * (2 - chances.last - chances.neutral)

    def _target(self, first: Float[Array, " batch"], second: Float[Array, " batch"]) -> Array:
        offset = 0.5 if self.variant == "hochreiter" else 0.0
        return offset + _SCALE[self.variant] * (first + second)
