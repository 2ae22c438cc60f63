"""Clipping of the gradient that travels backward through the recurrence."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .._checks import check_choice
from .._types import Array, PyTree
from ._as_cell import as_cell
from ._base import AbstractCell
from ._statistics import differentiable
from ._wrapper import AbstractPlainWrapper


class ClippedGradientCell(AbstractPlainWrapper):
    r"""A cell whose back-propagated state gradient is clipped at every step.

    Forward it is the cell inside. Backward, the part of $dL/ds_{t-1}$ that comes through step t,
    $g = J_t^\top\, dL/ds_t$, is replaced by its clipped value before the loss's own derivative at
    t - 1 is added and before it travels on:

    - `by="norm"`: $g \min(1, c / \|g\|_2)$ over the whole state of one sequence;
    - `by="value"`: each component clamped to $[-c, c]$ (Mikolov's temporal clipping).

    It bounds every link of the chain, where clipping the final gradient can no longer tell an
    exploded step from the others. Gradients of the weights are sums over steps of clipped factors:
    no scaling of the true gradient gives them. It never lengthens anything, so it cures no
    vanishing.

    Forward-mode derivatives do not see it: `linearize`, spectra and exponents are those of the cell
    inside. `gradient_profile`, and `diagnose` with a `loss`, carry the loss's gradient backward in
    its own units, so they show what the clipping leaves of it. Without a loss `diagnose` carries a
    vector of no particular length, which means nothing beside a threshold: it then looks at the
    cell inside.

    **Arguments:**

    - `cell`: the cell inside, anything that `as_cell` takes.
    - `threshold`: $c$, a fixed positive number in the loss's units. With a loss that is a mean over
      B sequences each sequence's gradient has a factor 1/B. It is part of the compiled program.
    - `by`: "norm" (default) or "value".

    **Raises:** `ValueError` for a threshold that is not positive or another `by`.

    **Example:**

    >>> import jax, jax.numpy as jnp
    >>> from vanishing_jax.cells import ClippedGradientCell, FunctionCell
    >>> triple = FunctionCell(lambda w, h, x: w * h + x, jnp.array(3.0))
    >>> cell = ClippedGradientCell(triple, threshold=1.0)
    >>> jax.grad(lambda h: cell(h, 0.0))(1.0).item()
    1.0

    ??? cite "Reference"
        ```bibtex
        @phdthesis{mikolov2012statistical, title={Statistical language models based on neural
          networks}, author={Mikolov, Tom{\'a}{\v{s}}}, school={Brno University of Technology},
          year={2012}}
        ```
    """

    cell: AbstractCell
    threshold: float = eqx.field(static=True)
    by: str = eqx.field(static=True)

    def __init__(self, cell: Any, threshold: float, *, by: str = "norm"):
        if not threshold > 0:
            raise ValueError(f"expected a positive threshold; got {threshold}.")
        check_choice("by", by, ("norm", "value"))
        self.cell, self.threshold, self.by = as_cell(cell), float(threshold), by

    def __call__(self, state: PyTree, input: PyTree) -> PyTree:
        """Return the cell's next state."""
        return _step(self.cell, self.threshold, self.by, state, input)


class _RescaledClip(AbstractPlainWrapper):
    """A `ClippedGradientCell` whose threshold is data."""

    cell: AbstractCell
    threshold: Array
    by: str = eqx.field(static=True)

    def __call__(self, state: PyTree, input: PyTree) -> PyTree:
        return _step(self.cell, self.threshold, self.by, state, input)


def rescaled_clips(tree: PyTree, exponent: Array) -> PyTree:
    """Return `tree` for gradients that are carried as g 2^-exponent, with thresholds to match.

    Clipping is homogeneous in gradient and threshold together, so the result is that of g, times
    2^-exponent. A threshold out of range becomes 0 or inf: what is left of the gradient is then far
    below what is carried, or all of it.
    """

    def rescaled(node):
        if not _is_clipped(node):
            return node
        threshold = jnp.asarray(node.threshold, jnp.result_type(float))
        threshold = jnp.ldexp(threshold, jnp.clip(-exponent, -2200, 2200))
        return _RescaledClip(rescaled_clips(node.cell, exponent), threshold, node.by)

    return jax.tree.map(rescaled, tree, is_leaf=_is_clipped)


def without_clips(tree: PyTree) -> PyTree:
    """Return `tree` with the cell inside in place of each `ClippedGradientCell`."""

    def inside(node):
        return without_clips(node.cell) if _is_clipped(node) else node

    return jax.tree.map(inside, tree, is_leaf=_is_clipped)


def _is_clipped(node: Any) -> bool:
    return isinstance(node, ClippedGradientCell)


def _step(cell: AbstractCell, threshold: float | Array, by: str, state: PyTree, input: PyTree):
    floating, rest = differentiable(state)
    floating = _identity_forward(floating, lambda g: _CLIPS[by](g, threshold))
    return cell(eqx.combine(floating, rest), input)


def _identity_forward(x: PyTree, backward: Callable[[PyTree], PyTree]) -> PyTree:
    """Return x; its derivative is the identity in forward and `backward` in reverse mode.

    A `custom_vjp` would forbid forward mode, hence exact Jacobians. Solving I y = x instead is the
    public primitive of JAX that has all of forward mode, batching and a transpose of one's own.
    """
    return jax.lax.custom_linear_solve(
        lambda y: y, x, lambda _, b: b, transpose_solve=lambda _, g: backward(g)
    )


def _by_norm(gradient: PyTree, threshold: float | Array) -> PyTree:
    leaves = [jnp.abs(leaf) for leaf in jax.tree.leaves(gradient)]
    widest = jnp.result_type(float) if len({leaf.dtype for leaf in leaves}) > 1 else leaves[0].dtype
    largest = jnp.stack([jnp.max(leaf, initial=0).astype(widest) for leaf in leaves]).max()
    # Squares of scaled numbers: neither overflow nor underflow.
    scale = jnp.where(largest > 0, largest, jnp.ones_like(largest))
    squares = [jnp.sum(jnp.square(leaf.astype(widest) / scale)) for leaf in leaves]
    ratio = jnp.asarray(threshold, widest) / scale / jnp.sqrt(jnp.stack(squares).sum())
    factor = jnp.where(largest > 0, jnp.minimum(1, ratio), jnp.ones_like(ratio))
    return jax.tree.map(lambda leaf: leaf * factor.astype(leaf.dtype), gradient)


def _by_value(gradient: PyTree, threshold: float | Array) -> PyTree:
    def clamp(leaf: Array) -> Array:
        if jnp.iscomplexobj(leaf):
            return jax.lax.complex(clamp(leaf.real), clamp(leaf.imag))
        bound = jnp.asarray(threshold, leaf.dtype)
        return jnp.clip(leaf, -bound, bound)

    return jax.tree.map(clamp, gradient)


_CLIPS = {"norm": _by_norm, "value": _by_value}
