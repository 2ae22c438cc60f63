"""What the singular values of factors say about their product, whatever the order."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64

from .._types import Array

_STEEPEST = {"tanh": 1.0, "sigmoid": 0.25, "relu": 1.0, "identity": 1.0}


class GrowthBound(NamedTuple):
    """What one recurrent matrix allows gradients of a plain cell to do; made by `growth_bound`.

    - `spectral_norm`: sigma_1(W), the largest singular value.
    - `spectral_radius`: the largest |eigenvalue| of W, at most `spectral_norm`.
    - `log_growth`: log(gamma sigma_1(W)): no gradient grows by more per step, in nats.
    - `must_vanish`: `log_growth` < 0. Sufficient, not necessary, for gradients to vanish.
    - `can_explode`: `log_growth` > 0. Necessary, not sufficient, for gradients to explode.
    - `linear_exponent`: log of the spectral radius: the exponent of the *linear* cell, reached as
      T grows; at finite T a non-normal W may first amplify by orders of magnitude.
    """

    spectral_norm: float
    spectral_radius: float
    log_growth: float
    must_vanish: bool
    can_explode: bool
    linear_exponent: float


def growth_bound(
    weight: Float[Array | np.ndarray, "hidden hidden"],
    *,
    activation: str = "tanh",
    steepest: float | None = None,
) -> GrowthBound:
    r"""Return what the singular values of W alone say about gradients of h' = phi(W h + U x + b).

    Each factor of the product of Jacobians is diag(phi'(a_t)) W, so that
    ||J_T ... J_1|| <= (gamma sigma_1(W))^T with gamma = sup |phi'|, 1 for tanh and ReLU and 1/4 for
    the sigmoid (Pascanu et al. 2013, where the condition sigma_1 < 1/gamma is *sufficient* for
    vanishing and sigma_1 > 1/gamma *necessary* for exploding). The bound holds for every input and
    every T, and is far from what happens: a Gaussian W has sigma_1 = 2 g where its gradients grow
    by less than g. The spectral radius bounds nothing at finite T unless W is normal: the shift
    matrix alpha N has radius 0 and norm alpha^t after t < n steps.

    **Arguments:**

    - `weight`: W, shape (n, n), that multiplies the column h from the left.
    - `activation`: "tanh", "sigmoid", "relu" or "identity".
    - `steepest`: gamma of another activation; overrides `activation`.

    **Returns:** a `GrowthBound`.

    **Raises:** `ValueError` for a matrix that is not square and finite, an unknown activation, or a
    slope that is not positive.

    **Cost:** O(n^3).

    **Validity:** exact inequality in exact arithmetic; computed in float64.

    **Example:**

    >>> import numpy as np
    >>> from vanishing_jax.theory import growth_bound
    >>> bound = growth_bound(np.diag([3.0, 1.0]), activation="sigmoid")
    >>> bound.must_vanish, round(bound.log_growth, 6)
    (True, -0.287682)

    ??? cite "Reference"

        ```bibtex
        @inproceedings{pascanu2013difficulty,
          author    = {Pascanu, Razvan and Mikolov, Tomas and Bengio, Yoshua},
          title     = {On the difficulty of training recurrent neural networks},
          booktitle = {International Conference on Machine Learning},
          year      = {2013},
        }
        ```
    """
    W = np.asarray(weight, np.float64)
    if W.ndim != 2 or W.shape[0] != W.shape[1] or not np.isfinite(W).all():
        raise ValueError(f"expected a square, finite `weight`; got shape {W.shape}.")
    if steepest is None:
        if activation not in _STEEPEST:
            raise ValueError(
                f"expected an `activation` out of {', '.join(_STEEPEST)}; got {activation!r}. Give "
                "`steepest`, the largest |phi'|, of another."
            )
        steepest = _STEEPEST[activation]
    if not 0 < steepest < np.inf:
        raise ValueError(f"expected a positive, finite `steepest` slope; got {steepest}.")
    norm = float(np.linalg.norm(W, 2))
    radius = float(np.abs(np.linalg.eigvals(W)).max())
    with np.errstate(divide="ignore"):
        growth, exponent = float(np.log(steepest * norm)), float(np.log(radius))
    return GrowthBound(norm, radius, growth, growth < 0, growth > 0, exponent)


def product_norm_bounds(
    jacobians: Float[Array | np.ndarray, "time rows columns"],
) -> tuple[Float64[np.ndarray, "moment"], Float64[np.ndarray, "moment"]]:
    """Return bounds on the logs of the largest and the smallest singular value of each product.

    For P_t = J_t ... J_1, log sigma_1(P_t) <= sum log sigma_1(J_s) and log sigma_n(P_t) >=
    sum log sigma_n(J_s). Both hold for all factors in any order, and are reached only when the
    singular vectors of neighbors line up; how far the measured spectrum stays inside says how much
    the alignment matters. Where the upper one falls, gradients vanish for certain.

    **Arguments:**

    - `jacobians`: J_1..J_T, shape (T, n, n), as `JacobianChain.jacobians`.

    **Returns:** `(upper, lower)`, natural logs, each of shape (T+1,), starting at 0; -inf where a
    factor is singular.

    **Raises:** `ValueError` for an array that is not a stack of square matrices.

    **Cost:** T singular value decompositions, O(T n^3).

    **Validity:** in float64 `lower` is accurate while each factor's condition number is below 1e15.

    **Example:**

    >>> import numpy as np
    >>> from vanishing_jax.theory import product_norm_bounds
    >>> upper, lower = product_norm_bounds(np.array([np.diag([1.0, 0.5]), np.diag([0.5, 1.0])]))
    >>> upper.tolist(), lower.round(6).tolist()
    ([0.0, 0.0, 0.0], [0.0, -0.693147, -1.386294])

    ??? cite "Reference"

        ```bibtex
        @article{bengio1994learning,
          author  = {Bengio, Yoshua and Simard, Patrice and Frasconi, Paolo},
          title   = {Learning long-term dependencies with gradient descent is difficult},
          journal = {IEEE Transactions on Neural Networks},
          volume  = {5},
          pages   = {157--166},
          year    = {1994},
        }
        ```
    """
    J = np.asarray(jacobians, np.float64)
    if J.ndim != 3 or J.shape[1] != J.shape[2]:
        raise ValueError(f"expected `jacobians` of shape (time, n, n); got {J.shape}.")
    with np.errstate(divide="ignore"):
        logs = np.log(np.linalg.svd(J, compute_uv=False)) if len(J) else np.zeros((0, 1))
    upper, lower = (np.cumsum(np.r_[0.0, logs[:, i]]) for i in (0, -1))
    return upper, lower
