"""A chain of one-step Jacobians, stored or computed when asked for."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Float, Int

from ._linearization import (
    Linearization,
    apply_step,
    dense_bytes,
    gib,
    jacobians_of,
    jacobians_of_all,
    padded_steps,
)
from ._mantissa_exponent import normalized, unscaled
from ._rectangular import layers_text, stacked
from ._types import Array, ArrayLike

Axis = Literal["time", "layer"]

# Jacobians held at once while a streamed chain is read.
_SEGMENT_BYTES = 64 * 2**20


class JacobianChain(eqx.Module):
    """The Jacobians J_1..J_T along a trajectory, stored (dense) or computed on demand (streamed).

    `JacobianChain(jacobians)` wraps Jacobians computed elsewhere: `jacobians[t-1]` is ds_t/ds_{t-1}
    (rows: new state, columns: old state). `linearize` makes a chain from a cell. The product over
    the window (s, t) is J_t ... J_{s+1} = ds_t/ds_s.

    **Arguments:**

    - `jacobians`: shape (time, state, state), floating; or a list of J_1, ..., J_T, which may be
      rectangular: J_t of shape (size of s_t, size of s_{t-1}), as of a feed-forward network. Those
      are stored as square ones, padded by zeros; results leave the padding out.
    - `blocks`: named parts of the state with their sizes in order, e.g. `{"h": 64, "c": 64}`.
    - `axis`: what a step is, `"time"` or `"layer"`; figures and texts say so.
    - `widths`: the sizes of s_0, ..., s_T for Jacobians that are padded already.
    """

    _jacobians: Float[ArrayLike, "*batch time state state"] | None
    linearization: Linearization | None
    _blocks: tuple[tuple[str, int, int], ...] = eqx.field(static=True)
    _widths: tuple[int, ...] | None = eqx.field(static=True)
    axis: Axis = eqx.field(static=True)

    def __init__(
        self,
        jacobians: ArrayLike | Sequence | None = None,
        *,
        blocks: Mapping[str, int] | None = None,
        linearization: Linearization | None = None,
        axis: Axis = "time",
        widths: tuple[int, ...] | None = None,
    ):
        if jacobians is None and linearization is None:
            raise TypeError("expected jacobians of shape (time, state, state); got None.")
        array: Any = jacobians
        if isinstance(jacobians, list | tuple):
            array, widths = stacked(jacobians)
        if array is not None:
            shape = jnp.shape(array)
            if len(shape) != 3 or shape[1] != shape[2] or shape[1] == 0:
                raise ValueError(
                    f"expected jacobians of shape (time, state, state); got {shape}. A batch goes "
                    "through jax.vmap; a single Jacobian needs a leading axis: J[None]."
                )
            if not jnp.issubdtype(array.dtype, jnp.floating):
                raise ValueError(f"expected real floating Jacobians; got {array.dtype}.")
        self._jacobians = array
        self.linearization = linearization
        self._blocks = _block_ranges(blocks, self.state_size)
        self._widths, self.axis = widths, axis

    @property
    def state_size(self) -> int:
        """Number n of real components of the state; of the widest where they differ."""
        if self.linearization is not None:
            return self.linearization.layout.size
        assert self._jacobians is not None
        return self._jacobians.shape[-1]

    @property
    def left_out(self) -> tuple[str, ...]:
        """Paths of the state's leaves that are not differentiated: integers, booleans, keys."""
        return () if self.linearization is None else self.linearization.layout.left_out

    @property
    def batch_size(self) -> int | None:
        """Number of sequences in a batched chain, None for a single one."""
        if self._jacobians is not None:
            return self._jacobians.shape[0] if self._jacobians.ndim == 4 else None
        assert self.linearization is not None
        return self.linearization.batch_size

    def __getitem__(self, index: int) -> "JacobianChain":
        """Return one chain of a batched one, dense or streamed like it."""
        if self.batch_size is None:
            raise TypeError("expected a batched chain; got a single one. Its Jacobians: .jacobians")
        if not -self.batch_size <= index < self.batch_size:
            raise IndexError(f"expected an index below {self.batch_size}; got {index}.")
        sizes = {name: stop - start for name, start, stop in self._blocks}
        jacobians, linearization = jax.tree.map(
            lambda leaf: _one_of(leaf, index) if eqx.is_array(leaf) else leaf,
            (self._jacobians, self.linearization),
        )
        kept: dict[str, Any] = {"axis": self.axis, "widths": self._widths}
        return JacobianChain(jacobians, blocks=sizes, linearization=linearization, **kept)

    @property
    def widths(self) -> tuple[int, ...]:
        """Sizes of the states s_0, ..., s_T: all `state_size`, except in a rectangular chain."""
        return self._widths or (self.state_size,) * (self.num_steps + 1)

    @property
    def is_rectangular(self) -> bool:
        """Whether state sizes differ."""
        return self._widths is not None

    def bottleneck(self, s: int, t: int) -> int:
        """Return the smallest width from s_s to s_t: no more singular values can be nonzero."""
        return min(self._widths[s : t + 1]) if self._widths else self.state_size

    def jacobian(self, t: int) -> Float[ArrayLike, "rows columns"]:
        """Return J_t = ds_t/ds_{t-1} alone, t = 1..T, without padding."""
        if not 1 <= t <= self.num_steps:
            raise IndexError(f"expected t from 1 to {self.num_steps}; got {t}.")
        return self.segment(t - 1, t)[0, : self.widths[t], : self.widths[t - 1]]

    @property
    def num_steps(self) -> int:
        """Number of steps T."""
        if self._jacobians is not None:
            return self._jacobians.shape[-3]
        assert self.linearization is not None
        return self.linearization.num_steps

    @property
    def is_dense(self) -> bool:
        """Whether the Jacobians are stored."""
        return self._jacobians is not None

    @property
    def dtype(self) -> np.dtype:
        """Dtype of the Jacobians."""
        if self._jacobians is not None:
            return np.dtype(self._jacobians.dtype)
        assert self.linearization is not None
        return self.linearization.layout.dtype

    @property
    def blocks(self) -> dict[str, slice]:
        """Named parts of the state vector, in order: an LSTM has `{"h": slice, "c": slice}`."""
        return {name: slice(start, stop) for name, start, stop in self._blocks}

    @property
    def jacobians(self) -> Float[ArrayLike, "*batch time state state"]:
        """All Jacobians, shape (time, state, state); rectangular ones padded by zeros.

        **Raises:** `MemoryError` for a streamed chain, with the size it would take.
        """
        if self._jacobians is not None:
            return self._jacobians
        steps = self.num_steps * (self.batch_size or 1)
        needed = dense_bytes(steps, self.state_size, self.dtype)
        raise MemoryError(
            f"its {steps} Jacobians of size {self.state_size} are streamed: stored they "
            f"take {gib(needed)}. Use chain.segment(s, t), chain.mv, chain.rmv or the spectra, "
            "which stream; or linearize(..., dense=True, memory_limit=<bytes>)."
        )

    def segment(self, s: int, t: int) -> Float[ArrayLike, "time state state"]:
        """Return J_{s+1}, ..., J_t as one array of shape (t - s, state, state)."""
        self.check_single("segment")
        if self._jacobians is not None:
            return self._jacobians[s:t]
        assert self.linearization is not None
        return jacobians_of(self.linearization, s, t)

    def segments(self, s: int, t: int, *, backward: bool = False) -> Iterator[tuple[int, int]]:
        """Yield windows (a, b) that cover (s, t) in pieces small enough to hold in memory.

        Ascending, or from t down when `backward`.
        """
        self.check_single("segments")
        size = max(1, _SEGMENT_BYTES // self._step_bytes())
        edges = list(range(s, t, size)) + [t] if t > s else [s]
        pieces = list(zip(edges[:-1], edges[1:], strict=True))
        yield from (reversed(pieces) if backward else pieces)

    def check_single(self, what: str) -> None:
        """Raise TypeError for a batched chain."""
        if self.batch_size is not None:
            raise TypeError(
                f"expected a chain of one sequence for {what}; got a batch of {self.batch_size}. "
                "Take one by chain[i]."
            )

    def check_square(self, what: str) -> None:
        """Raise ValueError where the sizes of the states differ."""
        if self.is_rectangular:
            raise ValueError(
                f"expected states of one size for {what}; got sizes {self.widths}. Take "
                "log_singular_values, or the part of the chain whose sizes are equal."
            )

    def _step_bytes(self) -> int:
        return dense_bytes(1, self.state_size, self.dtype)

    def block(self, output: str, input: str) -> Float[ArrayLike, "time output input"]:
        """Return the one-step Jacobians of one part with respect to another: `block("h", "c")`.

        The block of a product is not the product of blocks: dropping the cell state of an LSTM
        reports tens of decades of decay where there are none.
        """
        blocks = self.blocks
        for name in (output, input):
            if name not in blocks:
                raise ValueError(f"expected a block out of {sorted(blocks)}; got {name!r}.")
        return self.jacobians[..., blocks[output], blocks[input]]

    def mv(
        self, vector: Float[ArrayLike, "state"], *, window: tuple[int, int] | None = None
    ) -> Float[Array, "output"]:
        """Return J_t ... J_{s+1} v, pushed by jvp step by step; no Jacobian is formed.

        Scaled on the way, so that only the result itself can overflow or underflow; see
        `scaled_mv` for the result as mantissa and exponent.
        """
        return unscaled(*self.scaled_mv(vector, window=window))

    def rmv(
        self, vector: Float[ArrayLike, "state"], *, window: tuple[int, int] | None = None
    ) -> Float[Array, "output"]:
        """Return (J_t ... J_{s+1})^T v, pulled back by vjp: what back-propagation does to v."""
        self.check_single("rmv")
        s, t = resolve_window(window, self.num_steps)
        return unscaled(*self._carried(vector, s, t, transpose=True))

    def scaled_mv(
        self, vector: Float[ArrayLike, "state"], *, window: tuple[int, int] | None = None
    ) -> tuple[Float[Array, "output"], Int[Array, ""]]:
        """Return (u, e) with J_t ... J_{s+1} v = u * 2**e, beyond the range of floats."""
        self.check_single("mv")
        s, t = resolve_window(window, self.num_steps)
        return self._carried(vector, s, t, transpose=False)

    def _carried(self, vector, s: int, t: int, *, transpose: bool):
        start, end = (self.widths[i] for i in ((t, s) if transpose else (s, t)))
        vector = jnp.asarray(vector)
        if vector.shape != (start,):
            raise ValueError(
                f"expected a vector of shape ({start},); got {vector.shape}. Ravel a "
                "state in the order of chain.blocks, or use jax.vmap for several vectors."
            )
        x64 = jnp.result_type(float) == np.float64
        with jax.enable_x64(x64 if self.linearization is None else self.linearization.x64):
            vector = vector.astype(jax.dtypes.canonicalize_dtype(self.dtype))
            if self.is_rectangular:
                vector = jnp.pad(vector, (0, self.state_size - start))
            vector, exponent = _push(self, vector, jnp.asarray(s), jnp.asarray(t), transpose)
            return vector[:end], exponent

    def __repr__(self) -> str:
        batch = "" if self.batch_size is None else f"batch of {self.batch_size}, "
        if self.axis == "layer":
            return f"JacobianChain({batch}{layers_text(self.widths)}, {self.dtype})"
        kind = "dense" if self.is_dense else "streamed"
        names = ", ".join(f"{name}: {stop - start}" for name, start, stop in self._blocks)
        left = f", without {', '.join(self.left_out)}" if self.left_out else ""
        return f"JacobianChain({batch}{self.num_steps} steps, {names}, {self.dtype}, {kind}{left})"


def _one_of(leaf: Array, index: int) -> Array:
    """Return `leaf[index]`, through NumPy: an operation of JAX takes several times as long."""
    plain = not isinstance(leaf, Tracer) and not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    with jax.enable_x64(True):  # whatever has 64 bits keeps them
        return jnp.asarray(np.asarray(leaf)[index]) if plain else leaf[index]


def resolve_window(window: tuple[int, int] | None, num_steps: int) -> tuple[int, int]:
    """Return the window (s, t) of the product J_t ... J_{s+1}, checked; None is the whole chain."""
    if window is None:
        return 0, num_steps
    s, t = window
    if not 0 <= s <= t <= num_steps:
        raise ValueError(
            f"expected a window (s, t), 0 <= s <= t <= {num_steps}; got ({s}, {t}). The product "
            "is J_t ... J_{s+1} = ds_t/ds_s; s = 0 starts at the initial state."
        )
    return int(s), int(t)


def jacobians_of_batch(
    chain: "JacobianChain", s: int, t: int, size: int, *, backward: bool
) -> Float[ArrayLike, "batch step state state"]:
    """Return J_{s+1}, ..., J_t of every sequence in float64, padded to `size` steps.

    `backward`: J_t^T, ..., J_{s+1}^T. Call under `jax.enable_x64(True)`.
    """
    if chain._jacobians is not None:
        found = np.asarray(chain._jacobians)[:, s:t].astype(np.float64)
        found = np.pad(found, ((0, 0), (0, size - (t - s)), (0, 0), (0, 0)))
    else:
        linearization = chain.linearization
        assert linearization is not None
        steps = padded_steps(linearization.trajectory, s, t, size, axis=1)
        # eqx.filter_vmap gives JAX arrays a batch axis, NumPy arrays none.
        mine, common = eqx.partition(linearization.rule, lambda x: isinstance(x, jax.Array))
        with jax.enable_x64(linearization.x64):
            found = np.asarray(jacobians_of_all(mine, common, steps)).astype(np.float64)
    if backward:  # the first t - s in the opposite order
        found = np.concatenate([found[:, t - s - 1 :: -1], found[:, t - s :]], axis=1)
        found = found.swapaxes(2, 3)
    return found


@eqx.filter_jit
def _push(chain, vector, s, t, transpose: bool):
    """Carry `vector` through the window with its size in an integer exponent."""

    def body(i, carry):
        vector, exponent = carry
        index = t - i if transpose else s + 1 + i
        return normalized(apply_jacobian(chain, index, vector, transpose=transpose), exponent)

    return jax.lax.fori_loop(0, t - s, body, normalized(vector, jnp.zeros((), jnp.int32)))


def apply_jacobian(
    chain: JacobianChain,
    t: Any,
    block: Float[Array, "state *columns"],
    *,
    transpose: bool = False,
) -> Float[Array, "state *columns"]:
    """Return J_t B, or J_t^T B, for one vector or for the columns of a block; t may be traced.

    A streamed chain is linearized once and the columns are pushed by jvp (pulled back by vjp): no
    Jacobian is formed, except to push in reverse mode. The block has the chain's dtype.
    """
    if chain.linearization is None:
        J = jax.lax.dynamic_index_in_dim(jnp.asarray(chain.jacobians), t - 1, keepdims=False)
        return J.T @ block if transpose else J @ block
    linearization = chain.linearization
    state, input = linearization.step_at(t)
    return apply_step(linearization.rule, state, input, block, transpose=transpose)


def _block_ranges(blocks, size):
    blocks = {"state": size} if blocks is None else dict(blocks)
    if sum(blocks.values()) != size:
        raise ValueError(f"expected block sizes that add up to {size}; got {blocks}.")
    ends = np.cumsum([0, *blocks.values()]).tolist()
    return tuple(zip(blocks, ends[:-1], ends[1:], strict=True))
