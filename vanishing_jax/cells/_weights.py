"""What the package's own cells share: initialization per gate, blocks, and shape checks."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.core import Tracer
from jaxtyping import Float

from .._types import Array, Key, PyTree

Initializer: TypeAlias = Callable[..., Array]
"""`initializer(key, shape, dtype)` as in `jax.nn.initializers`."""

glorot_normal = jax.nn.initializers.glorot_normal()
orthogonal = jax.nn.initializers.orthogonal()
zeros = jax.nn.initializers.zeros


def floating_dtype(dtype: Any) -> Any:
    """Return `dtype`, or JAX's default floating type for None."""
    if dtype is None:
        return jnp.result_type(float)
    if not jnp.issubdtype(jnp.dtype(dtype), jnp.floating):
        raise ValueError(f"expected a floating dtype such as jnp.float32; got {jnp.dtype(dtype)}.")
    return jnp.dtype(dtype)


def check_sizes(**sizes: Any) -> None:
    """Check that each size is a positive integer."""
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int | np.integer):
            raise TypeError(f"{name} must be an int; got {type(size).__name__}.")
        if size < 1:
            raise ValueError(f"{name} must be at least 1; got {size}.")


def check_clip(clip: float | None) -> float | None:
    """Return the bound on pre-activations, or None for none, after a look at it."""
    if clip is None:
        return None
    if not 0 < float(clip) < float("inf"):
        raise ValueError(f"clip must be a positive number, or None for no bound; got {clip}.")
    return float(clip)


def clipped(preactivation: Array, clip: float | None) -> Array:
    """Return the pre-activation with its magnitude bounded; beyond it the derivative is 0."""
    return preactivation if clip is None else jnp.clip(preactivation, -clip, clip)


def initialize(
    initializer: Initializer, num_blocks: int, rows: int, columns: int, *, dtype: Any, key: Key
) -> Float[Array, "blocks_times_rows columns"]:
    """Return `num_blocks` independently drawn (rows, columns) blocks, one above the other.

    The initializer sees each block as (fan_in, fan_out) = (columns, rows), as JAX's do. Half
    precision is drawn in float32 and rounded: there is no QR factorization in half precision.
    """
    drawn = dtype if jnp.finfo(dtype).bits >= 32 else jnp.float32
    blocks = [initializer(k, (columns, rows), drawn).T for k in jr.split(key, num_blocks)]
    return jnp.concatenate(blocks).astype(dtype)


def map_blocks(
    fn: Callable[[Array], Array], weight: Float[Array, "blocks_times_hidden hidden"]
) -> Float[Array, "blocks_times_hidden hidden"]:
    """Apply `fn` to each square block of `weight`."""
    size = weight.shape[1]
    # On the host where there are numbers: each slice of JAX would compile a program of its own.
    whole = weight if isinstance(weight, Tracer) else np.asarray(weight)
    blocks = [jax.device_put(whole[i : i + size]) for i in range(0, weight.shape[0], size)]
    mapped = [fn(block) for block in blocks]
    for block in mapped:
        if jnp.shape(block) != (size, size):
            raise ValueError(
                f"fn must map a recurrent block of shape {(size, size)} to one of the same shape; "
                f"it returned {jnp.shape(block)}."
            )
    if any(isinstance(block, Tracer) for block in mapped):
        return jnp.concatenate([jnp.asarray(block) for block in mapped]).astype(weight.dtype)
    whole = np.concatenate([np.asarray(block) for block in mapped])
    return jax.device_put(whole.astype(weight.dtype))


def check_vector(cell: str, name: str, value: Any, size: int) -> None:
    """Check that `value` is one unbatched vector of `size` numbers."""
    leaf = jax.tree.structure(value) == jax.tree.structure(0)
    if not leaf or jnp.shape(value) != (size,):
        came = f"shape {jnp.shape(value)}" if leaf else f"a {type(value).__name__}"
        raise ValueError(
            f"{cell} expected {name} of shape ({size},); got {came}. The call is "
            "cell(state, input), one step of one sequence: use jax.vmap for batches."
        )


def check_pair(cell: str, state: PyTree, size: int, names: tuple[str, str] = ("h", "c")) -> None:
    """Check that `state` is a pair of unbatched vectors."""
    what = f"state ({names[0]}, {names[1]}), two arrays of shape ({size},)"
    for name, leaf in zip(names, check_parts(cell, what, state, 2), strict=True):
        check_vector(cell, f"state {name!r}", leaf, size)


def check_parts(cell: str, what: str, value: PyTree, number: int) -> tuple[Any, ...]:
    """Return the parts of a state or an input after a look at their number."""
    if not isinstance(value, tuple | list) or len(value) != number:
        raise ValueError(
            f"{cell} expected {what}; got {_described(value)}. The call is cell(state, input)."
        )
    return tuple(value)


def _described(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    shape = getattr(value, "shape", None)
    return type(value).__name__ if shape is None else f"an array of shape {shape}"
