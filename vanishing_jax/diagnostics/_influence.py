"""How strongly the state at each time depends on the state at each earlier time."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from .._chain import JacobianChain
from .._scaling import log_scaled, normalized
from ..spectra._logs_between import logs_between


class InfluenceMap(eqx.Module):
    """Log spectral norms log ||ds_t/ds_s|| over a triangular grid of times.

    - `times`: grid of times from 0 to T, ascending, shape (record,).
    - `log_norm`: entry [i, j] for t = times[i], s = times[j] <= t; 0 on the diagonal, -inf for an
      exactly zero product, NaN above the diagonal; shape (record, record).
    - `axis`: what the times count, `"time"` steps or a `"layer"`.
    """

    times: Int[np.ndarray, "record"]
    log_norm: Float[np.ndarray, "record record"]
    axis: str = eqx.field(static=True, default="time")

    def __repr__(self) -> str:
        end = self.log_norm[-1, 0]
        return f"InfluenceMap({len(self.times)} times, log ||ds_T/ds_0|| = {end:.6g})"


def influence_map(chain: JacobianChain, *, points: int = 33) -> InfluenceMap:
    """Return log ||ds_t/ds_s||, the largest log singular value of J_t ... J_{s+1}, over a grid.

    Shows where memory is cut: a dark band at time t means that nothing before t reaches anything
    after it (a reset gate, a saturating input); an even slope means steady decay.

    **Arguments:**

    - `chain`: from `linearize`.
    - `points`: number of grid times, at most T + 1 of them, 0 and T included.

    **Returns:** an `InfluenceMap`.

    **Cost:** T + points^2 / 2 products and points^2 / 2 SVDs of size n; O(T n) for a diagonal
    recurrence, real or complex.

    **Validity:** the largest singular value only: products are formed, scaled by powers of two,
    which is accurate to a few eps for it and for no other, unless its factors
    cancel by more than 1e300 (float64).
    """
    if points < 2:
        raise ValueError(f"expected at least 2 points; got {points}.")
    chain.check_single("influence_map")
    times = np.unique(np.linspace(0, chain.num_steps, points).round().astype(int))
    log_norm = np.full((len(times), len(times)), np.nan)
    np.fill_diagonal(log_norm, 0.0)
    logs = logs_between(chain, times)
    if logs is not None:
        for i in range(len(logs)):
            log_norm[i + 1 :, i] = np.max(np.cumsum(logs[i:], axis=0), axis=1)
        return InfluenceMap(times, log_norm, chain.axis)
    with jax.enable_x64(True), jax.default_device(jax.local_devices(backend="cpu")[0]):
        pieces = [_piece(chain, s, t) for s, t in zip(times[:-1], times[1:], strict=True)]
        for j in range(len(pieces)):
            product = pieces[j]
            log_norm[j + 1, j] = _log_norm(*product)
            for i in range(j + 1, len(pieces)):
                product = _multiply(pieces[i], product)
                log_norm[i + 1, j] = _log_norm(*product)
    return InfluenceMap(times, log_norm, chain.axis)


def _piece(chain, s, t):
    """Return J_t ... J_{s+1} as (mantissa, exponent)."""
    n = chain.state_size
    product = jnp.eye(n), jnp.zeros((), jnp.int32)
    for a, b in chain.segments(int(s), int(t)):
        product = _extend(product, jnp.asarray(np.asarray(chain.segment(a, b)).astype(np.float64)))
    return product


@jax.jit
def _extend(product, jacobians):
    def body(product, J):
        return normalized(J @ product[0], product[1]), None

    return jax.lax.scan(body, product, jacobians)[0]


@jax.jit
def _multiply(left, right):
    return normalized(left[0] @ right[0], left[1] + right[1])


@jax.jit
def _log_norm(matrix, exponent):
    return log_scaled(jnp.linalg.norm(matrix, ord=2), exponent)
