"""Chains that fall apart into blocks of the state: elementwise recurrences above all.

A diagonal recurrence (leaky integrators, IndRNN, minGRU, S4D, LRU and other gated linear ones) has
diagonal Jacobians; a complex one has blocks of two components, real and imaginary part. Then a
product of T Jacobians costs O(T n), its singular values are sums of logs, and neither n columns nor
n^2 numbers are needed: with the components numbered within their blocks, one tangent that is 1 at
the c-th component of every block gives the c-th columns of all blocks at once (the coloring of
compressed Jacobians; Curtis, Powell and Reid, 1974).

It is more accurate, too. Rounding in a product of whole Jacobians couples the blocks by eps, and
where one block grows while another decays, then the other way round, that is enough to change
singular values by nats: 2 to 4 for Gaussian blocks of size 3 over 400 steps.

Blocks of one component, and of two that turn and scale, are multiplied as numbers (`_moduli`);
larger ones are swept one by one, as chains of their own.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int

from .._chain import JacobianChain, resolve_window
from . import _moduli
from ._coupling import blocks_of_chain
from ._streams import (
    Direction,
    Feed,
    Group,
    NonFiniteStep,
    feed_of,
    is_whole,
    partition,
    refuse_traced,
    stretches,
)


def decoupled_blocks(
    chain: JacobianChain, *, window: tuple[int, int] | None = None
) -> tuple[Int[np.ndarray, "component"], ...]:
    """Return the finest partition of the state into blocks that no Jacobian couples.

    A diagonal recurrence has n blocks of one component; a complex one pairs the real with the
    imaginary part of each number; an LSTM with diagonal recurrent weights pairs h_i with c_i; a
    dense network is one block of n. The product over the window is block diagonal in this
    partition, and `log_singular_values` and `lyapunov_exponents` use it.

    The nonzero entries decide where Jacobians are stored. Where they are streamed, the program of
    the cell's derivative does: what it says holds for any values, and is sound but not always the
    finest (a product with a diagonal matrix couples; a product with a vector does not).

    **Arguments:**

    - `chain`: from `linearize`, or `JacobianChain(array)`; of a batch no sequence may couple.
    - `window`: (s, t) of the steps that count, of stored Jacobians; default the whole chain.

    **Returns:** the components of each block, ascending; blocks in the order of their first.

    **Raises:** `ValueError` for a bad window; `TypeError` under `jit` or `vmap`.

    **Cost:** stored: O(T n^2), or O(n^2) when the first Jacobian has few zeros. Streamed: one trace
    of the cell, once for each structure.

    **Example:**

    >>> import jax, jax.numpy as jnp, vanishing_jax as vj
    >>> leaky = vj.FunctionCell(lambda w, h, x: w * h + x, jnp.array([0.9, 0.5]))
    >>> chain = vj.linearize(leaky, vj.rollout(leaky, jnp.zeros(2), jnp.ones((3, 2))))
    >>> vj.spectra.decoupled_blocks(chain)
    (array([0]), array([1]))

    ??? cite "Reference"
        Curtis, A. R., Powell, M. J. D. and Reid, J. K. (1974). On the estimation of sparse Jacobian
        matrices. IMA Journal of Applied Mathematics 13, 117-119.
    """
    refuse_traced(chain)
    labels = blocks_of_chain(chain, *resolve_window(window, chain.num_steps))
    order = np.argsort(labels, kind="stable")
    blocks = np.split(order, np.cumsum(np.bincount(labels))[:-1])
    return tuple(sorted(blocks, key=lambda block: block[0]))


Rows: TypeAlias = Float[np.ndarray, "record component column"]


def sweep_blocks(
    chain: JacobianChain,
    groups: list[Group],
    s: int,
    t: int,
    lags: Int[np.ndarray, "record"],
    direction: Direction,
    *,
    of_numbers: Callable[[_moduli.Moduli], Float[np.ndarray, "block column"]],
    of_block: Callable[[Feed, int], Rows],
) -> Rows:
    """Return what is asked of every component at the `lags`, blocks each on their own.

    `of_numbers` reads the product of numbers, `of_block` sweeps a block of some size given its
    feed; the only one where the chain is coupled. Of one sequence.

    **Raises:** `NonFiniteStep` for the first step that is not finite.
    """
    if is_whole(groups):
        return of_block(feed_of(chain, s, t, direction), chain.state_size)
    rotations = np.ones(next((len(group) for group in groups if group.shape[1] == 2), 0), bool)
    for may_rotate in (True, True, False):
        rotations &= may_rotate
        found, still = _multiply(chain, groups, rotations, s, t, lags, direction, of_numbers)
        if found is not None:
            break
        # A pair that turned and scaled so far does so no longer: begin again without it.
        rotations = still
    assert found is not None  # with no pair taken for a rotation nothing stops it
    rows, rest = found
    for components, blocks in rest:
        rows[:, components] = of_block(lambda a, b, blocks=blocks: blocks[a:b], len(components))
    return rows


def _multiply(chain, groups, rotations, s, t, lags, direction, of_numbers):
    """Return the rows with all numbers filled in, and the other blocks' Jacobians, transposed.

    None as soon as a pair said to turn does not; and which pairs do.
    """
    numbers = [_numbers_among(group, rotations) for group in groups]
    products = [_moduli.ones((len(rows),)) for rows, _ in numbers]
    recorded: list[list] = [[] for _ in groups]
    rest: list[list] = [[] for _ in groups]
    for begin, end, found in stretches(chain, groups, s, t, backward=direction == "backward"):
        _check_finite(found, begin)
        here = lags[(lags > begin) & (lags <= end)] if begin else lags[lags <= end]
        for i, (blocks, (rows, others)) in enumerate(zip(found, numbers, strict=True)):
            if blocks.shape[-1] == 2:
                still = rotations & np.all(_moduli.are_scaled_rotations(blocks), axis=0)
                if not np.array_equal(still, rotations):
                    return None, still
            factors = _moduli.moduli_of(blocks[:, rows])
            products[i], records = _moduli.multiply(products[i], factors, here - begin)
            recorded[i] += [of_numbers(record) for record in records]
            rest[i].append(blocks[:, others].swapaxes(-1, -2))
    columns = of_numbers(_moduli.ones((1,))).shape[-1]
    whole = np.empty((len(lags), chain.state_size, columns))
    remaining = []
    for group, (rows, others), records, parts in zip(groups, numbers, recorded, rest, strict=True):
        if len(rows):
            whole[:, group[rows].ravel()] = np.repeat(np.stack(records), group.shape[1], axis=1)
        joined = np.concatenate(parts)
        remaining += [(group[other], joined[:, i]) for i, other in enumerate(others)]
    return (whole, remaining), rotations


def _numbers_among(group: Group, rotations):
    """Return the rows of a group of scalar and complex blocks, and the others."""
    numbers = rotations if group.shape[1] == 2 else np.full(len(group), group.shape[1] == 1)
    return np.flatnonzero(numbers), np.flatnonzero(~numbers)


def _check_finite(found, begin):
    bad = ~np.all([np.isfinite(blocks).all(axis=(1, 2, 3)) for blocks in found], axis=0)
    if bad.any():
        raise NonFiniteStep(begin + int(np.argmax(bad)) + 1)


def mean_log_det(chain: JacobianChain) -> float:
    """Return the mean of log|det J_t| over the chain, from each Jacobian on its own."""
    total, groups = 0.0, partition(chain, 0, chain.num_steps)
    if is_whole(groups):
        for a, b in chain.segments(0, chain.num_steps):
            jacobians = np.asarray(chain.segment(a, b)).astype(np.float64)
            total += float(np.sum(np.linalg.slogdet(jacobians).logabsdet))
        return total / chain.num_steps
    for _, _, found in stretches(chain, groups, 0, chain.num_steps):
        with np.errstate(divide="ignore"):
            total += sum(float(np.sum(np.linalg.slogdet(blocks).logabsdet)) for blocks in found)
    return total / chain.num_steps
