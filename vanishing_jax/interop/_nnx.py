"""Weights for a Flax NNX cell."""

import jax.numpy as jnp
import numpy as np

from ..cells import AbstractCell, GRUCell, LSTMCell, VanillaCell
from ..networks import RecurrentNetwork

_MODULES = {
    LSTMCell: "OptimizedLSTMCell",
    GRUCell: "GRUCell",
    VanillaCell: "SimpleCell",
}


def to_nnx(cell: AbstractCell | RecurrentNetwork) -> dict[str, dict[str, np.ndarray]]:
    """Return the weights of a Flax NNX cell that steps as `cell` does.

    Of an `LSTMCell` those of `nnx.OptimizedLSTMCell`, of a `GRUCell` those of `nnx.GRUCell`, of a
    `VanillaCell` those of `nnx.SimpleCell` (whose activation is yours to give), nested as
    `nnx.update(module, weights)` takes them. Mind the order of the carry: (c, h) there, (h, c)
    here. The GRU of NNX has no bias inside its
    reset ($b_{hn}$, `bias_n` here), which that of PyTorch and of Flax Linen has: to drop it would
    give another network, so a cell that has one is refused.

    **Arguments:**

    - `cell`: the cell.

    **Returns:** `{"dense_i": {"kernel": ..., "bias": ...}, "dense_h": {"kernel": ...}}`; of an LSTM
    the bias is in "dense_h".

    **Raises:** `TypeError` for a cell that NNX has no counterpart of. `ValueError` for one whose
    counterpart cannot hold its weights: a GRU with `bias_n` or a clip.

    **Example:**

    >>> import jax
    >>> from vanishing_jax.cells import GRUCell
    >>> weights = to_nnx(GRUCell(3, 5, key=jax.random.key(0)))
    >>> weights["dense_i"]["kernel"].shape, weights["dense_h"]["kernel"].shape
    ((3, 15), (5, 15))
    """
    if not isinstance(cell, LSTMCell | GRUCell | VanillaCell):
        raise TypeError(
            "expected a cell that Flax NNX has a counterpart of "
            f"({', '.join(kind.__name__ for kind in _MODULES)}); got {type(cell).__name__}."
        )
    if isinstance(cell, GRUCell):
        _check_gru(cell)
    bias = cell.bias
    if bias is None:
        bias = jnp.zeros(cell.hidden_size, cell.weight_hh.dtype)
    weights = {
        "dense_i": {"kernel": np.asarray(cell.weight_xh).T},
        "dense_h": {"kernel": np.asarray(cell.weight_hh).T},
    }
    weights["dense_h" if isinstance(cell, LSTMCell) else "dense_i"]["bias"] = np.asarray(bias)
    return weights


def _check_gru(cell: GRUCell) -> None:
    if np.any(np.asarray(cell.bias_n)):
        largest = float(jnp.max(jnp.abs(cell.bias_n.astype(jnp.float32))))
        raise ValueError(
            "nnx.GRUCell has no bias inside its reset, and this GRU has one (bias_n, up to "
            f"{largest:.3g}): without it it would be another network. Use the cell as it is, or "
            "flax.linen.GRUCell, which has that bias (hn/bias)."
        )
    if cell.clip is not None:
        raise ValueError(f"nnx.GRUCell does not clip; this GRU has clip={cell.clip}.")
