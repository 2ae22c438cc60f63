"""Leading exponents of networks with layer, RMS or batch normalization."""

import functools as ft
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64

from ..._types import Array, ArrayLike
from .._scalars import as_given, check_numbers
from .._slopes import Activation, slopes
from ..mean_field._averages import undifferentiated_average


class _Numbers(NamedTuple):
    """Variance of pre-activations; gains of what is normalized and of W; variance added to W h."""

    variance: Any
    gain: Any
    weight_gain: Any
    added: Any


def layer_norm_exponent(
    *,
    activation: Activation = "tanh",
    placement: str = "joint",
    gain: ArrayLike | float = 1.0,
    input_gain: ArrayLike | float | None = None,
    weight_gain: ArrayLike | float = 1.0,
    input_variance: ArrayLike | float = 0.0,
    bias_variance: ArrayLike | float = 0.0,
) -> Any:
    r"""Return the leading Lyapunov exponent of a wide random network with layer normalization.

    - "joint": $h' = \phi(\gamma\,\mathrm{LN}(W h + U x) + b)$. Pre-activations have the variance
      $Q = \gamma^2 + s_b^2$ whatever W does, and $\lambda_1 = \frac12\ln
      \frac{\gamma^2 g^2\langle\phi'^2\rangle_Q}{g^2\langle\phi^2\rangle_Q + s^2}$.
    - "separate": $h' = \phi(\gamma\,\mathrm{LN}(W h) + \gamma_x\,\mathrm{LN}(U x) + b)$, with
      $Q = \gamma^2 + \gamma_x^2 + s_b^2$ and $\lambda_1 = \frac12\ln
      \frac{\gamma^2\langle\phi'^2\rangle_Q}{\langle\phi^2\rangle_Q}$: neither g nor s matters.

    Without input the sign is never negative for tanh; with it the share of what is normalized that
    is recurrent decides. "Normalization prevents vanishing" is false as a general statement.

    **Arguments:**

    - `activation`: as of `mean_field_variance`.
    - `placement`: "joint" (default) or "separate", as of `vj.cells.LayerNormCell`.
    - `gain`: gamma > 0 of the recurrent (or joint) normalization.
    - `input_gain`: gamma_x of the separate one, `gain` by default; "joint" has none.
    - `weight_gain`: g > 0 of the recurrent weights, with variance g^2/n.
    - `input_variance`: s^2, the variance of U x per unit; "separate" has none.
    - `bias_variance`: s_b^2.

    **Returns:** nats per step; `inf` for "joint" with nothing to normalize.

    **Raises:** `ValueError` for an unknown placement, a number out of range, or one that the
    placement does not have.

    **Validity:** n -> infinity, untrained weights, inputs white in time and across units,
    normalized variance far above epsilon. Measured at n = 500 in benchmarks/mean_field.md.

    **Example:**

    >>> from vanishing_jax.theory import layer_norm_exponent
    >>> print(f"{layer_norm_exponent(gain=1.0, input_variance=1.0):.4f}")
    -0.5497
    >>> print(f"{layer_norm_exponent(placement='separate'):.4f}")
    -0.1986
    """
    numbers = _checked(placement, gain, input_gain, weight_gain, input_variance, bias_variance)
    return _exponent(activation, numbers, centered=False)


def rms_norm_exponent(
    *, activation: Activation = "tanh", placement: str = "joint", **numbers: Any
) -> Any:
    r"""Return the leading Lyapunov exponent of a wide random network with RMS normalization.

    That of `layer_norm_exponent`, whose arguments these are: the mean over units that RMSNorm does
    not subtract is O(n^-1/2) for weights of mean 0, whatever the mean of h, and the one singular
    value that it does not set to 0 is one of n.

    **Returns:** nats per step.

    **Validity:** as `layer_norm_exponent`.

    **Example:**

    >>> from vanishing_jax.theory import rms_norm_exponent
    >>> print(f"{rms_norm_exponent(gain=1.0):.4f}")
    0.0818

    ??? cite "Reference"

        ```bibtex
        @inproceedings{zhang2019root,
          author    = {Zhang, Biao and Sennrich, Rico},
          title     = {Root mean square layer normalization},
          booktitle = {Advances in Neural Information Processing Systems},
          year      = {2019},
        }
        ```
    """
    return layer_norm_exponent(activation=activation, placement=placement, **numbers)


def batch_norm_exponent(
    *,
    activation: Activation = "tanh",
    placement: str = "separate",
    gain: ArrayLike | float = 0.1,
    input_gain: ArrayLike | float | None = None,
    weight_gain: ArrayLike | float = 1.0,
    input_variance: ArrayLike | float = 0.0,
) -> Any:
    r"""Return the leading Lyapunov exponent of a wide network with recurrent batch normalization.

    As `layer_norm_exponent`, except that each unit is normalized over the sequences of a batch. Its
    mean over the batch goes, and with it the part of $g^2\langle\phi^2\rangle_Q$ that all sequences
    share: $\langle\phi^2\rangle_Q - \langle\phi\rangle_Q^2$ takes the place of
    $\langle\phi^2\rangle_Q$. The same numbers for tanh, others for ReLU. No biases.

    **Arguments:**

    - `placement`: "separate" (default), gamma BN(W h) + gamma_x BN(U x), which
      `vj.cells.BatchNormCell` calls "recurrent"; or "joint", gamma BN(W h + U x). Where only U x is
      normalized, use `mean_field_exponent` with input variance gamma_x^2.
    - `gain`: gamma, 0.1 by default as Cooijmans et al. recommend.
    - others: as of `layer_norm_exponent`.

    **Returns:** nats per step.

    **Raises:** as `layer_norm_exponent`.

    **Validity:** n and the batch -> infinity, sequences independent of each other and inputs that
    they do not share, statistics of the batch or the population. Measured at n = 500, batch 256,
    in benchmarks/mean_field.md.

    **Example:**

    >>> from vanishing_jax.theory import batch_norm_exponent
    >>> print(f"{batch_norm_exponent(gain=0.1):.4f} {batch_norm_exponent(gain=1.0):.4f}")
    -0.3463 -0.1986

    ??? cite "Reference"

        ```bibtex
        @inproceedings{cooijmans2017recurrent,
          author    = {Cooijmans, Tim and Ballas, Nicolas and Laurent, C{\'e}sar and
                       G{\"u}l{\c{c}}ehre, {\c{C}}a{\u{g}}lar and Courville, Aaron},
          title     = {Recurrent batch normalization},
          booktitle = {International Conference on Learning Representations},
          year      = {2017},
        }
        ```
    """
    numbers = _checked(placement, gain, input_gain, weight_gain, input_variance, 0.0)
    return _exponent(activation, numbers, centered=True)


def layer_norm_singular_values(
    values: ArrayLike, *, gain: float = 1.0, epsilon: float = 0.0
) -> Float64[np.ndarray, " state"]:
    r"""Return the exact singular values of the Jacobian of layer normalization at `values`.

    $\partial\,\mathrm{LN}/\partial a = \frac{\gamma}{\sigma}(I - \frac1n 11^\top -
    \frac1n \hat a\hat a^\top)$ with $\sigma^2 = \mathrm{var}(a) + \epsilon$ and
    $\hat a = (a - \bar a)/\sigma$: gamma/sigma, n - 2 times; along $\hat a$ what epsilon leaves,
    $\gamma\epsilon/\sigma^3$; and 0 for the mean. Every step through it loses two directions.

    **Arguments:**

    - `values`: a, the n values normalized.
    - `gain`: gamma, one number for all units.
    - `epsilon`: added to the variance.

    **Returns:** n singular values, descending, float64.

    **Raises:** `ValueError` for anything but one vector, or equal values with epsilon 0.

    **Example:**

    >>> import numpy as np
    >>> from vanishing_jax.theory import layer_norm_singular_values
    >>> layer_norm_singular_values(np.array([1.0, -1.0, 3.0, -3.0])).round(4)
    array([0.4472, 0.4472, 0.    , 0.    ])

    ??? cite "Reference"

        ```bibtex
        @article{ba2016layer,
          author  = {Ba, Jimmy Lei and Kiros, Jamie Ryan and Hinton, Geoffrey E.},
          title   = {Layer normalization},
          journal = {arXiv:1607.06450},
          year    = {2016},
        }
        ```
    """
    a = np.asarray(values, np.float64)
    if a.ndim != 1 or not a.size:
        raise ValueError(f"expected one vector of values; got shape {a.shape}.")
    variance = a.var()
    if not variance + epsilon > 0:
        raise ValueError("expected values that differ, or a positive `epsilon`.")
    sigma = np.sqrt(variance + epsilon)
    along = gain * epsilon / sigma**3
    return np.array(([gain / sigma] * (a.size - 2) + [along, 0.0])[-a.size :])


def _checked(
    placement: str, gain: Any, input_gain: Any, weight_gain: Any, input_variance: Any, bias: Any
) -> _Numbers:
    if placement not in ("joint", "separate"):
        raise ValueError(f"expected placement 'joint' or 'separate'; got {placement!r}.")
    joint = placement == "joint"
    if joint and input_gain is not None:
        raise ValueError("expected no `input_gain`: the joint placement has one gain, `gain`.")
    if not joint and np.any(input_variance != 0):
        raise ValueError(
            "expected no `input_variance`: the separate placement normalizes it away. Give "
            "`input_gain`, or placement='joint'."
        )
    input_gain = gain if input_gain is None else input_gain
    named = {
        "gain": gain, "weight_gain": weight_gain, "input_gain": input_gain,
        "input_variance": input_variance, "bias_variance": bias,
    }  # fmt: skip
    check_numbers(positive=("gain", "weight_gain"), **named)
    gain, weight_gain, input_gain, added, bias = (np.asarray(x, np.float64) for x in named.values())
    return _Numbers(gain**2 + bias + (0 if joint else input_gain**2), gain, weight_gain, added)


def _exponent(activation: Activation, numbers: _Numbers, *, centered: bool) -> Any:
    with jax.enable_x64(True):
        found = _slope_square_mean(activation, jnp.asarray(numbers.variance))
        slope, square, mean = map(np.asarray, found)
    g2 = numbers.weight_gain**2
    normalized = g2 * (square - mean**2 if centered else square) + numbers.added
    with np.errstate(divide="ignore"):
        return as_given(np.log(numbers.gain**2 * g2 * slope / normalized) / 2)


@ft.partial(jax.jit, static_argnums=0)
def _slope_square_mean(activation: Activation, q: Array) -> tuple[Array, Array, Array]:
    phi = slopes(activation)
    return (
        undifferentiated_average(lambda x: phi.slope(x) ** 2, q),
        undifferentiated_average(lambda x: phi.value(x) ** 2, q),
        undifferentiated_average(phi.value, q),
    )
