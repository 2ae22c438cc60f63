"""From a chain to records at lags: the chain in stretches, the engine over each, on the host."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Bool, Float
from tqdm import tqdm

from .._chain import JacobianChain, Linearization
from .._checks import NonFiniteError
from .._rollout import Trajectory
from . import _engine
from ._amplification import Amplification, amplification, cut_lags, stack_amplifications
from ._backend import Backend, backend_for
from ._backend import cpu as cpu_backend
from ._engine import Quantity, Walk
from ._source import DenseSource, Direction, StreamedSource

# Work per stretch, in multiplications: a fraction of a second, so that the progress bar moves.
_STRETCH_WORK = 2e9

# Bytes of dense Jacobians handed over at once.
_STRETCH_BYTES = 128 * 2**20

_LONGEST, _SHORTEST = 4096, 16

# From this state size on a batch is walked one by one on the CPU: matrices of several sequences
# push each other out of the cache, and each sequence keeps its own interval.
_ONE_BY_ONE_FROM = 48


class Walked(NamedTuple):
    """What a walk recorded, as NumPy arrays, and how it went."""

    logs: Float[np.ndarray, "*batch record state"]
    growth: Float[np.ndarray, "*batch record state"]
    resolved: Bool[np.ndarray, "*batch record"]
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
    progress: bool = True,
    backend: Backend | None = None,
) -> Walked:
    """Walk the window (s, t) and record at the ascending `lags`.

    `limit` is the growth allowed per step: the larger, the fewer factorizations. `backend`: None
    lets `backend_for` decide.
    """
    if isinstance(chain._jacobians, Tracer) or _is_traced(chain.linearization):
        raise TypeError(
            "expected concrete Jacobians; got a traced array. Inside jit or vmap use "
            "vanishing_jax.spectra.product_log_singular_values(jacobians)."
        )
    lags = np.asarray(lags, np.int64)
    backend = backend_for(chain) if backend is None else backend
    with tqdm(
        total=(t - s) * (chain.batch_size or 1),
        unit="step",
        desc="Spectrum" if quantity == "singular values" else "Lyapunov exponents",
        delay=2.0,
        disable=None if progress else True,
        leave=False,
    ) as bar:

        def one(part):
            with jax.enable_x64(True), jax.default_device(backend.device):
                return _walk(part, s, t, lags, direction, quantity, limit, backend, bar)

        in_step = backend.finish_apart or chain.state_size < _ONE_BY_ONE_FROM
        if chain.batch_size is None or in_step:
            return one(chain)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            parts = list(pool.map(one, (chain[i] for i in range(chain.batch_size))))
    return Walked(
        np.stack([part.logs for part in parts]),
        np.stack([part.growth for part in parts]),
        np.stack([part.resolved for part in parts]),
        stack_amplifications([part.amplification for part in parts]),
        sum(part.factorizations for part in parts),
        sum(part.rejections for part in parts),
        sum(part.exact_steps for part in parts),
    )


def _walk(chain, s, t, lags, direction, quantity, limit, backend, bar) -> Walked:
    backward = direction == "backward"
    walk = _engine.start(chain.state_size, jnp.float64, quantity=quantity, batch=chain.batch_size)
    records: list[Any] = []
    cuts = cut_lags(t - s) if walk.history is not None else np.zeros(0, np.int64)
    for begin, end in _stretches(chain, t - s, backend.finish_apart):
        here = lags[(lags > begin) & (lags <= end)] if begin else lags[lags <= end]
        a, b = (t - end, t - begin) if backward else (s + begin, s + end)
        source = _source(chain, a, b, begin, backward)
        walk, found = _run(walk, source, here, cuts, end, quantity, limit, backend)
        if bool(walk.failed):
            _raise_non_finite(source, int(walk.lag), a, b, backward, s, t)
        records.append(found)
        bar.update((end - begin) * (chain.batch_size or 1))
    axis = 0 if chain.batch_size is None else 1
    logs, growth, resolved = (
        np.moveaxis(np.concatenate(column), 0, axis) for column in zip(*records, strict=True)
    )
    return Walked(
        logs,
        growth,
        resolved,
        amplification(jax.tree.map(np.asarray, walk.history)) if len(cuts) else None,
        int(walk.factorizations),
        int(walk.rejections),
        int(walk.exact_steps),
    )


def _run(walk: Walk, source, lags, cuts, end, quantity, limit, backend: Backend):
    """Run the engine to `end` with records at `lags`; return the walk and the records' arrays."""
    start = int(walk.lag)
    cuts = cuts[(cuts > start) & (cuts <= end)]
    targets = np.unique(np.concatenate([lags, cuts, [end]]))
    wanted, cut = np.isin(targets, lags), np.isin(targets, cuts)
    bucket = _bucket(len(targets), 1)
    pad = bucket - len(targets)
    walk, found = _engine.run(
        walk,
        source,
        np.pad(targets, (0, pad)).astype(np.int32),
        np.pad(wanted, (0, pad)),
        np.pad(cut, (0, pad)),
        np.asarray(len(targets), np.int32),
        np.asarray(limit, np.float64),
        quantity=quantity,
        method=backend.method,
        finish_apart=backend.finish_apart,
    )
    if backend.finish_apart:
        with jax.default_device(cpu_backend().device):
            products = jax.tree.map(np.asarray, found)  # off the accelerator
            found = _engine.finish_records(products, quantity=quantity)
    return walk, [np.asarray(x)[: len(targets)][wanted] for x in found]


def _stretches(chain: JacobianChain, length: int, finish_apart: bool) -> Iterator[tuple[int, int]]:
    """Yield lags (begin, end) that cover the window; at least one pair."""
    n, batch = chain.state_size, chain.batch_size or 1
    longest = min(_STRETCH_WORK / n**3 / batch, _LONGEST)
    if chain.is_dense or finish_apart:  # as many records as Jacobians, at most
        longest = min(longest, _STRETCH_BYTES / (8 * n * n * batch))
    size = _bucket(max(int(longest), _SHORTEST), _SHORTEST)
    for begin in range(0, max(length, 1), size):
        yield begin, min(begin + size, length)


def _bucket(length: int, smallest: int) -> int:
    """Return the smallest power of two times `smallest` that is at least `length`.

    Arrays are padded to such lengths, so that another T seldom means another compilation.
    """
    size = smallest
    while size < length:
        size *= 2
    return size


def _source(chain: JacobianChain, a: int, b: int, begin: int, backward: bool):
    """Return the Jacobians J_{a+1}, ..., J_b, padded."""
    length, origin = np.asarray(b - a, np.int32), np.asarray(begin, np.int32)
    size = _bucket(b - a, _SHORTEST)

    def cut(leaf, axis):
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
        (linearization.trajectory.states, linearization.trajectory.inputs), eqx.is_array
    )
    states, inputs = eqx.combine(jax.tree.map(lambda leaf: cut(leaf, batch_axes), dynamic), static)
    stretch = eqx.tree_at(lambda at: at.trajectory, linearization, Trajectory(states, inputs))
    return StreamedSource(
        linearization=stretch,
        origin=origin,
        length=length,
        backward=backward,
        batched=chain.batch_size is not None,
    )


def _is_traced(linearization: Linearization | None) -> bool:
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(linearization))


def _raise_non_finite(source, lag, a, b, backward, s, t):
    """Raise `NonFiniteError` for the Jacobian at which the walk stopped."""
    step = b - (lag - int(source.origin)) if backward else a + 1 + lag - int(source.origin)
    raise NonFiniteError(
        f"expected finite Jacobians; J_t has a NaN or infinite entry first at t = {step} "
        f"({'from the end' if backward else 'from the start'} of the steps {s + 1}..{t}). Check "
        "the states of the trajectory there."
    )
