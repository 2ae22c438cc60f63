"""Exponents of cells that are discretized differential equations: exact in the linear case."""

import numpy as np
from jaxtyping import Float, Float64

from .._types import Array


def antisymmetric_exponents(
    weight: Float[Array | np.ndarray, "hidden hidden"], *, step: float, damping: float = 0.0
) -> Float64[np.ndarray, " hidden"]:
    r"""Return the exact exponents of the linear AntisymmetricRNN, h' = h + eps (A - gamma I) h.

    A = M - M^T has eigenvalues +- i w, so the step matrix is normal and its singular values are
    |1 + eps (i w - gamma)|: with gamma = 0 every direction *grows*, by log(1 + eps^2 w^2) / 2 per
    step, although the differential equation keeps all norms. gamma = eps w^2 / 2, to first order,
    holds the fastest direction. The product of T steps has exactly the T-th powers of these
    singular values. In a network, tanh' <= 1 multiplies A - gamma I and these are the exponents at
    the fixed point 0.

    **Arguments:**

    - `weight`: M, shape (n, n); only M - M^T counts.
    - `step`: eps, positive.
    - `damping`: gamma; 0 by default.

    **Returns:** the n exponents, descending, nats per step, float64.

    **Raises:** `ValueError` for a matrix that is not square or a step that is not positive.

    **Example:**

    >>> import numpy as np
    >>> from vanishing_jax.theory import antisymmetric_exponents
    >>> M = np.array([[0.0, 2.0], [0.0, 0.0]])
    >>> antisymmetric_exponents(M, step=0.1).round(6)  # log(1.04) / 2
    array([0.01961, 0.01961])

    ??? cite "Reference"

        ```bibtex
        @inproceedings{chang2019antisymmetric,
          author    = {Chang, Bo and Chen, Minmin and Haber, Eldad and Chi, Ed H.},
          title     = {{AntisymmetricRNN}: a dynamical system view on recurrent neural networks},
          booktitle = {International Conference on Learning Representations},
          year      = {2019},
        }
        ```
    """
    M = np.asarray(weight, np.float64)
    if M.ndim != 2 or M.shape[0] != M.shape[1]:
        raise ValueError(f"expected a square `weight`; got shape {M.shape}.")
    _check_step(step)
    w = np.linalg.eigvalsh(1j * (M - M.T))
    with np.errstate(divide="ignore"):
        return np.sort(np.log(np.hypot(1 - step * damping, step * w)))[::-1]


def oscillator_exponents(
    stiffness: Float[Array | np.ndarray, " hidden"], *, step: float, damping: float = 0.0
) -> Float64[np.ndarray, "hidden two"]:
    r"""Return both exponents of each linear oscillator of a coRNN or UnICORNN cell.

    One unit carries (y, z) with z' = z - dt (k y + e z) and y' = y + dt z'. Its step matrix has
    determinant 1 - dt e and trace 2 - dt e - dt^2 k. Where the eigenvalues are complex both
    exponents are log(1 - dt e) / 2, whatever the stiffness k: the damping alone decides how fast
    gradients vanish, at dt e / 2 per step, and without it (UnICORNN, a symplectic Euler step) they
    are 0 for 0 < dt^2 k < 4. Beyond, one eigenvalue leaves the circle and gradients explode; below
    0 < k too, overdamped, the pair splits and the slow exponent tends to 0.

    coRNN: k = gamma and e = epsilon of Rusch and Mishra (2021), where W = W_z = 0 or tanh
    saturates. With a diagonal weight w, as in UnICORNN, k = alpha + w sigma'(a), at fixed a.

    **Arguments:**

    - `stiffness`: k of each unit, shape (n,).
    - `step`: dt, positive.
    - `damping`: e; 0 by default.

    **Returns:** shape (n, 2), the larger first, nats per step, float64.

    **Raises:** `ValueError` for a step that is not positive.

    **Validity:** exponents of the eigenvalues: at finite T the norm of the product wobbles about
    them by a factor that does not grow, except where both eigenvalues coincide.

    **Example:**

    >>> import numpy as np
    >>> from vanishing_jax.theory import oscillator_exponents
    >>> oscillator_exponents(np.array([1.0]), step=0.1, damping=2.0).round(6)
    array([[-0.075785, -0.147359]])

    ??? cite "Reference"

        ```bibtex
        @inproceedings{rusch2021coupled,
          author    = {Rusch, T. Konstantin and Mishra, Siddhartha},
          title     = {Coupled oscillatory recurrent neural network ({coRNN}): an accurate and
                       (gradient) stable architecture for learning long time dependencies},
          booktitle = {International Conference on Learning Representations},
          year      = {2021},
        }
        @inproceedings{rusch2021unicornn,
          author    = {Rusch, T. Konstantin and Mishra, Siddhartha},
          title     = {{UnICORNN}: a recurrent model for learning very long time dependencies},
          booktitle = {International Conference on Machine Learning},
          year      = {2021},
        }
        ```
    """
    _check_step(step)
    k = np.asarray(stiffness, np.float64)
    determinant = 1 - step * damping
    half_trace = (1 + determinant - step**2 * k) / 2
    root = np.sqrt((half_trace**2 - determinant).astype(np.complex128))
    with np.errstate(divide="ignore"):
        pair = np.log(np.abs(np.stack([half_trace + root, half_trace - root], axis=1)))
    return -np.sort(-pair, axis=1)


def cornn_log_determinant(
    velocity_weight: Float[Array | np.ndarray, "hidden hidden"],
    slopes: Float[Array | np.ndarray, "time hidden"],
    *,
    step: float,
    damping: float,
) -> Float64[np.ndarray, " time"]:
    r"""Return log |det J_t| of the nonlinear coRNN: that of (1 - dt e) I + dt D_t W_z.

    The cell z' = z + dt (tanh(W y + W_z z + V x + b) - gamma y - e z), y' = y + dt z' first moves z
    at fixed y, then y at fixed z', and the second step keeps volumes. So the sum of all 2 n
    exponents is the mean of this, whatever W, gamma and the input are; without W_z it is
    n log(1 - dt e) at every step, and the mean exponent log(1 - dt e) / 2.

    **Arguments:**

    - `velocity_weight`: W_z, shape (n, n).
    - `slopes`: D_t = tanh'(a_t), shape (T, n).
    - `step`: dt, positive; `damping`: e (epsilon in the paper).

    **Returns:** natural logs, one per row of `slopes`.

    **Raises:** `ValueError` for a step that is not positive.

    **Cost:** one LU factorization per step.

    **Example:**

    >>> import numpy as np
    >>> from vanishing_jax.theory import cornn_log_determinant
    >>> cornn_log_determinant(np.zeros((3, 3)), np.ones((2, 3)), step=0.1, damping=1.0).round(6)
    array([-0.316082, -0.316082])
    """
    _check_step(step)
    W, D = np.asarray(velocity_weight, np.float64), np.asarray(slopes, np.float64)
    own = (1 - step * damping) * np.eye(len(W)) + step * D[..., :, None] * W
    return np.linalg.slogdet(own).logabsdet


def _check_step(step: float) -> None:
    if not 0 < step < np.inf:
        raise ValueError(f"expected a positive, finite `step`; got {step}.")
