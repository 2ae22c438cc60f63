"""Drawing on the device, and the checks of what a task is asked for.

A task draws all its random numbers at once, as one array of uniform numbers, and cuts it up: each
further draw inside a compiled training loop costs about as much compile time as a small network.
`sample` is compiled by itself as well: run operation by operation, a first call takes seconds.
"""

from collections.abc import Collection

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Float, Int

from .._types import Array, Key


def uniform(key: Key, *shape: int) -> Float[Array, "..."]:
    """Return uniform numbers in [0, 1) of the default floating dtype."""
    return jr.uniform(key, shape, jnp.result_type(float))


def integer(
    u: Float[Array, "..."], start: int | Int[Array, "..."], stop: int | Int[Array, "..."]
) -> Int[Array, "..."]:
    """Return integers start..stop-1, equally likely, made of the uniform numbers `u`.

    In float32 the chances of two integers differ by at most 2^-23. `stop` is never reached: the
    largest u is 1 - 2^-23, and its product with a count rounds to a number below the count.
    """
    count = jnp.asarray(stop, jnp.int32) - jnp.asarray(start, jnp.int32)
    offset = jnp.floor(u * jnp.broadcast_to(count, u.shape).astype(u.dtype)).astype(jnp.int32)
    return offset + jnp.broadcast_to(jnp.asarray(start, jnp.int32), u.shape)


def one_hot(symbols: Int[Array, "*batch"], num_symbols: int) -> Float[Array, "*batch symbol"]:
    """Return the symbols as rows of the identity matrix, in the default floating dtype.

    A symbol beyond the alphabet becomes a row of zeros.
    """
    return jax.nn.one_hot(symbols, num_symbols, dtype=jnp.result_type(float))


def check_variant(variant: str, choices: Collection[str]) -> None:
    """Raise ValueError unless `variant` is one of `choices`."""
    if variant not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"expected `variant` to be one of {listed}; got {variant!r}.")


def check_at_least(name: str, value: int, least: int, why: str) -> None:
    """Raise ValueError when the option `name` is below `least`."""
    if value < least:
        raise ValueError(f"expected `{name}` of at least {least}, {why}; got {value}.")


def shortest_length(length: int) -> int:
    """Return the papers' T when lengths are uniform in T..T + T/10 and the longest is `length`."""
    return length - length // 11
