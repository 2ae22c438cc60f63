"""The spectrum of one block of a product of Jacobians: ds_t of one part by ds_s of another."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Int

from .._chain import JacobianChain, resolve_window
from ._log_singular_values import Spectrum, log_singular_values


def block_log_singular_values(
    chain: JacobianChain, output: str, input: str, *, window: tuple[int, int] | None = None
) -> Spectrum:
    """Return the log singular values of one block of the product J_t ... J_{s+1}.

    The block of the product, not the product of the blocks: of an LSTM, ds_t/ds_s from c to h goes
    through h and c at every step in between, and multiplying the blocks dh/dh alone reports tens
    of decades of decay that are not there. Components through which no path leads from `input` to
    `output` are left out first, so that in a stack, whose Jacobians are block triangular, a layer
    that decays is resolved beside one that does not: `("layer0", "layer0")` is the layer's own
    recurrence, `("layer1", "layer0")` what the lower layer does to the upper one.

    **Arguments:**

    - `chain`: from `linearize`, of one sequence.
    - `output`, `input`: names of `chain.blocks`, rows and columns of the block; or what several
      names begin with, up to a dot: "layer0" is "layer0.h" and "layer0.c" together.
    - `window`: (s, t); default the whole chain.

    **Returns:** a `Spectrum` of as many values as the smaller side of the block has components,
    natural logs, descending; -inf for one that is exactly zero, as all are where no path leads.

    **Raises:** `ValueError` for a name that begins no block; `MemoryError` for a streamed chain.

    **Cost:** that of `log_singular_values`, of the components that matter.

    **Validity:** as `log_singular_values`, by `error_bound`.

    **Example:**

    >>> import jax, jax.numpy as jnp, vanishing_jax as vj
    >>> cell = vj.cells.LSTMCell(1, 3, forget_bias=3.0, key=jax.random.key(0))
    >>> chain = vj.linearize(cell, vj.rollout(cell, cell.initial_state(), jnp.zeros((50, 1))))
    >>> whole = vj.spectra.block_log_singular_values(chain, "c", "c").log_singular_values[0]
    >>> bool(whole > -5)  # what a cell state keeps of itself
    True
    """
    chain.check_single("block_log_singular_values")
    s, t = resolve_window(window, chain.num_steps)
    jacobians = np.asarray(chain.jacobians)[s:t]
    rows, columns = (_components(chain, name) for name in (output, input))
    kept = _on_a_path(jacobians, rows, columns)
    if np.any(kept[rows]) and np.any(kept[columns]):
        inner = _between(jacobians, rows, columns, kept)
    else:
        inner = JacobianChain(np.zeros((max(t - s, 1), 1, 1), jacobians.dtype))
    found = log_singular_values(inner)
    values = min(len(rows), len(columns))
    logs = np.pad(found.log_singular_values, (0, values), constant_values=-np.inf)[:values]
    return dataclasses.replace(
        found, log_singular_values=logs, windows=np.array([s, t]), axis=chain.axis, _first=s
    )


def _components(chain: JacobianChain, name: str) -> Int[np.ndarray, "component"]:
    """Return the components of a block, or of all whose names begin with `name` and a dot."""
    blocks = chain.blocks
    found = [part for key, part in blocks.items() if key == name or key.startswith(f"{name}.")]
    if not found:
        raise ValueError(f"expected a block out of {list(blocks)}, or a layer; got {name!r}.")
    return np.concatenate([np.arange(part.start, part.stop) for part in found])


def _on_a_path(jacobians, rows, columns) -> Bool[np.ndarray, "state"]:
    """Return which components lie on a path from a column to a row, any number of steps long."""
    coupled = np.any(jacobians != 0, axis=0)  # NaN couples
    return _reached(coupled, columns) & _reached(coupled.T, rows)


def _reached(coupled, start) -> Bool[np.ndarray, "state"]:
    found = np.zeros(len(coupled), bool)
    found[start] = True
    while True:
        more = found | coupled[:, found].any(axis=1)
        if np.array_equal(more, found):
            return found
        found = more


def _between(jacobians, rows, columns, kept) -> JacobianChain:
    """Return the chain of the kept components that starts in `columns` and ends in `rows`."""
    places = np.flatnonzero(kept)
    starts, ends = np.isin(places, columns), np.isin(places, rows)
    inside = jacobians[:, places[:, None], places[None, :]]
    if len(inside) == 0:  # an empty window: the product is the identity
        inside = np.eye(len(places), dtype=jacobians.dtype)[None]
    inside[0] = np.where(starts[None, :], inside[0], 0)
    inside[-1] = np.where(ends[:, None], inside[-1], 0)
    return JacobianChain(inside)
