"""A scan over time of a batch whose backward pass is written out: faster, the same gradients."""

import functools as ft
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from .._types import Array, PyTree
from ..cells import hidden_output
from ..cells._affine import AbstractAffineCell, AffineMap

# Steps whose share in the gradient of a matrix is one product. Fewer are slower, more leave the
# processor's cache: 5 to 20 are alike.
_CHUNK = 10


def scan_batch(
    cell: AbstractAffineCell,
    inputs: Float[Array, "batch time input"],
    mask: Bool[Array, "batch time"] | None,
    *,
    every_step: bool,
) -> tuple[PyTree, Float[Array, "batch time hidden"] | None]:
    """Return the final states of a batch, and with `every_step` the hidden vectors of all steps.

    As `vmap` of a scan of `cell`, where `mask` is False the state stays. Reverse mode only: the
    gradient is the same to rounding and faster, for three reasons. Matrices are laid out once, and
    input and bias are part of one product, `[h, x, 1] @ matrix`. Only states and preactivations are
    kept; what is elementwise is computed again. And backward, only the gradient of the state goes
    from step to step: that of the matrices is one product over several steps.
    """
    # Shapes are checked, with the cell's own words, where the definition of the step is.
    jax.eval_shape(cell, cell.initial_state(), jax.tree.map(lambda leaf: leaf[0, 0], inputs))
    maps = cell.affine_maps()
    parts = [(m.hidden is not None, m.input is not None) for m in maps]
    kinds = list(dict.fromkeys(parts))
    # One product for all maps of the same vectors: fewer kernels, which small networks wait for.
    matrices = tuple(
        jnp.concatenate([_matrix(m) for m, p in zip(maps, parts, strict=True) if p == kind], axis=1)
        for kind in kinds
    )
    start = jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf, (inputs.shape[0], *leaf.shape)), cell.initial_state()
    )
    inputs = jnp.swapaxes(inputs, 0, 1).astype(jnp.result_type(inputs, matrices[0]))
    # [x, 1]: the bias is the last row of each matrix.
    driving = jnp.concatenate([inputs, jnp.ones_like(inputs[..., :1])], axis=-1)
    step = _Step(
        # Without its arrays: `advance` must not depend on what no gradient would reach.
        eqx.filter(cell, eqx.is_array, inverse=True),
        hidden_output(cell, cell.initial_state()).size,
        tuple(kinds),
        tuple(kinds.index(p) for p in parts),
    )
    mask = None if mask is None else mask.T
    final, hidden = _scan(step, every_step)(matrices, start, driving, mask)
    return final, None if hidden is None else jnp.swapaxes(hidden, 0, 1)


def _matrix(m: AffineMap) -> Float[Array, "operand unit"]:
    """Return what `_Step.operands` are multiplied with, from the right."""
    weights = [w.T for w in (m.hidden, m.input) if w is not None]
    bias = jnp.zeros(weights[0].shape[1], weights[0].dtype) if m.bias is None else m.bias
    return jnp.concatenate([*weights, bias[None]])


class _Step(NamedTuple):
    """One step of a batch in two, as a cell without arrays says it."""

    cell: Any
    hidden_size: int
    parts: tuple[tuple[bool, bool], ...]  # of each product: whether it takes h, and the input
    order: tuple[int, ...]  # of each preactivation: the product that it is a part of

    def hidden(self, state: PyTree) -> Float[Array, "batch hidden"]:
        return hidden_output(self.cell, state)

    def add_to_hidden(self, state: PyTree, increment: Array) -> PyTree:
        # The hidden vector is part of the state: its pullback puts the increment in that place.
        _, pull = jax.vjp(self.hidden, state)
        return jax.tree.map(jnp.add, state, *pull(increment))

    def operands(self, hidden: Array, driving: Array) -> list[Array]:
        """Return of each product the row vectors on its left: [h, x, 1] or less."""

        def operand(takes_h, takes_input):
            driven = driving if takes_input else driving[..., -1:]
            return jnp.concatenate([hidden, driven], axis=-1) if takes_h else driven

        return [operand(*which) for which in self.parts]

    def blocks(self, matrices: tuple[Array, ...]) -> tuple[list[Array | None], list[Array | None]]:
        """Return of each matrix the transpose of the part for h, and of that for [x, 1]."""
        pairs = list(zip(matrices, self.parts, strict=True))
        n = self.hidden_size
        of_hidden = [m[:n].T if takes_h else None for m, (takes_h, _) in pairs]
        of_input = [m[n * takes_h :].T if takes_x else None for m, (takes_h, takes_x) in pairs]
        return of_hidden, of_input

    def preactivations(self, matrices: tuple, state: PyTree, driving: Array) -> list[Array]:
        operands = self.operands(self.hidden(state), driving)
        return [x @ matrix for x, matrix in zip(operands, matrices, strict=True)]

    def advance(self, state: PyTree, preactivations: list[Array], inside: Array | None) -> PyTree:
        # Maps of the same vectors were one product; here each gets its columns back, in order.
        pieces = [
            iter(jnp.split(p, self.order.count(kind), axis=-1))
            for kind, p in enumerate(preactivations)
        ]
        new = jax.vmap(self.cell.advance)(state, [next(pieces[kind]) for kind in self.order])
        if inside is None:
            return new
        return jax.tree.map(lambda a, b: jnp.where(inside[:, None], a, b), new, state)


def _scan(step: _Step, every_step: bool) -> Callable:
    """Return the scan as a function of matrices, first states, driving and mask, time first."""

    def forward(matrices, start, driving, mask, keep=False):
        def advance(state, now):
            x, inside = now
            preactivations = step.preactivations(matrices, state, x)
            new = step.advance(state, preactivations, inside)
            hidden = step.hidden(new) if every_step else None
            return new, (hidden, (state, preactivations) if keep else None)

        final, (hidden, kept) = jax.lax.scan(advance, start, (driving, mask))
        return (final, hidden), (matrices, driving, mask, kept)

    @jax.custom_vjp
    def scan(matrices, start, driving, mask):
        return forward(matrices, start, driving, mask)[0]

    def backward(residuals, gradient):
        matrices, driving, mask, (states, preactivations) = residuals
        final, hidden = gradient
        kept = (states, preactivations, driving, mask, hidden)
        # The largest divisor of the time up to `_CHUNK`, so that no chunk has to be filled up.
        size = next(c for c in range(_CHUNK, 0, -1) if driving.shape[0] % c == 0)
        chunks = jax.tree.map(lambda x: x.reshape(-1, size, *x.shape[1:]), kept)
        # From step to step goes the gradient of the state; that of the matrices only adds up.
        start = (final, jax.tree.map(jnp.zeros_like, matrices))
        pull = _pull_chunk(step, matrices)
        (state, of_matrices), of_driving = jax.lax.scan(pull, start, chunks, reverse=True)
        return of_matrices, state, of_driving.reshape(driving.shape), None

    scan.defvjp(ft.partial(forward, keep=True), backward)
    return scan


def _pull_chunk(step: _Step, matrices: tuple[Array, ...]) -> Callable:
    """Return the backward pass of some steps, as the body of a scan over chunks."""
    of_hidden, of_input = step.blocks(matrices)

    def pull_step(gradient, now):
        state, preactivations, inside, hidden = now
        if hidden is not None:  # what a readout of this very step sends
            gradient = step.add_to_hidden(gradient, hidden)
        # What is elementwise, computed again; its pullback reaches the state past the products ...
        _, pull = jax.vjp(lambda s, p: step.advance(s, p, inside), state, preactivations)
        before, deltas = pull(gradient)
        # ... and the products carry the rest of it to h.
        return step.add_to_hidden(before, _sum_of_products(deltas, of_hidden)), deltas

    def pull_chunk(carry, chunk):
        gradient, of_matrices = carry
        states, preactivations, driving, mask, hidden = chunk
        steps = (states, preactivations, mask, hidden)
        gradient, deltas = jax.lax.scan(pull_step, gradient, steps, reverse=True)
        # To a product, steps are as sequences: rows.
        flat = jax.tree.map(lambda x: x.reshape(-1, x.shape[-1]), (states, driving, deltas))
        operands = step.operands(step.hidden(flat[0]), flat[1])
        of_matrices = tuple(
            total + x.T @ delta
            for total, x, delta in zip(of_matrices, operands, flat[2], strict=True)
        )
        # For data, by which nobody differentiates, the compiler drops this.
        of_driving = _sum_of_products(flat[2], of_input).reshape(driving.shape)
        return (gradient, of_matrices), of_driving

    return pull_chunk


def _sum_of_products(rows: Sequence[Array], matrices: Sequence[Array | None]) -> Array:
    products = [x @ m for x, m in zip(rows, matrices, strict=True) if m is not None]
    return ft.reduce(jnp.add, products)
