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
larger ones go through the engine, all blocks of a size as one batch.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from tqdm import tqdm

from .._chain import JacobianChain, dense_bytes, resolve_window
from .._coupling import blocks_of_program, blocks_of_values
from . import _moduli
from ._amplification import Amplification, cut_lags
from ._backend import cpu
from ._checkpoint import Checkpoint, describe_walk
from ._engine import Quantity, Walk
from ._error_bound import Recorded, error_bound, rounding_of_jacobians
from ._source import DenseSource, Direction
from ._walk import (
    Run,
    amplification_of,
    bucket_size,
    first_walk,
    num_cores,
    raise_non_finite_at,
    refuse_traced,
    run_of,
    run_stretch,
    source_of,
    walk_chain,
)

Group: TypeAlias = np.ndarray
"""The components of all blocks of one size, shape (block, size)."""

# Steps walked at once: so many, or as many as fit in so many bytes.
_LONGEST, _SHORTEST = 4096, 16
_STRETCH_BYTES = 64 * 2**20

# Tangents pushed at once, in bytes.
_CHUNK_BYTES = 16 * 2**20

# How often the walk starts again because a block that turned and scaled does so no longer.
_RESTARTS = 2


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
    """Return the groups in which the window is best walked; one block if it is best left whole."""
    refuse_traced(chain)
    labels = _labels(chain, s, t)
    sizes = np.bincount(labels)
    # Streamed, a block of more than half the state is pushed faster than formed.
    if not chain.is_dense and sizes.max() > max(1, chain.state_size // 2):
        return [np.arange(chain.state_size)[None]]
    order = np.argsort(labels, kind="stable")
    starts = np.cumsum(sizes) - sizes
    return [order[starts[sizes == size][:, None] + np.arange(size)] for size in np.unique(sizes)]


def is_whole(groups: list[Group]) -> bool:
    """Say whether the partition has one block of several components: the chain is coupled."""
    return len(groups) == 1 and groups[0].shape[0] == 1 and groups[0].shape[1] > 1


class Found(NamedTuple):
    """Logs at each lag, a bound on the error of each, and what rounding the Jacobians may change.

    Singular values descend; growth rates keep their place from record to record. `factorizations`:
    how many there were per step; 0 for decoupled blocks.
    """

    logs: Float[np.ndarray, "*batch record state"]
    bounds: Float[np.ndarray, "*batch record state"]
    rounding: Float[np.ndarray, "*batch record state"]
    factorizations: Float[np.ndarray, ""] = np.zeros(())


def walk(
    chain: JacobianChain,
    groups: list[Group],
    s: int,
    t: int,
    lags: Int[np.ndarray, "record"],
    direction: Direction,
    *,
    quantity: Quantity,
    limit: float,
    tolerance: float | None,
    checkpoint: Checkpoint,
    amplification: Callable[[], Amplification | None] | None = None,
) -> Found:
    """Return what was found at the ascending `lags` of the window (s, t).

    `limit` is the growth allowed per step, as in `walk_chain`. `amplification` says how errors are
    amplified where the walk itself does not know, of growth rates. Of decoupled blocks, which take
    little time, the `checkpoint` keeps the finished result only.
    """
    if is_whole(groups):
        walked = walk_chain(
            chain,
            s,
            t,
            lags,
            direction,
            quantity=quantity,
            limit=limit,
            tolerance=tolerance,
            checkpoint=checkpoint,
        )
        if set(Found._fields) <= checkpoint.tensors.keys():
            return Found(*(checkpoint.tensors[name] for name in Found._fields))
        known = walked.amplification if amplification is None else amplification()
        bounds = error_bound(walked.records, lags, known, together=bool(limit > 0))
        rounding = rounding_of_jacobians(walked.records.logs, lags, known, chain.dtype)
        each = walked.factorizations / max(1, (t - s) * (chain.batch_size or 1))
        found = Found(walked.records.logs, bounds, rounding, np.asarray(each))
        checkpoint.save({**checkpoint.tensors, **found._asdict()})
        return found
    checkpoint.open(
        lambda: describe_walk(
            chain, s, t, lags, direction, tolerance, quantity=quantity, blocks=_sizes(groups)
        )
    )
    if set(Found._fields) <= checkpoint.tensors.keys():
        return Found(*(checkpoint.tensors[name] for name in Found._fields))
    found = _walk_blocks(chain, groups, s, t, lags, direction, quantity=quantity, limit=limit)
    checkpoint.save(found._asdict())
    return found


def _sizes(groups):
    return ", ".join(f"{len(group)} of size {group.shape[1]}" for group in groups)


def _walk_blocks(chain, groups, s, t, lags, direction, *, quantity, limit):
    pairs = next((len(group) for group in groups if group.shape[1] == 2), 0)
    turning, found = np.ones(pairs, bool), None
    for attempt in range(_RESTARTS + 1):
        found, still = _walk(
            chain, groups, turning, s, t, lags, direction, quantity=quantity, limit=limit
        )
        if found is not None:
            break
        turning = still if attempt < _RESTARTS - 1 else np.zeros_like(still)
    assert found is not None  # with no block taken for a rotation nothing stops the walk
    if quantity == "singular values":
        order = np.argsort(-found.logs, axis=-1, kind="stable")
        found = Found(*(np.take_along_axis(x, order, axis=-1) for x in found[:3]))
    return found


def _walk(chain, groups, turning, s, t, lags, direction, *, quantity, limit):
    """Return what was found, or None as soon as a pair said to turn does not; and which do."""
    batch = () if chain.batch_size is None else (chain.batch_size,)
    cuts = cut_lags(t - s) if quantity == "singular values" else np.zeros(0, np.int64)
    parts = _parts(groups, turning, batch, quantity, limit, cuts)
    backward = direction == "backward"
    records: list[list[Any]] = [[] for _ in parts]
    with tqdm(
        total=(t - s) * (chain.batch_size or 1),
        unit="step",
        desc="Spectrum" if quantity == "singular values" else "Lyapunov exponents",
        delay=2.0,
        leave=False,
    ) as bar:
        for begin, end, found in stretches(chain, groups, s, t, backward=backward):
            here = lags[(lags > begin) & (lags <= end)] if begin else lags[lags <= end]
            _check_finite(found, begin, backward, s, t)
            for blocks in found:
                if blocks.shape[-1] == 2:
                    every = tuple(range(len(batch) + 1))
                    still = turning & np.all(_moduli.turns(blocks), axis=every)
                    if not np.array_equal(still, turning):
                        return None, still
            for i, part in enumerate(parts):
                blocks = found[part.group][..., part.rows, :, :]
                parts[i], record = part.advance(blocks, here, begin, end)
                records[i].append(record)
            bar.update((end - begin) * (chain.batch_size or 1))
    shape = (*batch, len(lags), chain.state_size)
    whole = Found(np.empty(shape), np.empty(shape), np.empty(shape))
    for part, record in zip(parts, records, strict=True):
        places = groups[part.group][part.rows].ravel()
        for target, column in zip(
            whole[:3], part.finish(record, lags, chain.dtype)[:3], strict=True
        ):
            target[..., places] = column
    return whole, turning


def _check_finite(found, begin, backward, s, t):
    """Raise for the first step of the walk with a Jacobian that is not finite."""
    bad = np.zeros(found[0].shape[-4], bool)
    for blocks in found:
        time = blocks.ndim - 4
        others = tuple(axis for axis in range(blocks.ndim) if axis != time)
        bad |= ~np.all(np.isfinite(blocks), axis=others)
    if bad.any():
        lag = begin + int(np.argmax(bad))
        raise_non_finite_at(t - lag if backward else s + 1 + lag, backward, s, t)


# The parts of a walk: the blocks of one group in `rows`, and the product of each so far.


class _Numbers(NamedTuple):
    """Blocks that multiply as numbers."""

    group: int
    rows: Any
    size: int
    product: _moduli.Moduli

    def advance(self, blocks, lags, begin, end):
        """Return the part after these steps, and logs and bounds at the lags passed."""
        product, found = _moduli.multiply(self.product, _moduli.moduli_of(blocks), lags - begin)
        results = []
        for of in (_moduli.logs_of, _moduli.error_of):
            columns = [np.repeat(of(record), self.size, axis=-1) for record in found]
            *axes, count = product.mantissa.shape
            empty = np.zeros((0, *axes, count * self.size))
            stacked = np.stack(columns) if columns else empty
            results.append(np.moveaxis(stacked, 0, -2))
        return self._replace(product=product), results

    def finish(self, records, lags, dtype) -> Found:
        """Return what was found by all steps."""
        logs, bounds = (np.concatenate(x, axis=-2) for x in zip(*records, strict=True))
        # Independent roundings of the factors.
        change = np.finfo(dtype).eps * np.sqrt(lags)[:, None]
        return Found(logs, bounds, np.where(np.isneginf(logs), 0.0, change))


class _Matrices(NamedTuple):
    """Blocks of one size that go through the engine, as the sequences of a batch do."""

    group: int
    rows: Any
    walk: Walk
    cuts: Int[np.ndarray, "cut"]
    run: Run
    batch: tuple[int, ...]

    def advance(self, blocks, lags, begin, end):
        """Return the part after these steps, and what it recorded at the lags passed."""
        steps, size = blocks.shape[-4], blocks.shape[-1]
        flat = np.moveaxis(blocks, -4, -3).reshape(-1, steps, size, size)
        missing = bucket_size(steps, _SHORTEST) - steps
        source = DenseSource(
            jacobians=np.pad(flat, ((0, 0), (0, missing), (0, 0), (0, 0))),
            origin=np.asarray(begin, np.int32),
            length=np.asarray(steps, np.int32),
            backward=False,
        )
        with (
            jax.enable_x64(True),
            jax.default_device(self.run.backend.device),
            ThreadPoolExecutor(num_cores()) as pool,
        ):
            walk, record = run_stretch(self.walk, source, lags, self.cuts, end, self.run, pool)
        return self._replace(walk=walk), record

    def finish(self, records, lags, dtype) -> Found:
        """Return what was found by all steps."""
        joined = Recorded(*(np.concatenate(x, axis=1) for x in zip(*records, strict=True)))
        known, together, logs = amplification_of(self.walk), bool(self.run.limit > 0), joined.logs
        bounds = error_bound(joined, lags, known, together=together)
        rounding = rounding_of_jacobians(logs, lags, known, dtype)
        return Found(*(self._in_place(x) for x in (logs, bounds, rounding)))

    def _in_place(self, x):
        """Return an array (batch and block, record, size) as (*batch, record, component)."""
        size = x.shape[-1]
        x = np.moveaxis(x.reshape(*self.batch, -1, x.shape[1], size), -3, -2)
        return x.reshape(*x.shape[:-2], -1)


def _parts(groups, turning, batch, quantity, limit, cuts) -> list[_Numbers | _Matrices]:
    parts: list[_Numbers | _Matrices] = []
    for g, group in enumerate(groups):
        size = group.shape[1]
        numbers = turning if size == 2 else np.full(len(group), size == 1)
        if numbers.any():
            rows = np.flatnonzero(numbers)
            parts.append(_Numbers(g, rows, size, _moduli.ones((*batch, len(rows)))))
        if not numbers.all():
            rows = np.flatnonzero(~numbers)
            walk = first_walk(size, quantity, len(rows) * int(np.prod(batch)))
            run = run_of(size, quantity, limit, cpu())
            parts.append(_Matrices(g, rows, walk, cuts, run, batch))
    return parts


def stretches(
    chain: JacobianChain, groups: list[Group], s: int, t: int, *, backward: bool = False
) -> Iterator[tuple[int, int, list[np.ndarray]]]:
    """Yield lags (begin, end) that cover the window with the blocks of their Jacobians.

    One array (*batch, step, block, size, size) for each group: float64, in the order of the walk,
    transposed when `backward`. At least one stretch.
    """
    widest = max(group.shape[1] for group in groups)
    batch = chain.batch_size or 1
    fitting = _STRETCH_BYTES / (8 * batch * chain.state_size * widest)
    size = bucket_size(max(int(min(fitting, _LONGEST)), _SHORTEST), _SHORTEST)
    for begin in range(0, max(t - s, 1), size):
        end = min(begin + size, t - s)
        a, b = (t - end, t - begin) if backward else (s + begin, s + end)
        blocks = _stored(chain, a, b, groups) if chain.is_dense else _pushed(chain, a, b, groups)
        if backward:
            blocks = [np.flip(x, -4).swapaxes(-1, -2) for x in blocks]
        yield begin, end, blocks


def _stored(chain, a, b, groups):
    jacobians = np.asarray(chain._jacobians)[..., a:b, :, :]
    return [jacobians[..., g[:, :, None], g[:, None, :]].astype(np.float64) for g in groups]


def _pushed(chain, a, b, groups):
    """Return the blocks from one tangent for each position within a block."""
    linearization = chain.linearization
    assert linearization is not None
    n, dtype = chain.state_size, linearization.layout.dtype
    seeds = np.zeros((max(group.shape[1] for group in groups), n), dtype)
    for group in groups:
        for color, components in enumerate(group.T):
            seeds[color, components] = 1
    batch = () if chain.batch_size is None else (chain.batch_size,)
    if a == b:
        columns = np.zeros((*batch, 0, *seeds.shape))
    else:
        # Padded, so that another length does not mean another compilation.
        source, steps = source_of(chain, a, b, 0, False), bucket_size(b - a, _SHORTEST)
        own, common = source.split() if batch else (None, source)
        with jax.enable_x64(linearization.x64):
            pushed = _push_seeds(own, common, seeds, steps)
        columns = np.asarray(pushed)[..., : b - a, :, :].astype(np.float64)
    blocks = []
    for group in groups:
        # (step, color, block, row): the row of the block in the column of that color.
        part = np.moveaxis(columns[..., : group.shape[1], :][..., group], -3, -1)
        blocks.append(part if linearization.mode == "fwd" else part.swapaxes(-1, -2))
    return blocks


@eqx.filter_jit
def _push_seeds(own, common, seeds, steps):
    """Return J_t applied to the seeds at each step; over a batch where `own` is not None."""

    def all_steps(own):
        linearization = (common if own is None else eqx.combine(own, common)).linearization

        def one(t):
            vector, step = linearization.at(t)
            if linearization.mode == "fwd":
                return jax.vmap(jax.linearize(step, vector)[1])(seeds)
            pull = jax.vjp(step, vector)[1]
            return jax.vmap(lambda seed: pull(seed)[0])(seeds)

        together = max(1, _CHUNK_BYTES // dense_bytes(1, 1, seeds.dtype) // seeds.size)
        return jax.lax.map(one, jnp.arange(1, steps + 1), batch_size=min(together, steps))

    return all_steps(None) if own is None else jax.lax.map(all_steps, own)


def mean_log_det(chain: JacobianChain, groups: list[Group]) -> float:
    """Return the mean of log|det J_t| over the chain, from each Jacobian on its own."""
    total = 0.0
    if is_whole(groups):
        for a, b in chain.segments(0, chain.num_steps):
            jacobians = np.asarray(chain.segment(a, b)).astype(np.float64)
            total += float(np.sum(np.linalg.slogdet(jacobians).logabsdet))
        return total / chain.num_steps
    for _, _, found in stretches(chain, groups, 0, chain.num_steps):
        for blocks in found:
            if blocks.shape[-1] == 1:
                with np.errstate(divide="ignore"):
                    total += float(np.sum(np.log(np.abs(blocks))))
            else:
                total += float(np.sum(np.linalg.slogdet(blocks).logabsdet))
    return total / chain.num_steps
