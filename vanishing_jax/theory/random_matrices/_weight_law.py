"""Whether a recurrent matrix looks like a draw from a law that theories assume, and which."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..._types import Array

# A score beyond this many standard deviations of the law counts against it.
_SUSPICIOUS = 5.0

# Relative deviation of W^T W from a multiple of the identity that rounding explains.
_ORTHOGONAL = 1e-3


class WeightLaw(NamedTuple):
    """What a square matrix looks like; made by `weight_law`.

    - `name`: "gaussian" (independent entries of one variance; also uniform ones, which large
      matrices do not tell apart), "orthogonal" (a multiple of a uniformly drawn one), "identity" (a
      multiple of it) or "structured" (none of these: trained, sparse, of low rank, ...).
    - `gain`: g: root mean square of the entries times sqrt(n); of all singular values if
      orthogonal.
    - `scores`: what was tested -> how many standard deviations of the law it is off.
    - `reason`: why it is structured; empty otherwise.
    """

    name: str
    gain: float
    scores: dict[str, float]
    reason: str

    @property
    def kind(self) -> str:
        """The name as it stands in a sentence."""
        return "Gaussian" if self.name == "gaussian" else self.name


def weight_law(weight: Float[Array | np.ndarray, "hidden hidden"]) -> WeightLaw:
    r"""Return which law of random matrices a recurrent matrix is compatible with, and its gain.

    Theories of random networks hold for weights as drawn; training makes them something else. Six
    statistics whose law is known for independent entries of variance g^2/n are compared to it, each
    as a score of mean 0 and variance 1: the mean entry (n^1.5 mean(W)/g, a rank-one part), row and
    column sums of squares (units of unequal strength), tr W / g and (tr W^2/g^2 - 1)/sqrt(2)
    (eigenvalues that do not fill the circle evenly, self-connections, symmetry), and
    tr (W W^T)^2, the second moment of the Marchenko-Pastur law (a few large singular values).
    Multiples of orthogonal matrices are recognized by W^T W, and then tested by their traces.

    It cannot see dependence on other weights or on the data: a network that was trained little, or
    only in its other matrices, passes.

    **Arguments:**

    - `weight`: W, shape (n, n).

    **Returns:** a `WeightLaw`. A zero matrix is "identity" of gain 0.

    **Raises:** `ValueError` for a matrix that is not square and finite.

    **Cost:** O(n^3), two matrix products.

    **Validity:** scores are calibrated at n >= 10 to some 10 % (`tests/theory/test_weight_law.py`);
    below, little can be told.

    **Example:**

    >>> import numpy as np
    >>> from vanishing_jax.theory import weight_law
    >>> W = np.random.default_rng(0).normal(size=(50, 50)) / np.sqrt(50)
    >>> weight_law(W).name, weight_law(W + W.T).name, weight_law(np.linalg.qr(W).Q).name
    ('gaussian', 'structured', 'orthogonal')

    ??? cite "Reference"

        ```bibtex
        @article{martin2021implicit,
          author  = {Martin, Charles H. and Mahoney, Michael W.},
          title   = {Implicit self-regularization in deep neural networks: evidence from random
                     matrix theory and implications for learning},
          journal = {Journal of Machine Learning Research},
          volume  = {22},
          year    = {2021},
        }
        ```
    """
    W = np.asarray(weight, np.float64)
    if W.ndim != 2 or W.shape[0] != W.shape[1] or not np.isfinite(W).all():
        raise ValueError(f"expected a square, finite `weight`; got shape {W.shape}.")
    n = len(W)
    gain = float(np.sqrt(np.sum(W**2) / n))
    if gain == 0:
        return WeightLaw("identity", 0.0, {}, "")
    W = W / gain
    gram = W.T @ W
    if np.abs(gram - np.eye(n)).max() < _ORTHOGONAL:
        if n == 1 or np.abs(W - np.eye(n) * W[0, 0]).max() < _ORTHOGONAL:
            return WeightLaw("identity", gain * float(np.sign(W[0, 0])), {}, "")
        return _judged("orthogonal", gain, _traces(W))
    return _judged("gaussian", gain, {**_entries(W), **_traces(W), **_moment(W, gram)})


def _judged(name: str, gain: float, scores: dict[str, float]) -> WeightLaw:
    bad = {what: z for what, z in scores.items() if abs(z) > _SUSPICIOUS}
    if not bad:
        return WeightLaw(name, gain, scores, "")
    worst = sorted(bad, key=lambda what: -abs(bad[what]))[:2]
    reason = ", ".join(f"{what} off by {abs(bad[what]):.0f} sd" for what in worst)
    return WeightLaw("structured", gain, scores, reason)


def _traces(W):
    return {
        "trace": float(np.trace(W)),
        "trace of the square": float((np.sum(W * W.T) - 1) / np.sqrt(2)),
    }


def _entries(W):
    n = len(W)
    kurtosis = max(n**2 * np.mean(W**4), 1 + 1e-3)  # of entries of variance 1/n: 3 if Gaussian
    scores = {"mean entry": float(n**1.5 * np.mean(W))}
    for axis, name in ((1, "row strengths"), (0, "column strengths")):
        sums = (np.sum(W**2, axis=axis) - 1) * np.sqrt(n / (kurtosis - 1))
        # Chi-square of n - 1 degrees of freedom, made normal by its cube root.
        scaled = np.sum(sums**2) / max(n - 1, 1)
        width = 2 / (9 * max(n - 1, 1))
        scores[name] = float((np.cbrt(scaled) - 1 + width) / np.sqrt(width))
    return scores


def _moment(W, gram):
    n = len(W)
    expected = 2 + (n * n * np.mean(W**4) - 2) / n
    # tr (W W^T)^2 given tr W W^T has the variance 4 as n grows, as the Marchenko-Pastur law has it.
    return {"singular values": float((np.sum(gram**2) - n * expected) / 2)}
