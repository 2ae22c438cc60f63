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

from collections.abc import Callable, Iterator
from typing import TypeAlias

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float, Int

from .._chain import JacobianChain, StepRule, dense_bytes, one_step, padded_steps, resolve_window
from .._coupling import blocks_of_program, blocks_of_values
from . import _moduli
from ._feed import Direction, refuse_traced
from ._sweep import Feed, NonFiniteStep

Group: TypeAlias = np.ndarray
"""The components of all blocks of one size, shape (block, size)."""

# Steps looked at together: so many, or as many as fit in so many bytes.
_LONGEST, _SHORTEST = 4096, 16
_STRETCH_BYTES = 64 * 2**20

# Tangents pushed at once, in bytes.
_CHUNK_BYTES = 16 * 2**20


def decoupled_blocks(
    chain: JacobianChain, *, window: tuple[int, int] | None = None
) -> tuple[Int[np.ndarray, "component"], ...]:
    """Return the finest partition of the state into blocks that no Jacobian couples.

    A diagonal recurrence has n blocks of one component; a complex one pairs the real with the
    imaginary part of each number; an LSTM with diagonal recurrent weights pairs h_i with c_i; a
    dense network is one block of n. The product over the window is block diagonal in this
    partition, and `log_singular_values` and `lyapunov_exponents` use it.

    Of stored Jacobians the nonzero entries decide. Of streamed ones the program of the cell's
    derivative does: what it says holds for any values, and is sound but not always the finest (a
    product with a diagonal matrix couples; a product with a vector does not).

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
    labels = _labels(chain, *resolve_window(window, chain.num_steps))
    order = np.argsort(labels, kind="stable")
    blocks = np.split(order, np.cumsum(np.bincount(labels))[:-1])
    return tuple(sorted(blocks, key=lambda block: block[0]))


def _labels(chain, s, t) -> Int[np.ndarray, "state"]:
    if chain.is_dense:
        return blocks_of_values(np.asarray(chain._jacobians)[..., s:t, :, :])
    return blocks_of_program(chain.linearization)


def partition(chain: JacobianChain, s: int, t: int) -> list[Group]:
    """Return the groups in which the window is best swept; one block if it is best left whole."""
    refuse_traced(chain)
    labels = _labels(chain, s, t)
    sizes = np.bincount(labels)
    # Streamed, a Jacobian with a block of more than half the state is as quickly formed whole.
    if not chain.is_dense and sizes.max() > max(1, chain.state_size // 2):
        return [np.arange(chain.state_size)[None]]
    order = np.argsort(labels, kind="stable")
    starts = np.cumsum(sizes) - sizes
    return [order[starts[sizes == size][:, None] + np.arange(size)] for size in np.unique(sizes)]


def is_whole(groups: list[Group]) -> bool:
    """Say whether the partition has one block of several components: the chain is coupled."""
    return len(groups) == 1 and groups[0].shape[0] == 1 and groups[0].shape[1] > 1


Rows: TypeAlias = Float[np.ndarray, "record component column"]


def sweep_decoupled(
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
    feed. Of one sequence.

    **Raises:** `NonFiniteStep` for the first step that is not finite.
    """
    pairs = next((len(group) for group in groups if group.shape[1] == 2), 0)
    turning, found = np.ones(pairs, bool), None
    for attempt in range(3):
        found, still = _multiply(chain, groups, turning, s, t, lags, direction, of_numbers)
        if found is not None:
            break
        # A pair that turned and scaled so far does so no longer: begin again without it.
        turning = still if attempt == 0 else np.zeros_like(still)
    assert found is not None  # with no pair taken for a rotation nothing stops it
    rows, rest = found
    for components, blocks in rest:
        rows[:, components] = of_block(lambda a, b, blocks=blocks: blocks[a:b], len(components))
    return rows


def _multiply(chain, groups, turning, s, t, lags, direction, of_numbers):
    """Return the rows with all numbers filled in, and the other blocks' Jacobians, transposed.

    None as soon as a pair said to turn does not; and which pairs do.
    """
    numbers = [_numbers_among(group, turning) for group in groups]
    products = [_moduli.ones((len(rows),)) for rows, _ in numbers]
    recorded: list[list] = [[] for _ in groups]
    rest: list[list] = [[] for _ in groups]
    for begin, end, found in stretches(chain, groups, s, t, backward=direction == "backward"):
        _check_finite(found, begin)
        here = lags[(lags > begin) & (lags <= end)] if begin else lags[lags <= end]
        for i, (blocks, (rows, others)) in enumerate(zip(found, numbers, strict=True)):
            if blocks.shape[-1] == 2:
                still = turning & np.all(_moduli.turns(blocks), axis=0)
                if not np.array_equal(still, turning):
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
    return (whole, remaining), turning


def _numbers_among(group: Group, turning):
    """Return the rows of a group whose blocks multiply as numbers, and the others."""
    numbers = turning if group.shape[1] == 2 else np.full(len(group), group.shape[1] == 1)
    return np.flatnonzero(numbers), np.flatnonzero(~numbers)


def _check_finite(found, begin):
    bad = ~np.all([np.isfinite(blocks).all(axis=(1, 2, 3)) for blocks in found], axis=0)
    if bad.any():
        raise NonFiniteStep(begin + int(np.argmax(bad)) + 1)


def stretches(
    chain: JacobianChain, groups: list[Group], s: int, t: int, *, backward: bool = False
) -> Iterator[tuple[int, int, list[np.ndarray]]]:
    """Yield lags (begin, end) that cover the window with the blocks of their Jacobians.

    One array (step, block, size, size) for each group: float64, in the order of the sweep,
    transposed when `backward`. At least one stretch.
    """
    widest = max(group.shape[1] for group in groups)
    fitting = int(_STRETCH_BYTES / (8 * chain.state_size * widest))
    size = bucket_size(max(min(fitting, _LONGEST), _SHORTEST), _SHORTEST)
    for begin in range(0, max(t - s, 1), size):
        end = min(begin + size, t - s)
        a, b = (t - end, t - begin) if backward else (s + begin, s + end)
        blocks = _stored(chain, a, b, groups) if chain.is_dense else _pushed(chain, a, b, groups)
        if backward:
            blocks = [np.flip(x, 0).swapaxes(-1, -2) for x in blocks]
        yield begin, end, blocks


def bucket_size(length: int, smallest: int) -> int:
    """Return the smallest power of two times `smallest` that is at least `length`.

    Arrays are padded to such lengths, so that another T seldom means another compilation.
    """
    size = smallest
    while size < length:
        size *= 2
    return size


def _stored(chain, a, b, groups):
    jacobians = np.asarray(chain._jacobians)[a:b]
    return [jacobians[:, g[:, :, None], g[:, None, :]].astype(np.float64) for g in groups]


def _pushed(chain, a, b, groups):
    """Return the blocks from one tangent for each position within a block."""
    linearization = chain.linearization
    assert linearization is not None
    n, dtype = chain.state_size, linearization.layout.dtype
    seeds = np.zeros((max(group.shape[1] for group in groups), n), dtype)
    for group in groups:
        for color, components in enumerate(group.T):
            seeds[color, components] = 1
    columns = np.zeros((0, *seeds.shape))
    if b > a:
        # Padded, so that another length does not mean another compilation.
        steps = padded_steps(linearization.trajectory, a, b, bucket_size(b - a, _SHORTEST))
        with jax.enable_x64(linearization.x64):
            pushed = _push_seeds(linearization.rule, steps, seeds)
        columns = np.asarray(pushed)[: b - a].astype(np.float64)
    blocks = []
    for group in groups:
        # (step, color, block, row): the row of the block in the column of that color.
        part = np.moveaxis(columns[:, : group.shape[1], :][..., group], 1, -1)
        blocks.append(part if linearization.mode == "fwd" else part.swapaxes(-1, -2))
    return blocks


@eqx.filter_jit
def _push_seeds(rule: StepRule, steps, seeds):
    """Return J_t (in reverse mode J_t^T) applied to the seeds at each step."""

    def one(step):
        vector, step = one_step(rule, *step)
        if rule.mode == "fwd":
            return jax.vmap(jax.linearize(step, vector)[1])(seeds)
        pull = jax.vjp(step, vector)[1]
        return jax.vmap(lambda seed: pull(seed)[0])(seeds)

    length = jax.tree.leaves(steps)[0].shape[0]
    together = max(1, _CHUNK_BYTES // dense_bytes(1, 1, seeds.dtype) // seeds.size)
    return jax.lax.map(one, steps, batch_size=min(together, length))


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
