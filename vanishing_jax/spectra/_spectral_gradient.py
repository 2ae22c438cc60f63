"""The gradient of a spectrum with respect to a cell's parameters, and whether to believe it."""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._checks import check_finite
from .._linearize import MEMORY_LIMIT, linearize
from .._rollout import rollout
from .._types import Array, ArrayLike, PyTree
from ..cells import as_cell
from ._scan_gradient import product_log_growth, product_log_singular_values
from ._sweep import start_basis

_FUNCTIONS = {
    "singular values": product_log_singular_values,
    "growth": product_log_growth,
}

# Relative error from which a gradient is called meaningless.
_TOO_LARGE = 1e-2


class SpectralGradient(eqx.Module):
    """A weighted sum of logs of a chain's spectrum, and its gradient.

    - `value`: sum_i weights_i logs_i.
    - `gradient`: a pytree like the cell: derivatives of its floating leaves, None elsewhere.
    - `logs`: shape (state,): the log singular values, or the QR growths, in nats.
    - `log_amplification`: the largest log growth of a tangent vector over any stretch of the run.
      The gradient through the states contains factors of this size, and so does its error.
    - `relative_error`: how much the gradient changes, relative to its norm, when every parameter
      and the initial state change by one rounding: measured by a second run.
    - `smallest_gap`: the smallest difference of neighboring logs with different weights, nats; inf
      when there is none, and for growth, whose entries need no gap.
    - `dtype`: of states and arithmetic. `quantity`: `"singular values"` or `"growth"`.
    """

    value: float
    gradient: PyTree
    logs: Float[np.ndarray, "state"]
    log_amplification: float
    relative_error: float
    smallest_gap: float
    dtype: str = eqx.field(static=True)
    quantity: str = eqx.field(static=True)

    @property
    def is_chaotic(self) -> bool:
        """Whether the amplification exceeds 1 / sqrt(eps): half of the digits are gone."""
        return bool(self.log_amplification > -0.5 * np.log(np.finfo(self.dtype).eps))

    @property
    def is_degenerate(self) -> bool:
        """Whether singular values with different weights are equal to sqrt(eps)."""
        return bool(self.smallest_gap < np.sqrt(np.finfo(self.dtype).eps))

    @property
    def is_meaningful(self) -> bool:
        """Whether the gradient can be used: not chaotic, not degenerate, known to 1 percent."""
        known = self.relative_error <= _TOO_LARGE  # False for NaN
        return bool(known and not self.is_chaotic and not self.is_degenerate)

    def __repr__(self) -> str:
        notes = []
        if self.is_chaotic:
            notes.append("chaos amplifies rounding beyond 1/sqrt(eps)")
        if self.is_degenerate:
            notes.append("singular values of different weight coincide")
        if not self.relative_error <= _TOO_LARGE:
            notes.append("rounding changes it")
        verdict = "meaningless: " + ", ".join(notes) if notes else "meaningful"
        return (
            f"SpectralGradient({self.quantity}, value {self.value:.6g}; {verdict}; relative error "
            f"{self.relative_error:.1e}, amplification e^{self.log_amplification:.3g}, smallest "
            f"gap {self.smallest_gap:.2g}; {self.dtype})"
        )


def spectral_gradient(
    cell: Any,
    state0: PyTree,
    inputs: PyTree,
    *,
    weights: Float[ArrayLike, "direction"],
    quantity: Literal["singular values", "growth"] = "singular values",
    checkpoint_every: int | None = None,
    memory_limit: int = MEMORY_LIMIT,
) -> SpectralGradient:
    """Return d/d(parameters) of a weighted sum of log singular values, or of QR growths.

    The total derivative along the run: the Jacobians depend on the parameters directly and through
    the states they are taken at. For training with such a term use `jax.grad` of
    `spectra.product_log_growth(vj.linearize(cell, trajectory).jacobians)`; this function is for
    looking at one gradient and says whether it means anything. A bad reading is
    `is_meaningful` = False, from one of three causes. `is_chaotic`: the states carry a perturbation
    of the parameters with a factor e^(lambda_1 T), so that beyond a few Lyapunov times the gradient
    is exact for a trajectory that no computer follows, and tells nothing about averages: shorten
    the run, or weaken the recurrence. `is_degenerate`: two singular values of different weight are
    equal; each of them alone has no derivative. A large `relative_error` with neither: singular
    values nearly equal, or a dtype too narrow.

    **Arguments:**

    - `cell`, `state0`, `inputs`: as for `rollout`.
    - `weights`: shape (k,), k up to the state size: they multiply the k leading logs (for
      `"growth"` the first k columns); the others count nothing.
    - `quantity`: `"singular values"` (log sigma_i of J_T ... J_1) or `"growth"` (log |R_ii|: T
      times the Lyapunov exponents: the quantity of gradient flossing).
    - `checkpoint_every`: see `product_log_singular_values`.
    - `memory_limit`: bytes that the Jacobians may take.

    **Returns:** a `SpectralGradient`; dtype and x64 flag are those of the cell and its states.

    **Raises:** `ValueError` for wrong weights or quantity; `NonFiniteError` where the spectrum has
    a weight on a singular value that is exactly zero, or the run is not finite; `MemoryError`
    for more Jacobians than the limit allows.

    **Cost:** two gradients, each three to four times the spectrum plus the derivative of the
    Jacobians; the Jacobians and 3 T n^2 numbers more are stored.

    **Validity:** a gradient of the rounded run cannot be told from that of the exact one unless the
    two agree: `relative_error` compares two runs one rounding apart. `log_amplification` follows
    one tangent vector, which transient growth of a non-normal network may exceed.

    **Example:**

    >>> import jax, jax.numpy as jnp, vanishing_jax as vj
    >>> cell = vj.cells.VanillaCell(1, 4, key=jax.random.key(0))
    >>> found = vj.spectra.spectral_gradient(
    ...     cell, cell.initial_state(), jnp.ones((20, 1)), weights=jnp.ones(2)
    ... )
    >>> found.is_meaningful, found.is_chaotic
    (True, False)

    ??? cite "Reference"
        Engelken, R. (2023). Gradient flossing: improving gradient descent through dynamic control
        of Jacobians. NeurIPS 36; arXiv:2312.17306.
    """
    if quantity not in _FUNCTIONS:
        raise ValueError(f"expected quantity in {sorted(_FUNCTIONS)}; got {quantity!r}.")
    weights = np.asarray(weights)
    if weights.ndim != 1 or len(weights) == 0:
        raise ValueError(f"expected weights of shape (k,), k >= 1; got shape {weights.shape}.")
    parameters, rest = eqx.partition(as_cell(cell), eqx.is_inexact_array)
    options = (quantity, checkpoint_every, memory_limit)
    run = (state0, inputs, rest, weights, options)
    (value, (logs, growth)), gradient = _value_and_gradient(parameters, *run)
    what = f"gradient of the {quantity} (a weight on an exact zero makes it NaN)"
    check_finite(gradient, what)
    _, other = _value_and_gradient(_rounded(parameters, 0), _rounded(state0, 1), *run[1:])
    logs = np.asarray(logs)
    return SpectralGradient(
        float(value),
        gradient,
        logs,
        float(growth),
        _relative_difference(gradient, other),
        _smallest_gap(logs, weights) if quantity == "singular values" else np.inf,
        str(logs.dtype),
        quantity,
    )


@eqx.filter_jit
def _value_and_gradient(parameters, state0, inputs, rest, weights, options):
    quantity, checkpoint_every, memory_limit = options

    @eqx.filter_value_and_grad(has_aux=True)
    def weighted(parameters):
        cell = eqx.combine(parameters, rest)
        trajectory = rollout(cell, state0, inputs)
        chain = linearize(cell, trajectory, dense=True, memory_limit=memory_limit)
        J = jnp.asarray(chain.jacobians)
        logs = _FUNCTIONS[quantity](J, checkpoint_every=checkpoint_every)
        if len(weights) > len(logs):
            raise ValueError(f"expected at most {len(logs)} weights; got {len(weights)}.")
        # Cut off first: 0 * -inf would be NaN.
        leading = logs[: len(weights)]
        w = jnp.asarray(weights).astype(logs.dtype)
        value = jnp.sum(jnp.where(w == 0, 0, w * jnp.where(w == 0, 0, leading)))
        return value, (logs, _log_amplification(J))

    return weighted(parameters)


def _log_amplification(jacobians: Float[Array, "time state state"]):
    """Return the largest log growth of one tangent vector between any two moments."""
    v = jnp.asarray(start_basis(jacobians.shape[-1])[:, 0], jacobians.dtype)

    def push(carry, J):
        v, run, largest = carry
        v = J @ v
        size = jnp.max(jnp.abs(v))
        v = v / jnp.where(size > 0, size, 1)  # or squares would underflow
        norm = jnp.linalg.norm(v)
        run = jnp.maximum(run, 0) + jnp.where(size > 0, jnp.log(size * norm), -jnp.inf)
        return (v / jnp.where(norm > 0, norm, 1), run, jnp.maximum(largest, run)), None

    zero = jnp.zeros((), jacobians.dtype)
    return jax.lax.scan(push, (v, zero, zero), jax.lax.stop_gradient(jacobians))[0][2]


def _rounded(tree, seed):
    """Return the tree with each floating number changed by up to one rounding."""
    rng = np.random.default_rng(seed)

    def change(leaf):
        if not eqx.is_inexact_array_like(leaf):
            return leaf
        leaf = jnp.asarray(leaf)
        noise = rng.uniform(-1, 1, leaf.shape) * float(jnp.finfo(leaf.dtype).eps)
        return (leaf * jnp.asarray(1 + noise).astype(leaf.dtype)).astype(leaf.dtype)

    return jax.tree.map(change, tree)


def _relative_difference(first, second) -> float:
    a, b = (np.concatenate([np.ravel(x) for x in jax.tree.leaves(y)]) for y in (first, second))
    size = np.max(np.abs(a), initial=0.0)
    if size == 0:
        return 0.0 if not np.any(b) else np.inf
    return float(np.linalg.norm((a - b) / size) / np.linalg.norm(a / size))


def _smallest_gap(logs, weights) -> float:
    """Return the smallest difference of neighboring logs whose weights differ."""
    padded = np.zeros(len(logs))
    padded[: len(weights)] = weights
    differ = padded[:-1] != padded[1:]
    with np.errstate(invalid="ignore"):
        gaps = logs[:-1] - logs[1:]
    return float(np.min(gaps[differ & ~np.isnan(gaps)], initial=np.inf))
