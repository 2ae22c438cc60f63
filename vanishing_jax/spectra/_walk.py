"""From a chain to records at lags: the chain in stretches, the engine over each, on the host."""

import functools as ft
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, NoReturn

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from tqdm import tqdm

from .._chain import JacobianChain
from .._checks import NonFiniteError
from .._rollout import Trajectory
from . import _engine
from ._amplification import Amplification, amplification, cut_lags
from ._backend import Backend, backend_for, walks_together
from ._backend import cpu as cpu_backend
from ._bits import ZERO
from ._checkpoint import Checkpoint, describe_walk
from ._engine import Quantity, Walk
from ._error_bound import Recorded
from ._history import BLOCK
from ._source import DenseSource, Direction, Source, StreamedSource, is_array

# Work per stretch, in multiplications: a fraction of a second, so that the progress bar moves.
_STRETCH_WORK = 2e9

# Bytes of dense Jacobians handed over at once.
_STRETCH_BYTES = 128 * 2**20

_LONGEST, _SHORTEST = 4096, 16

# Stops of one program, at least: another number of records up to there is not another compilation.
_FEWEST_STOPS = 64

# Exponents are int32, and differences of two must fit too.
_LARGEST_EXPONENT = 2**28


class Walked(NamedTuple):
    """What a walk recorded, as NumPy arrays, and how it went."""

    records: Recorded
    amplification: Amplification | None
    factorizations: int
    rejections: int
    exact_steps: int


def walk_chain(
    chain: JacobianChain,
    s: int,
    t: int,
    lags,
    direction: Direction,
    *,
    quantity: Quantity,
    limit: float,
    tolerance: float | None = None,
    checkpoint: Checkpoint | None = None,
    progress: bool = True,
    backend: Backend | None = None,
) -> Walked:
    """Walk the window (s, t) and record at the ascending `lags`.

    `limit` is the growth allowed per step: the larger, the fewer factorizations. The `checkpoint`
    is read first, written after stretches and at the end, and kept when anything is raised.
    `backend`: None lets `backend_for` decide.
    """
    refuse_traced(chain)
    lags = np.asarray(lags, np.int64)
    backend = backend_for(chain) if backend is None else backend
    run = run_of(chain.state_size, quantity, limit, backend)
    checkpoint = Checkpoint(None) if checkpoint is None else checkpoint
    named = run.named() | {"stretch": _stretch_length(chain, run.backend)}
    checkpoint.open(lambda: describe_walk(chain, s, t, lags, direction, tolerance, **named))
    with (
        tqdm(
            total=(t - s) * (chain.batch_size or 1),
            unit="step",
            desc="Spectrum" if quantity == "singular values" else "Lyapunov exponents",
            delay=2.0,
            disable=None if progress else True,
            leave=False,
        ) as bar,
        jax.enable_x64(True),
        jax.default_device(backend.device),
    ):
        return _walk(chain, s, t, lags, direction == "backward", run, checkpoint, bar)


class Run(NamedTuple):
    """What stays the same during a walk, apart from the chain."""

    quantity: Quantity
    limit: float
    backend: Backend
    together: bool

    def named(self) -> dict[str, Any]:
        """Return what changes the result, by name."""
        return {
            "quantity": self.quantity,
            "limit": self.limit,
            "method": self.backend.method,
            "together": self.together,
        }


def run_of(n: int, quantity: Quantity, limit: float, backend: Backend) -> Run:
    """Return how to walk chains of state size n."""
    return Run(quantity, float(limit), backend, walks_together(n, backend))


class _State(NamedTuple):
    """How far a walk has come: stretches done, where it stands, the records of each stretch."""

    stretches: int
    walk: Walk
    records: list[Any]


def _walk(chain, s, t, lags, backward, run: Run, checkpoint: Checkpoint, bar) -> Walked:
    batch = chain.batch_size
    start = first_walk(chain.state_size, run.quantity, batch)
    cuts = cut_lags(t - s) if start.history is not None else np.zeros(0, np.int64)
    state = saved = _restore(checkpoint, start)
    bar.update(min(state.stretches * _stretch_length(chain, run.backend), t - s) * (batch or 1))
    with ThreadPoolExecutor(num_cores()) as pool:
        try:
            for begin, end in list(_stretches(chain, t - s, run.backend))[state.stretches :]:
                here = lags[(lags > begin) & (lags <= end)] if begin else lags[lags <= end]
                a, b = (t - end, t - begin) if backward else (s + begin, s + end)
                source = source_of(chain, a, b, begin, backward)
                walk, found = run_stretch(state.walk, source, here, cuts, end, run, pool)
                _check(walk, begin, a, b, backward, s, t)
                # One assignment: an interrupt finds all of the old state or all of the new.
                state = _State(state.stretches + 1, walk, [*state.records, found])
                bar.update((end - begin) * (batch or 1))
                if checkpoint.is_due:
                    checkpoint.save(_packed(state, batch))
                    saved = state
        finally:  # whatever is raised, no more is lost than the stretch it fell into
            if state is not saved:
                checkpoint.save(_packed(state, batch))
    walk = state.walk
    records = Recorded(*_joined(state.records, batch))
    amplified = amplification_of(walk)
    counts = [int(np.sum(n)) for n in (walk.factorizations, walk.rejections, walk.exact_steps)]
    return Walked(records, amplified, *counts)


def amplification_of(walk: Walk) -> Amplification | None:
    """Return how errors were amplified until the end; None for a walk without history."""
    if walk.history is None or not np.all(walk.history.count):
        return None
    return amplification(jax.tree.map(np.asarray, walk.history))


def first_walk(n: int, quantity: Quantity, batch: int | None) -> Walk:
    """Return the walk at lag 0; of a batch with a leading axis."""
    walk = _first_walk(n, quantity)
    if batch is None:
        return walk
    return jax.tree.map(lambda leaf: np.repeat(leaf[None], batch, axis=0), walk)


@ft.cache
def _first_walk(n: int, quantity) -> Walk:
    # Kept, because a dozen small arrays take longer than a short chain.
    with jax.enable_x64(True):
        start = jax.jit(lambda: _engine.start(n, jnp.float64, quantity=quantity))  # one program
        return jax.tree.map(np.asarray, start())


def run_stretch(
    walk: Walk, source: Source, lags, cuts, end: int, run: Run, pool: ThreadPoolExecutor
):
    """Run the engine to `end` with records at `lags`; return the walk and the records' arrays.

    Of `cuts` those count that lie ahead, up to `end`.
    """
    begin = int(np.ravel(walk.lag)[0])
    cuts = cuts[(cuts > begin) & (cuts <= end)]
    blocks = cuts
    if walk.history is not None:
        blocks = np.union1d(cuts, np.arange(begin - begin % BLOCK + BLOCK, end + 1, BLOCK))
    ahead = np.unique(np.concatenate([lags, blocks, [end]]))
    wanted = np.isin(ahead, lags)
    pad = bucket_size(len(ahead), _FEWEST_STOPS) - len(ahead)
    flags = [np.pad(x, (0, pad)) for x in (wanted, np.isin(ahead, blocks), np.isin(ahead, cuts))]
    lag, count = np.pad(ahead, (0, pad)).astype(np.int32), np.asarray(len(ahead), np.int32)
    stops = _engine.Stops(lag, flags[0], flags[1], flags[2], count)
    arguments = stops, np.asarray(run.limit, np.float64)
    options: dict[str, Any] = {
        "quantity": run.quantity,
        "method": run.backend.method,
        "finish_apart": run.backend.finish_apart,
    }
    rows = np.flatnonzero(wanted)
    if np.ndim(walk.lag) == 0:
        walk, found = _engine.run(walk, source, *arguments, **options)
        return walk, [x[rows] for x in _finished(found, run)]

    def part(group):
        mine = walk if group is None else jax.tree.map(lambda leaf: np.asarray(leaf)[group], walk)
        its = source if group is None else source.take(group)
        with jax.enable_x64(True), jax.default_device(run.backend.device):
            walked, found = _engine.run_batch(
                mine, its, *arguments, together=run.together, **options
            )
            return jax.tree.map(np.asarray, walked), _finished(found, run)

    # The cores of a CPU share a batch; an accelerator takes it whole.
    count = num_cores() if run.backend.device.platform == "cpu" else 1
    groups = _groups(len(np.ravel(walk.lag)), count)
    parts = list(pool.map(part, groups)) if len(groups) > 1 else [part(None)]
    walk, found = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    return walk, [x[:, rows] for x in found]


def _finished(found, run: Run) -> list[np.ndarray]:
    """Return the leaves of the records, on the host."""
    if run.backend.finish_apart:
        with jax.default_device(cpu_backend().device):
            found = jax.tree.map(np.asarray, found)  # off the accelerator
            found = _engine.finish_records(found, quantity=run.quantity)
    return [np.asarray(x) for x in found]


def num_cores() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _groups(size: int, count: int) -> list[slice]:
    """Return slices of a batch, one for each core, of as few different sizes as possible."""
    length = -(-size // count)
    return [slice(i, min(i + length, size)) for i in range(0, size, length)]


def _check(walk: Walk, begin, a, b, backward, s, t) -> None:
    """Raise where the walk stopped, or where its exponents come close to what int32 holds."""
    failed, lag = np.atleast_1d(walk.failed), np.atleast_1d(walk.lag)
    if failed.any():
        first = int(np.argmax(failed))
        step = b - (lag[first] - begin) if backward else a + 1 + lag[first] - begin
        sequence = first if np.ndim(walk.lag) else None
        raise_non_finite_at(int(step), backward, s, t, sequence)
    parts = [walk.product.exponent]  # since the last block's end, and until there
    if walk.history is not None:
        parts.append(walk.history.blocks.whole_exponent)
    exponent = sum(np.where(np.asarray(x) == ZERO, 0, np.asarray(x)) for x in parts)
    if np.any(np.abs(exponent) > _LARGEST_EXPONENT):
        raise OverflowError(
            f"expected log singular values within +-{_LARGEST_EXPONENT * np.log(2):.2g} nats; they "
            f"leave that range after {lag[0]} steps. Use shorter windows and add up."
        )


def raise_non_finite_at(
    step: int, backward: bool, s: int, t: int, sequence: int | None = None
) -> NoReturn:
    """Raise `NonFiniteError` for J_step, the first in the direction of the walk."""
    where = "" if sequence is None else f" of sequence {sequence}"
    raise NonFiniteError(
        f"expected finite Jacobians; J_t{where} has a NaN or infinite entry first at t = {step}"
        f" ({'from the end' if backward else 'from the start'} of the steps {s + 1}..{t}). "
        "Check the states of the trajectory there."
    )


# --- records and what a checkpoint holds of a walk ------------------------------------------------


def _joined(records, batch):
    """Return the leaves of the records of all stretches."""
    axis = 0 if batch is None else 1
    return [np.concatenate(column, axis=axis) for column in zip(*records, strict=True)]


def _packed(state: _State, batch) -> dict[str, np.ndarray]:
    """Return the state of a walk by name."""
    leaves = jax.tree_util.tree_leaves_with_path(state.walk)
    named = {"walk." + _name(path): np.asarray(leaf) for path, leaf in leaves}
    kept = dict(zip(_RECORDS, _joined(state.records, batch), strict=True))
    return {"stretches": np.asarray(state.stretches), **named, **kept}


def _restore(checkpoint: Checkpoint, walk: Walk) -> _State:
    """Return the state in the checkpoint; `walk`, at lag 0, where there is none."""
    tensors = checkpoint.tensors
    if not tensors:
        return _State(0, walk, [])
    try:
        walk = jax.tree_util.tree_map_with_path(
            lambda path, _: tensors["walk." + _name(path)], walk
        )
        return _State(int(tensors["stretches"]), walk, [[tensors[name] for name in _RECORDS]])
    except KeyError as error:
        raise ValueError(
            f"expected a checkpoint; {checkpoint.path} lacks {error}. Delete it to start from the "
            "beginning, or give another name."
        ) from error


_RECORDS = tuple(f"records.{name}" for name in Recorded._fields)


def _name(path) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


# --- stretches of a chain -------------------------------------------------------------------------


def _stretches(chain: JacobianChain, length: int, backend: Backend) -> Iterator[tuple[int, int]]:
    """Yield lags (begin, end) that cover the window; at least one pair."""
    size = _stretch_length(chain, backend)
    for begin in range(0, max(length, 1), size):
        yield begin, min(begin + size, length)


def _stretch_length(chain: JacobianChain, backend: Backend) -> int:
    n, batch = chain.state_size, chain.batch_size or 1
    longest = min(_STRETCH_WORK / n**3 / batch, _LONGEST)
    if chain.is_dense or backend.finish_apart:  # as many records as Jacobians, at most
        longest = min(longest, _STRETCH_BYTES / (8 * n * n * batch))
    return bucket_size(max(int(longest), _SHORTEST), _SHORTEST)


def bucket_size(length: int, smallest: int) -> int:
    """Return the smallest power of two times `smallest` that is at least `length`.

    Arrays are padded to such lengths, so that another T seldom means another compilation.
    """
    size = smallest
    while size < length:
        size *= 2
    return size


def source_of(chain: JacobianChain, a: int, b: int, begin: int, backward: bool):
    """Return the Jacobians J_{a+1}, ..., J_b, padded."""
    length, origin = np.asarray(b - a, np.int32), np.asarray(begin, np.int32)
    size = bucket_size(b - a, _SHORTEST)

    def cut(leaf, axis):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            data = jnp.asarray(cut(jax.random.key_data(leaf), axis))
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
        # In NumPy: slicing a JAX array would compile for every other length.
        leaf = np.asarray(leaf)
        part = leaf[(slice(None),) * axis + (slice(a, b),)]
        if part.shape[axis] == size:
            return part
        pad = [(0, size - part.shape[axis]) if i == axis else (0, 0) for i in range(leaf.ndim)]
        return np.pad(part, pad)

    batch_axes = 0 if chain.batch_size is None else 1
    if chain._jacobians is not None:
        return DenseSource(
            jacobians=cut(chain._jacobians, batch_axes),
            origin=origin,
            length=length,
            backward=backward,
        )
    linearization = chain.linearization
    assert linearization is not None
    dynamic, static = eqx.partition(
        (linearization.trajectory.states, linearization.trajectory.inputs), is_array
    )
    states, inputs = eqx.combine(jax.tree.map(lambda leaf: cut(leaf, batch_axes), dynamic), static)
    cell = linearization.cell
    batch = chain.batch_size
    if batch is not None:  # eqx.filter_vmap gives NumPy arrays no batch axis
        cell = jax.tree.map(
            lambda x: np.repeat(x[None], batch, axis=0) if isinstance(x, np.ndarray) else x, cell
        )
    stretch = eqx.tree_at(
        lambda at: (at.cell, at.trajectory), linearization, (cell, Trajectory(states, inputs))
    )
    return StreamedSource(
        linearization=stretch,
        origin=origin,
        length=length,
        backward=backward,
    )


def refuse_traced(chain: JacobianChain) -> None:
    """Raise `TypeError` for a chain of traced arrays."""
    leaves = jax.tree.leaves((chain._jacobians, chain.linearization))
    if any(isinstance(leaf, Tracer) for leaf in leaves):
        raise TypeError(
            "expected concrete Jacobians; got a traced array. Inside jit or vmap use "
            "vanishing_jax.spectra.product_log_singular_values(jacobians)."
        )
