"""Solve J_t X = B for a few right-hand sides at once, knowing J_t only by its products."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from .._chain import JacobianChain, apply_jacobian
from .._types import Array


class BlockSolver(eqx.Module):
    """Block GMRES with restarts: minimal residual over the block Krylov space of all columns.

    The columns share their Krylov space, so that p columns need about n / p products with the whole
    block where GMRES for each alone would need n.

    - `blocks`: blocks in the space before a restart.
    - `restarts`: restarts at most.
    - `tolerance`: relative residual at which a solve ends.

    **Cost:** per restart `blocks` products with p vectors, O(n (p blocks)^2) time, O(n p blocks)
    memory.

    ??? cite "Reference"
        Simoncini, V. and Gallopoulos, E. (1996). Convergence properties of block GMRES and matrix
        polynomials. Linear Algebra Appl. 247, 97-119.
    """

    blocks: int = eqx.field(static=True)
    restarts: int = eqx.field(static=True)
    tolerance: float = eqx.field(static=True)

    def __call__(
        self,
        chain: JacobianChain,
        t: Int[Array, ""],
        block: Float[Array, "state direction"],
        transpose: bool,
    ) -> tuple[Float[Array, "state direction"], Float[Array, ""]]:
        """Return X with J_t X = block (J_t^T with `transpose`), and the largest relative residual.

        A singular J_t leaves a residual near 1.
        """
        sizes = jnp.linalg.norm(block, axis=0)

        def apply(vectors):
            return apply_jacobian(chain, t, vectors, transpose=transpose)

        def relative(residual):
            sizes_of_residual = jnp.linalg.norm(residual, axis=0)
            return jnp.max(sizes_of_residual / jnp.where(sizes > 0, sizes, 1))

        def restart(carry):
            X, residual, error, count = carry
            better = X + self._correction(apply, residual)
            left = block - apply(better)
            improved = relative(left) < error  # False for NaN
            X, left = jnp.where(improved, better, X), jnp.where(improved, left, residual)
            # Without an improvement there is no point in going on.
            count = jnp.where(improved, count + 1, self.restarts)
            return X, left, jnp.where(improved, relative(left), error), count

        def unfinished(carry):
            _, _, error, count = carry
            return (error > self.tolerance) & (count < self.restarts)

        start = jnp.zeros_like(block), block, jnp.ones((), block.dtype), jnp.zeros((), jnp.int32)
        X, _, error, _ = jax.lax.while_loop(unfinished, restart, start)
        return X, error

    def _correction(self, apply, residual):
        """Return the X of the block Krylov space that leaves the least residual."""
        n, p = residual.shape
        spread = jax.lax.dynamic_update_slice_in_dim

        def expand(j, carry):
            basis, images, newest = carry
            basis = spread(basis, newest, j * p, axis=1)
            image = apply(newest)
            images = spread(images, image, j * p, axis=1)
            return basis, images, _new_directions(image, basis)

        nothing = jnp.zeros((n, p * self.blocks), residual.dtype)
        first = _new_directions(residual, nothing)
        basis, images, _ = jax.lax.fori_loop(0, self.blocks, expand, (nothing, nothing, first))
        # The last block may be wider than what is left of the space; QR wants no wide matrix.
        short = ((0, max(0, p * self.blocks - n)), (0, 0))
        Q, R = jnp.linalg.qr(jnp.pad(images, short))
        # A direction that was left out has a zero column, which leaves its coefficient open.
        R = R + jnp.diag(jnp.where(jnp.diagonal(R) == 0, 1, 0).astype(R.dtype))
        return basis @ jax.scipy.linalg.solve_triangular(R, Q.T @ jnp.pad(residual, short))


def _new_directions(vectors, basis):
    """Return orthonormal columns orthogonal to `basis` that add `vectors` to its span.

    Columns are zero where the space is complete.
    """
    for _ in range(2):
        vectors = jnp.linalg.qr(vectors - basis @ (basis.T @ vectors))[0]
    rest = vectors - basis @ (basis.T @ vectors)
    inside = jnp.linalg.norm(rest, axis=0) < 0.5  # what QR made of rounding errors
    return jnp.where(inside, 0, rest)
