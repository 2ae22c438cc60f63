"""The spectrum of a product of Jacobians as a function of arrays: for jit, vmap and inner loops."""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from .._types import Array
from ._factorization import factor
from ._finish import log_singular_values_of
from ._graded import identity, multiply, multiply_exactly


@jax.jit
def product_log_singular_values(
    jacobians: Float[Array, "time state state"],
) -> Float[Array, "state"]:
    """Return the log singular values of J_T ... J_1, in the arithmetic of the Jacobians' own dtype.

    The array-level function under `log_singular_values`: for use inside `jit` and `vmap`. It does
    not change precision (float32 Jacobians are processed in float32), checks nothing, and has no
    reverse-mode derivative. NaN where the spectrum has more scales than the exponent range has
    bits: possible from n = 101 on in float32, from n = 901 on in float64.

    **Arguments:**

    - `jacobians`: J_1, ..., J_T, shape (time, state, state). With T = 0 the product is the
      identity.

    **Returns:** natural logs, descending, -inf for a singular value that is exactly zero.

    **Cost:** O(T n^3) time, O(n^2) memory beyond the Jacobians.

    **Validity:** in float32 within 1e-2 nats at T = 1000 for tanh networks of gain up to 1.5, GRU,
    orthogonal and ReLU chains (`test_float32_arithmetic_over_a_thousand_steps`, n = 8;
    `benchmarks/bench_accuracy.py`, n = 16); not for grading over many decades on both sides or
    repeated defective matrices, where `log_singular_values` is the one to use.

    **Example:**

    >>> import jax.numpy as jnp
    >>> from vanishing_jax import spectra
    >>> J = jnp.stack([jnp.diag(jnp.array([0.5, 1e-3]))] * 1000)
    >>> print(spectra.product_log_singular_values(J).round())
    [ -693. -6908.]
    """

    def step(product, J):
        factors = factor(product.frame @ J.T)
        growth = jnp.max(factors.growth)
        fine = growth <= 2.0**12  # False for NaN
        return jax.lax.cond(
            fine,
            lambda: multiply(product, factors, jnp.ones((), J.dtype)),
            lambda: multiply_exactly(product, J),
        ), None

    start = identity(jacobians.shape[-1], jacobians.dtype)
    product, _ = jax.lax.scan(step, start, jacobians)
    logs, resolved = log_singular_values_of(product)
    return jnp.where(resolved, logs, jnp.nan)
