"""What is known of a part of a spectrum: values, vectors, errors, and which part it is."""

from typing import Literal

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float, Int

from .._activations import stable_derivatives
from .._chain import JacobianChain
from .._linearization import Linearization
from .._tree import state_layout


class PartialSpectrum(eqx.Module):
    """The k largest singular values of a product of Jacobians, with their vectors.

    For P = J_t ... J_{s+1}, P v_i = sigma_i u_i. The component of largest magnitude in each v_i
    (the first, if several) is positive, which fixes the sign of u_i as well.

    - `log_singular_values`: natural logs, descending, shape (k,); -inf for an exact zero.
    - `error_bound`: estimate of the absolute error of each log: the error for lack of passes plus
      `rounding_error`; inf where nothing is known.
    - `rounding_error`: the share of it that more passes cannot reduce. The values themselves err to
      one side: they are never too large, up to it.
    - `right_vectors`: v_i at time s, shape (n, k): which components of the state at s are carried
      on. `left_vectors`: u_i at time t, where they arrive.
    - `vector_error`: estimate of the sine of the angle of each vector to the true one, at most 1. 1
      where neighboring values coincide: then only their span is determined.
    - `windows`: (s, t).
    - `num_passes`: how often the chain was swept. `status`: `"converged"` or what is
      missing.
    - `dtype`: dtype of the Jacobians; `arithmetic_dtype`: that of the computation.
    - `tolerance`: what the caller asked for.
    """

    log_singular_values: Float[np.ndarray, "direction"]
    error_bound: Float[np.ndarray, "direction"]
    rounding_error: Float[np.ndarray, "direction"]
    right_vectors: Float[np.ndarray, "state direction"]
    left_vectors: Float[np.ndarray, "output direction"]
    vector_error: Float[np.ndarray, "direction"]
    windows: Int[np.ndarray, "2"]
    num_passes: int
    status: str
    dtype: str
    arithmetic_dtype: str
    tolerance: float
    _blocks: tuple[tuple[str, int, int], ...]

    @property
    def lags(self) -> Int[np.ndarray, ""]:
        """Number of Jacobians t - s in the product."""
        return self.windows[1] - self.windows[0]

    @property
    def direction(self) -> str:
        """`"forward"`: the window is read as J_t ... J_{s+1}, as for a `Spectrum`."""
        return "forward"

    @property
    def converged(self) -> bool:
        """Whether more passes would not have improved the values: what is left is rounding."""
        return self.status == "converged"

    @property
    def meets_tolerance(self) -> bool:
        """Whether every error bound is at most `tolerance`."""
        return bool(np.all(self.error_bound <= self.tolerance))

    def block_loadings(
        self, side: Literal["right", "left"] = "right"
    ) -> dict[str, Float[np.ndarray, "direction"]]:
        """Return the share of each direction that lies in each named block of the state.

        For an LSTM, `{"h": shares, "c": shares}`: how much of what is carried on sits in the hidden
        and how much in the cell state.

        **Arguments:**

        - `side`: `"right"` for the state at s, `"left"` for the state at t.

        **Returns:** per block the sum of squares of each vector's components, shape (k,); over all
        blocks they add up to 1.

        **Raises:** `ValueError` for another side.
        """
        if side not in ("right", "left"):
            raise ValueError(f"expected side 'right' or 'left'; got {side!r}.")
        squares = (self.right_vectors if side == "right" else self.left_vectors) ** 2
        return {name: squares[start:stop].sum(axis=0) for name, start, stop in self._blocks}

    def __repr__(self) -> str:
        logs, n = self.log_singular_values, len(self.right_vectors)
        bound = float(np.max(self.error_bound, initial=0))
        missed = "" if self.meets_tolerance else f", above the tolerance {self.tolerance:.1e}"
        return (
            f"PartialSpectrum(leading {len(logs)} of {n}, window "
            f"{tuple(self.windows.tolist())}: log sigma from {logs[0]:.6g} to {logs[-1]:.6g}, "
            f"error <= {bound:.1e}{missed}; {self.status} in {self.num_passes} passes, "
            f"{self.dtype} Jacobians, {self.arithmetic_dtype} arithmetic)"
        )


def input_loadings(
    chain: JacobianChain, spectrum: PartialSpectrum
) -> Float[np.ndarray, "input direction"]:
    r"""Return how strongly each component of the input x_s feeds each direction of the spectrum.

    Entry (j, i) is $v_i^T\,\partial s_s/\partial x_{s,j}$, the component along the right vector
    $v_i$ of what a small change of the input does to the state it produces. Times $\sigma_i$ it is
    the effect on the state at t, along $u_i$: an input whose loadings on all leading directions are
    small is forgotten, however large its effect at s.

    **Arguments:**

    - `chain`: the chain of the spectrum, from `linearize`.
    - `spectrum`: from `leading_singular_values` with a window that starts at s >= 1: no input leads
      to the initial state.

    **Returns:** shape (input, k), signed; the floating leaves of the input in the order of its
    pytree, complex ones as real and imaginary parts.

    **Raises:** `ValueError` for a chain without a cell (`JacobianChain(array)`, or
    `precision="float64"`), for a window that starts at 0, for an input without floating leaves, for
    a spectrum of another size.

    **Cost:** k vector-Jacobian products of one step.

    **Example:**

    >>> import jax, jax.numpy as jnp, vanishing_jax as vj
    >>> cell = vj.FunctionCell(lambda w, h, x: w * h + x, jnp.array([0.5, 0.25]))
    >>> chain = vj.linearize(cell, vj.rollout(cell, jnp.ones(2), jnp.ones((9, 2))))
    >>> leading = vj.spectra.leading_singular_values(chain, 1, window=(1, 9))
    >>> abs(vj.spectra.input_loadings(chain, leading)).round(3)
    array([[1.],
           [0.]])
    """
    s, n = int(spectrum.windows[0]), chain.state_size
    if chain.linearization is None:
        raise ValueError(
            "expected a chain that knows its cell; got one made of Jacobians alone, which say "
            "nothing about inputs. Use linearize(cell, trajectory) without precision=."
        )
    if len(spectrum.right_vectors) != n or s > chain.num_steps:
        raise ValueError(f"expected the spectrum of this chain, {chain}; got {spectrum}.")
    if s == 0:
        raise ValueError(
            "expected a window that starts at s >= 1; got s = 0. The input x_s acts on the state "
            "s_s, and none leads to the initial state: use window=(1, t)."
        )
    inputs = jax.tree.leaves(chain.linearization.trajectory.inputs)
    if not any(jax.numpy.issubdtype(leaf.dtype, jax.numpy.inexact) for leaf in inputs):
        raise ValueError("expected an input with a floating leaf; there is no derivative by it.")
    vectors = spectrum.right_vectors.astype(chain.dtype)
    return np.asarray(_pull_to_input(chain.linearization, np.int32(s), vectors), np.float64)


@eqx.filter_jit
def _pull_to_input(linearization: Linearization, s, vectors):
    """Return (ds_s/dx_s)^T V."""
    layout = linearization.layout
    state, input = linearization.step_at(s)
    shape = state_layout(input)

    def step(vector):
        return layout.ravel(linearization.cell(state, shape.unravel(vector, input)))

    pull = jax.vjp(stable_derivatives(step), shape.ravel(input))[1]
    return jax.vmap(lambda v: pull(v)[0], in_axes=1, out_axes=1)(vectors)
