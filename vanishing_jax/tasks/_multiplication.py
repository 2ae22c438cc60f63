"""The multiplication problem."""

from jaxtyping import Float

from .._types import Array
from ._marked_pairs import AbstractMarkedPairs, Chances


class Multiplication(AbstractMarkedPairs):
    """The multiplication problem: report the product of the two marked numbers of a sequence.

    As `Adding`, with the target X1 X2 and all numbers from U[0, 1), whatever the variant; in
    "hochreiter" a marked number that comes first is set to 1. A network cannot solve it by adding
    up what the markers let through, as it can the adding problem.

    The baseline is exact, and a little below the variance 7/144 = 0.0486 of the target: see there.

    **Arguments:**

    - `length`: number of steps T.
    - `variant`: "le", "bai", "pascanu" or "hochreiter": where markers are, as in `Adding`.

    **Raises:** `ValueError` for an unknown variant, and a length without room for the markers.

    **Example:**

    >>> import jax
    >>> from vanishing_jax.tasks import Multiplication
    >>> task = Multiplication(100, variant="pascanu")
    >>> inputs, targets = task.sample(jax.random.key(0), 32)
    >>> inputs.values.shape, targets.length.shape, round(task.baseline, 4)
    ((32, 100, 2), (32,), 0.0486)

    The reference is that of `Adding`.
    """

    def __init__(self, length: int = 100, *, variant: str = "le"):
        """See the class."""
        self._describe_pairs("multiplication", length, variant, low=0.0, neutral=1.0)

    def _baseline(self, chances: Chances) -> float:
        """Return the variance of X1 X2 that the last input leaves."""
        # E X = 1/2 and E X^2 = 1/3. With a factor of 1 the product is one X, unknown to the model.
        last, neutral = chances
        mean = (1 - neutral) / 4 + neutral / 2
        unknown = (1 - neutral) / 9 + neutral / 3 - mean**2
        given_one_factor = 1 / 3 * 1 / 12  # E[X2^2] Var X1
        return (1 - last) * unknown + last * given_one_factor

    def _target(self, first: Float[Array, " batch"], second: Float[Array, " batch"]) -> Array:
        return first * second
