"""The finest partition of a state into blocks that no Jacobian of a chain couples.

Components i and j are coupled when an entry (i, j) or (j, i) of some J_t may be other than zero;
the blocks are the connected components of that graph. With the state's components in the order of
their blocks every J_t is block diagonal, and so is every product of them.
"""

import functools as ft
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float, Int

from .._chain import JacobianChain
from .._linearization import Linearization, one_step
from ._dependence import noted_pairs

# Jacobians looked at together, in bytes; the first one alone, because it mostly settles the matter.
_CHUNK_BYTES = 16 * 2**20


def blocks_of_chain(chain: JacobianChain, s: int, t: int) -> Int[np.ndarray, "state"]:
    """Return the number of each component's block: of stored Jacobians those of the window."""
    if chain.is_dense:
        return blocks_of_values(np.asarray(chain.jacobians)[..., s:t, :, :])
    assert chain.linearization is not None
    return blocks_of_program(chain.linearization)


def blocks_of_values(
    jacobians: Float[np.ndarray, "*batch time state state"],
) -> Int[np.ndarray, "state"]:
    """Return the number of each component's block, from the nonzero entries of the Jacobians.

    Zeros are exact; NaN couples. It stops as soon as everything is coupled.

    **Cost:** O(T n^2), O(n^2) for Jacobians without many zeros.
    """
    n, steps = jacobians.shape[-1], jacobians.shape[-3]
    coupled = np.zeros((n, n), bool)
    labels = np.arange(n, dtype=np.int32)
    per_step = max(1, jacobians.size // max(steps, 1)) * jacobians.itemsize
    longest = max(1, _CHUNK_BYTES // per_step)
    begin, size = 0, 1
    while begin < steps and labels.any():
        chunk = jacobians[..., begin : begin + size, :, :].reshape(-1, n, n)
        here = np.any(chunk != 0, axis=0)
        if not np.all(coupled | ~here):
            coupled |= here
            labels = _components_of_mask(coupled)
        begin, size = begin + size, longest
    return labels


def _components_of_mask(coupled):
    # A full row or column is one block, as in most Jacobians: no need for the graph.
    if coupled.all(axis=1).any() or coupled.all(axis=0).any():
        return np.zeros(len(coupled), np.int32)
    return _components(np.argwhere(coupled), len(coupled))


def _components(pairs, n):
    """Return the number of each vertex's connected component, in the order of first vertices."""
    parent = np.arange(n)
    while True:
        i, j = parent[pairs[:, 0]], parent[pairs[:, 1]]
        if np.array_equal(i, j):
            return np.unique(parent, return_inverse=True)[1].astype(np.int32)
        # Roots hook onto smaller roots, then every vertex finds its root: O(log n) rounds mostly.
        np.minimum.at(parent, np.maximum(i, j), np.minimum(i, j))
        while not np.array_equal(parent, parent[parent]):
            parent = parent[parent]


def blocks_of_program(linearization: Linearization) -> Int[np.ndarray, "state"]:
    """Return the number of each component's block, from the program of the cell's derivative.

    What the partition says holds for all states, inputs and parameters. It is sound, not always the
    finest: a matrix product couples whatever the matrix holds (`_dependence`).

    **Cost:** one trace of the cell for each structure of cell, state and input.
    """
    if (
        linearization.batch_size is not None
    ):  # one sequence stands for all: its arrays, less an axis
        linearization = jax.tree.map(
            lambda leaf: (
                jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype)
                if isinstance(leaf, jax.Array)
                else leaf
            ),
            linearization,
        )
    first = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((1, *leaf.shape[1:]), leaf.dtype),
        (linearization.trajectory.states, linearization.trajectory.inputs),
    )
    parts = lambda at: (at.trajectory.states, at.trajectory.inputs)  # noqa: E731
    leaves, treedef = jax.tree.flatten(eqx.tree_at(parts, linearization, first))
    structure = tuple(
        jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) if _is_array(leaf) else leaf for leaf in leaves
    )
    try:
        hash((treedef, structure))
    except TypeError:
        return _blocks_of_structure.__wrapped__(treedef, structure)
    return _blocks_of_structure(treedef, structure)


def _is_array(leaf) -> bool:
    return eqx.is_array(leaf) or isinstance(leaf, np.ndarray | jax.ShapeDtypeStruct)


@ft.lru_cache(maxsize=64)
def _blocks_of_structure(treedef: Any, structure: tuple) -> Int[np.ndarray, "state"]:
    linearization = jax.tree.unflatten(treedef, structure)
    arrays, static = eqx.partition(linearization, _is_array)
    leaves, arrays_treedef = jax.tree.flatten(arrays)
    layout, mode = linearization.layout, linearization.mode

    def derivative(leaves, tangent):
        at = eqx.combine(jax.tree.unflatten(arrays_treedef, leaves), static)
        vector, step = one_step(at.rule, *at.step_at(1))
        if mode == "fwd":
            return jax.jvp(step, (vector,), (tangent,))[1]
        return jax.vjp(step, vector)[1](tangent)[0]

    with jax.enable_x64(linearization.x64):
        tangent = jax.ShapeDtypeStruct((layout.size,), layout.dtype)
        closed = jax.make_jaxpr(derivative)(leaves, tangent)
    labels = _components(noted_pairs(closed.jaxpr, len(leaves), layout.size), layout.size)
    labels.setflags(write=False)  # it is shared by all who ask
    return labels
