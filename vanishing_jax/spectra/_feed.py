"""What a sweep multiplies by: the Jacobians of a window in its order, transposed, in float64."""

from typing import Literal, NoReturn

import jax
import numpy as np
from jax.core import Tracer
from jaxtyping import Float

from .._chain import JacobianChain, chunk_length, jacobians_of
from .._checks import NonFiniteError
from ._sweep import Feed

Direction = Literal["forward", "backward"]


def feed_of(chain: JacobianChain, s: int, t: int, direction: Direction) -> Feed:
    """Return the feed of the window (s, t) of a chain of one sequence.

    Forward the sweep multiplies by J_{s+1}, ..., J_t; backward by J_t^T, ..., J_{s+1}^T. Stored
    Jacobians are cut out, streamed ones computed a block at a time: never all at once.
    """
    backward = direction == "backward"

    def cut(a, b):
        if chain._jacobians is not None:
            return np.asarray(chain._jacobians)[a:b]
        return np.asarray(jacobians_of(chain.linearization, a, b))

    def steps(a, b):
        if backward:  # (J^T)^T
            return cut(t - b, t - a)[::-1].astype(np.float64, copy=False)
        return np.ascontiguousarray(cut(s + a, s + b).swapaxes(1, 2), np.float64)

    if chain.is_dense:
        return steps
    assert chain.linearization is not None
    return _blockwise(steps, chunk_length(chain.linearization.layout, t - s), t - s)


def _blockwise(steps: Feed, size: int, num_steps: int) -> Feed:
    """Return a feed that asks `steps` for whole blocks of `size` only, and keeps the last two."""
    blocks: dict[int, Float[np.ndarray, "time state state"]] = {}

    def block(i):
        if i not in blocks:
            for old in sorted(blocks)[:-1]:
                del blocks[old]
            blocks[i] = steps(i * size, min((i + 1) * size, num_steps))
        return blocks[i]

    def feed(a, b):
        parts = []
        for i in range(a // size, -(-b // size)):
            begin = i * size
            parts.append(block(i)[max(a - begin, 0) : b - begin])
        if not parts:
            return steps(a, a)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    return feed


def refuse_traced(
    chain: JacobianChain,
    instead: str = "Inside jit or vmap use "
    "vanishing_jax.spectra.product_log_singular_values(jacobians).",
) -> None:
    """Raise `TypeError` for a chain of traced arrays, saying what to do instead."""
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(chain)):
        raise TypeError(f"expected concrete Jacobians; got a traced array. {instead}")


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
