"""From a trajectory to its exact one-step Jacobians J_t = ds_t / ds_{t-1}."""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ._cell_checks import check_deterministic
from ._chain import JacobianChain
from ._checks import check_choice, check_finite_run, check_step
from ._linearization import Linearization, dense_bytes, gib, jacobians_of
from ._rollout import Trajectory
from ._tree import first_of, state_layout
from ._types import PyTree
from .cells import as_cell

MEMORY_LIMIT = 2 * 2**30
"""Bytes that `linearize` lets the dense Jacobians take before it streams them (2 GiB)."""


class NoForwardModeError(TypeError):
    """A cell with a `custom_vjp` was to be linearized in forward mode."""


def linearize(
    cell: Any,
    trajectory: Trajectory,
    *,
    mode: Literal["fwd", "rev"] = "fwd",
    dense: bool | None = None,
    memory_limit: int = MEMORY_LIMIT,
    precision: Literal["float64"] | None = None,
) -> JacobianChain:
    """Return the exact Jacobians J_t = ds_t/ds_{t-1} of `cell` along `trajectory`, t = 1..T.

    The whole carried state counts: an LSTM's is (h, c), n = 2H. Derivatives are taken of floating
    leaves only (complex ones as real and imaginary parts); other leaves are passed through. The
    derivatives of tanh and sigmoid are evaluated from the pre-activation, as 4e/(1+e)^2, so that a
    saturated unit has its tiny derivative and not 0, in any cell (except inside a `scan`, `while`
    or `cond` of its own: `vanishing_jax._activations`).
    Jittable and differentiable; batches by `eqx.filter_vmap`.

    **Arguments:**

    - `cell`: anything `as_cell` accepts.
    - `trajectory`: from `rollout`.
    - `mode`: `"fwd"` (`jax.jacfwd`) or `"rev"` (`jax.jacrev`); the same matrix to rounding.
      Forward is faster for the square Jacobians of a recurrence. Reverse serves cells with a
      `custom_vjp`, whose forward derivative is not defined: its rows are what the custom rule
      sends back, hence what training sees, and need not be the derivative of the step (a
      straight-through estimator's are not).
    - `dense`: True stores the Jacobians, False streams them; None stores them when they fit.
    - `memory_limit`: bytes that the stored Jacobians may take.
    - `precision`: `"float64"` evaluates the Jacobians in float64 at the given states whatever the
      x64 flag, as NumPy arrays; for cells whose code fixes no dtype. None keeps the state's dtype.

    **Returns:** a `JacobianChain`.

    **Raises:** `MemoryError`, before anything is allocated, for `dense=True` beyond the limit;
    `NonFiniteError` for NaN or infinite inputs, weights or states, with the step; `ValueError` for
    wrong `state_names`, a batch of trajectories, a cell whose state changes structure, that draws
    its own noise, or that does not compute in float64 when asked to; `TypeError` for `mode="fwd"`
    of a cell with a `custom_vjp`.

    **Cost:** T n evaluations of one step's tangent; T n^2 numbers when dense, n^2 when streamed.

    **Validity:** float32 keeps a saturated tanh derivative down to |x| = 43, float64 to 354;
    beyond, it is exactly 0 and so are singular values. `precision="float64"` helps a saturated
    float32 network.

    **Example:**

    >>> import jax, jax.numpy as jnp, vanishing_jax as vj
    >>> cell = vj.cells.LSTMCell(1, 3, key=jax.random.key(0))
    >>> trajectory = vj.rollout(cell, cell.initial_state(), jnp.ones((5, 1)))
    >>> vj.linearize(cell, trajectory)
    JacobianChain(5 steps, h: 3, c: 3, float..., dense)
    """
    check_choice("mode", mode, ("fwd", "rev"))
    check_choice("precision", precision, ("float64", None))
    if precision is not None:
        options = {"mode": mode, "dense": dense, "memory_limit": memory_limit}
        return _in_float64(as_cell(cell), trajectory, options)
    cell = as_cell(cell)
    if not isinstance(trajectory, Trajectory):
        raise TypeError(
            f"expected a Trajectory; got {type(trajectory).__name__}. Use "
            "rollout(cell, state0, inputs)."
        )
    _check_lengths(trajectory)
    first, input = first_of((trajectory.states, trajectory.inputs))
    # The shapes first: noise and NaN are looked for by running the step.
    check_step(cell, first, input)
    check_deterministic(cell, first, input)
    check_finite_run(cell, trajectory.states, trajectory.inputs)
    layout = state_layout(first)
    sizes = _named_sizes(layout, cell.state_names)
    # The flag as it is now: chunks computed later, amid float64 arithmetic, trace the cell alike.
    x64 = jax.dtypes.canonicalize_dtype(np.float64) == np.float64
    linearization = Linearization(cell, trajectory, layout, mode, x64)
    needed = dense_bytes(trajectory.num_steps, layout.size, layout.dtype)
    if dense and needed > memory_limit:
        raise MemoryError(
            f"{trajectory.num_steps} dense Jacobians of size {layout.size} in {layout.dtype} need "
            f"{gib(needed)}; memory_limit is {gib(memory_limit)}. Leave dense=None to stream them "
            "(spectra, mv and rmv work the same), or raise memory_limit."
        )
    try:
        if dense is False or needed > memory_limit:
            # Nothing is computed yet, but a missing forward derivative must show here.
            jax.eval_shape(lambda: linearization.jacobian(1))
            return JacobianChain(blocks=sizes, linearization=linearization)
        jacobians = jacobians_of(linearization, 0, trajectory.num_steps)
    except TypeError as error:
        # JAX has no error type of its own for this case; only its text tells.
        if mode == "rev" or "custom_vjp" not in str(error):
            raise
        raise NoForwardModeError(
            "expected a cell with a forward derivative; this one has a custom_vjp, a derivative in "
            "reverse mode only. Write linearize(..., mode='rev'): its Jacobians are what the "
            "custom rule sends back. That is what training sees, but not the derivative of the "
            "step where the rule differs from it (straight-through, clipped gradients)."
        ) from error
    return JacobianChain(jax.device_put(jacobians), blocks=sizes, linearization=linearization)


def _check_lengths(trajectory):
    """Raise unless there is one state more than inputs."""
    steps = trajectory.num_steps
    lengths = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(trajectory.states)}
    if lengths != {(steps + 1,)}:
        raise ValueError(
            f"expected a trajectory of {steps} inputs and {steps + 1} states; got {trajectory!r}. "
            "One of several sequences goes through eqx.filter_vmap(lambda t: vj.linearize(cell, t))"
            "(trajectories)."
        )


def widened(tree: PyTree) -> PyTree:
    """Return the tree with floating leaves in float64; call under `jax.enable_x64(True)`."""

    def widen(leaf):
        if not eqx.is_inexact_array(leaf):
            return leaf
        # On the host: JAX would compile a conversion for each shape.
        kind = np.complex128 if jnp.iscomplexobj(leaf) else np.float64
        return jax.device_put(np.asarray(leaf).astype(kind))

    return jax.tree.map(widen, tree)


def _in_float64(cell, trajectory, options) -> JacobianChain:
    """Return the chain, computed with weights, states and inputs widened."""
    with jax.enable_x64(True):
        wide = linearize(*widened((cell, trajectory)), **options)
    sizes = {name: part.stop - part.start for name, part in wide.blocks.items()}
    # NumPy, because a float64 JAX array turns into float32 in the next operation outside.
    if wide.is_dense:
        return JacobianChain(np.asarray(wide.jacobians), blocks=sizes)
    linearization = jax.tree.map(
        lambda leaf: np.asarray(leaf) if eqx.is_inexact_array(leaf) else leaf, wide.linearization
    )
    return JacobianChain(blocks=sizes, linearization=linearization)


def _named_sizes(layout, names):
    leaves = [leaf for leaf in layout.leaves if leaf.dtype is not None]
    names = [leaf.path for leaf in leaves] if names is None else list(names)
    if len(names) != len(leaves) or len(set(names)) != len(names):
        raise ValueError(
            f"expected {len(leaves)} different state_names, one per floating leaf of the state "
            f"({[leaf.path for leaf in leaves]}); got {names}."
        )
    return {name: leaf.size for name, leaf in zip(names, leaves, strict=True)}
