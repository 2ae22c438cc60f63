"""The Jacobians of a window of a chain as algorithms take them, whether stored or streamed.

Whole and transposed (`feed_of`); applied to the columns of a block (`push_of`); or, of a state that
falls apart, only the blocks on their diagonals (`stretches`). In float64 on the host, a piece at a
time, by compiled functions that do not depend on the window.
"""

import functools as ft
from collections.abc import Callable, Iterator
from typing import Any, Literal, NoReturn, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Float

from .._chain import JacobianChain
from .._checks import NonFiniteError
from .._linearization import StepRule, apply_step, chunk_length, dense_bytes, padded_steps
from .._types import Array, PyTree
from ._coupling import blocks_of_chain

Direction = Literal["forward", "backward"]

Feed = Callable[[int, int], Float[np.ndarray, "time state state"]]
"""`feed(a, b)`: the Jacobians of the steps a + 1 .. b of the sweep, transposed, float64."""

Push = Callable[[int, int, Float[np.ndarray, "state column"]], Float[np.ndarray, "state column"]]
"""`push(a, b, block)`: the block carried by the steps a + 1 .. b of a sweep, float64."""

Group: TypeAlias = np.ndarray
"""The components of all blocks of one size, shape (block, size)."""

# Steps pushed by one call.
_CHUNK = 16

# Steps whose blocks are looked at together: so many, or as many as fit in so many bytes.
_LONGEST, _SHORTEST = 4096, 16
_STRETCH_BYTES = 64 * 2**20

# Tangents pushed at once, in bytes.
_TANGENT_BYTES = 16 * 2**20


# --- whole ----------------------------------------------------------------------------------------


def feed_of(chain: JacobianChain, s: int, t: int, direction: Direction) -> Feed:
    """Return the feed of the window (s, t) of a chain of one sequence.

    Forward the sweep multiplies by J_{s+1}, ..., J_t; backward by J_t^T, ..., J_{s+1}^T. Stored
    Jacobians are cut out, streamed ones computed a block at a time: never all at once.
    """

    def steps(a, b):
        if direction == "backward":  # (J^T)^T
            return np.asarray(chain.segment(t - b, t - a))[::-1].astype(np.float64, copy=False)
        jacobians = np.asarray(chain.segment(s + a, s + b))
        return np.ascontiguousarray(jacobians.swapaxes(1, 2), np.float64)

    if chain.linearization is None or chain.is_dense:
        return steps
    size = chunk_length(chain.linearization.layout, t - s)

    @ft.lru_cache(maxsize=2)
    def block(i):
        return steps(i * size, min((i + 1) * size, t - s))

    def feed(a, b):
        blocks = range(a // size, -(-b // size))
        parts = [block(i)[max(a - i * size, 0) : b - i * size] for i in blocks]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    return feed


# --- applied to columns ---------------------------------------------------------------------------


def push_of(chain: JacobianChain, s: int, t: int, direction: Direction) -> Push:
    """Return what carries a block along the window (s, t) of a chain of one sequence.

    Forward by J_{s+1}, ..., J_t; backward by J_t^T, ..., J_{s+1}^T. Stored Jacobians in float64,
    streamed ones by jvp or vjp in their own precision: no n by n array is formed.
    """
    backward, linearization = direction == "backward", chain.linearization

    def multiply(a, b, block):
        a, b = (t - b, t - a) if backward else (s + a, s + b)
        with np.errstate(over="ignore", invalid="ignore"):  # seen by who pushes
            jacobians = np.asarray(chain.segment(a, b)).astype(np.float64, copy=False)
            for J in jacobians[::-1].swapaxes(1, 2) if backward else jacobians:
                block = J @ block
        return block

    if linearization is None or chain.is_dense:
        return multiply

    @ft.lru_cache(maxsize=1)
    def chunk(begin):
        end = min(begin + _CHUNK, linearization.num_steps)
        return padded_steps(linearization.trajectory, begin, end, _CHUNK)

    def push(a, b, block):
        a, b = (t - b, t - a) if backward else (s + a, s + b)
        begins = range(a // _CHUNK * _CHUNK, b, _CHUNK)
        with jax.enable_x64(linearization.x64):
            block = jnp.asarray(block, linearization.layout.dtype)
            for begin in reversed(begins) if backward else begins:
                first, last = np.clip([a - begin, b - begin], 0, _CHUNK).astype(np.int32)
                block = pushed(
                    linearization.rule, chunk(begin), first, last, block, transpose=backward
                )
        return np.asarray(block).astype(np.float64)

    return push


@eqx.filter_jit
def pushed(
    rule: StepRule, steps: PyTree, first: Any, last: Any, block: Any, *, transpose: bool
) -> Float[Array, "state column"]:
    """Return the block carried by the steps [first, last) of a chunk, from the last if transposed.

    The steps to take are an argument: one program for all numbers of them.
    """

    def body(i, block):
        index = last - 1 - (i - first) if transpose else i
        state, input = jax.tree.map(
            lambda leaf: jax.lax.dynamic_index_in_dim(leaf, index, keepdims=False), steps
        )
        with jax.default_matmul_precision("highest"):
            return apply_step(rule, state, input, block, transpose=transpose)

    return jax.lax.fori_loop(first, last, body, block)


# --- blocks that no Jacobian couples --------------------------------------------------------------


def partition(chain: JacobianChain, s: int, t: int) -> list[Group]:
    """Return the groups in which the window is best swept; one block if it is best left whole."""
    refuse_traced(chain)
    labels = blocks_of_chain(chain, s, t)
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


def stretches(
    chain: JacobianChain, groups: list[Group], s: int, t: int, *, backward: bool = False
) -> Iterator[tuple[int, int, list[np.ndarray]]]:
    """Yield lags (begin, end) that cover the window with the blocks of their Jacobians.

    One array (step, block, size, size) for each group: float64, in the order of the sweep,
    transposed when `backward`. At least one stretch. Streamed, with the components numbered within
    their blocks, one tangent that is 1 at the c-th component of every block gives the c-th columns
    of all blocks.
    """
    n, widest = chain.state_size, max(group.shape[1] for group in groups)
    size = _bucket(min(_STRETCH_BYTES // (8 * n * widest), _LONGEST))
    for begin in range(0, max(t - s, 1), size):
        end = min(begin + size, t - s)
        a, b = (t - end, t - begin) if backward else (s + begin, s + end)
        if chain.is_dense:
            jacobians = np.asarray(chain.segment(a, b))
            blocks = [jacobians[:, g[:, :, None], g[:, None, :]] for g in groups]
        else:
            blocks = _streamed_blocks(chain.linearization, a, b, groups)
        blocks = [x.astype(np.float64, copy=False) for x in blocks]
        if backward:
            blocks = [np.flip(x, 0).swapaxes(-1, -2) for x in blocks]
        yield begin, end, blocks


def _bucket(length: int) -> int:
    """Return the smallest power of two that is at least `length`, and not very small.

    Arrays are padded to such lengths, so that another T seldom means another compilation.
    """
    return max(_SHORTEST, 1 << (length - 1).bit_length())


def _streamed_blocks(linearization, a, b, groups):
    n, dtype = linearization.layout.size, linearization.layout.dtype
    seeds = np.zeros((n, max(group.shape[1] for group in groups)), dtype)
    for group in groups:
        seeds[group, np.arange(group.shape[1])] = 1
    columns = seeds[None][:0]
    if b > a:
        # Padded, so that another length does not mean another compilation.
        steps = padded_steps(linearization.trajectory, a, b, _bucket(b - a))
        with jax.enable_x64(linearization.x64):
            columns = np.asarray(_push_seeds(linearization.rule, steps, seeds))[: b - a]
    blocks = [columns[:, group, : group.shape[1]] for group in groups]
    return blocks if linearization.mode == "fwd" else [x.swapaxes(-1, -2) for x in blocks]


@eqx.filter_jit
def _push_seeds(rule: StepRule, steps, seeds):
    """Return J_t (in reverse mode J_t^T) applied to the seeds at each step."""
    together = max(1, _TANGENT_BYTES // dense_bytes(1, 1, seeds.dtype) // seeds.size)
    return jax.lax.map(
        lambda step: apply_step(rule, step[0], step[1], seeds, transpose=rule.mode == "rev"),
        steps,
        batch_size=min(together, jax.tree.leaves(steps)[0].shape[0]),
    )


# --- what cannot be multiplied --------------------------------------------------------------------


class NonFiniteStep(Exception):
    """The Jacobian that takes a sweep to this lag is NaN or infinite somewhere."""

    def __init__(self, lag: int):
        self.lag = lag


def raise_non_finite(
    lag: int, s: int, t: int, direction: Direction, sequence: int | None = None
) -> NoReturn:
    """Raise `NonFiniteError` for the Jacobian that takes the sweep to this lag, the first such."""
    step = s + lag if direction == "forward" else t - lag + 1
    where = "" if sequence is None else f" of sequence {sequence}"
    end = "start" if direction == "forward" else "end"
    raise NonFiniteError(
        f"expected finite Jacobians; J_t{where} has a NaN or infinite entry first at t = {step} "
        f"(from the {end} of the steps {s + 1}..{t}). Check the states of the trajectory there."
    )


def refuse_traced(
    chain: JacobianChain,
    instead: str = "Inside jit or vmap use "
    "vanishing_jax.spectra.product_log_singular_values(jacobians).",
) -> None:
    """Raise `TypeError` for a chain of traced arrays, saying what to do instead."""
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(chain)):
        raise TypeError(f"expected concrete Jacobians; got a traced array. {instead}")
