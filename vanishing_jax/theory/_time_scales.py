"""How long a gate keeps what it was given: time scales of gate biases, one unit or a layer."""

import numpy as np
from scipy.special import expit, log_expit

# Points of the quadrature over a layer's units: exact to rounding for these smooth integrands.
_NODES = 200


def gate_time_scale(bias: float) -> float:
    r"""Return after how many steps a gate with this bias has kept a share of 1/e.

    The path of the cell state through the gates that keep (forget gate f of an LSTM, update gate z
    of a GRU), at zero input and state: f = sigma(b) per step, so tau = -1 / log sigma(b), 1.44 for
    b = 0, 3.19 for 1, 20.6 for 3 and about e^b + 1/2 beyond. It is the whole gradient only while
    the other paths contribute nothing.

    **Arguments:**

    - `bias`: b, of the gate that keeps.

    **Returns:** tau, in steps.

    **Raises:** `ValueError` for a bias that is not finite.

    **Validity:** gates frozen at sigma(b). Accurate for every finite b whose result is.

    **Example:**

    >>> from vanishing_jax.theory import gate_time_scale
    >>> [round(gate_time_scale(float(b)), 3) for b in range(4)]
    [1.443, 3.192, 7.878, 20.581]

    ??? cite "Reference"

        ```bibtex
        @article{gers2000learning,
          author  = {Gers, Felix A. and Schmidhuber, J{\"u}rgen and Cummins, Fred},
          title   = {Learning to forget: continual prediction with {LSTM}},
          journal = {Neural Computation},
          volume  = {12},
          pages   = {2451--2471},
          year    = {2000},
        }
        ```
    """
    if not np.isfinite(bias):
        raise ValueError(f"expected a finite `bias`; got {bias}.")
    return float(-1 / log_expit(np.float64(bias)))


def gate_log_retention(bias: float, *, steps: int) -> float:
    """Return log of the share sigma(b)^t that a gate with this bias keeps over t steps.

    d c_t / d c_0 along the cell state of an LSTM with frozen gates, the same for the backward
    signal. In logs, because sigma(0)^t = 2^-t is below float32 from t = 127.

    **Arguments:**

    - `bias`: b, of the gate that keeps.
    - `steps`: t, at least 0.

    **Returns:** the natural log, at most 0.

    **Raises:** `ValueError` for a bias that is not finite or a negative number of steps.

    **Example:**

    >>> from vanishing_jax.theory import gate_log_retention
    >>> round(gate_log_retention(3.0, steps=100), 4)
    -4.8587
    """
    if not np.isfinite(bias) or steps < 0:
        raise ValueError(f"expected a finite `bias` and `steps` >= 0; got {bias}, {steps}.")
    return float(steps * log_expit(np.float64(bias)))


def chrono_retention(steps: int, *, longest: int) -> float:
    r"""Return what a layer with chrono-initialized gates keeps over t steps, on average.

    With b = log u and u uniform on [1, T_max - 1] (Tallec & Ollivier 2018) a unit keeps
    (u / (1 + u))^t, between 2^-t and (1 - 1/T_max)^t. The mean over units falls like a power of t
    up to T_max, not exponentially: at t = T_max 0.15 is left, where a layer of equal units with the
    mean time scale would keep less than half of that.

    **Arguments:**

    - `steps`: t, at least 0.
    - `longest`: T_max, at least 3; `mitigations.chrono(T_max)` draws from the same law.

    **Returns:** the mean share in (0, 1].

    **Raises:** `ValueError` for numbers out of range.

    **Cost:** a Gauss-Legendre quadrature of 200 points.

    **Validity:** gates frozen at sigma(b).

    **Example:**

    >>> from vanishing_jax.theory import chrono_retention
    >>> [round(chrono_retention(t, longest=100), 4) for t in (1, 10, 100, 200)]
    [0.9601, 0.7326, 0.1496, 0.0376]

    ??? cite "Reference"

        ```bibtex
        @inproceedings{tallec2018can,
          author    = {Tallec, Corentin and Ollivier, Yann},
          title     = {Can recurrent neural networks warp time?},
          booktitle = {International Conference on Learning Representations},
          year      = {2018},
        }
        ```
    """
    if steps < 0 or longest < 3:
        raise ValueError(f"expected `steps` >= 0 and `longest` >= 3; got {steps}, {longest}.")
    # In b = log u the integrand e^b sigma(b)^t is smooth over the decades that u spans.
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    top = np.log(longest - 1)
    b = top * (nodes + 1) / 2
    values = np.exp(b + steps * log_expit(b))
    return float(np.sum(weights * values) * top / 2 / (longest - 2))


def chrono_longest_share(longest: int) -> float:
    """Return (1 - 1/T_max)^T_max, what chrono's slowest unit keeps over the longest time.

    Its bias is log(T_max - 1), its gate 1 - 1/T_max and its time scale T_max - 1/2 + O(1/T_max), so
    that about 1/e is left at T_max, whatever T_max is.

    **Arguments:**

    - `longest`: T_max, at least 2.

    **Returns:** the share, at most 1/e.

    **Raises:** `ValueError` for T_max below 2.

    **Example:**

    >>> from vanishing_jax.theory import chrono_longest_share
    >>> round(chrono_longest_share(100), 6)
    0.366032
    """
    if longest < 2:
        raise ValueError(f"expected `longest` of at least 2; got {longest}.")
    return float(expit(np.log(longest - 1.0)) ** longest)
