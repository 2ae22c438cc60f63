"""Log sizes of the products between given times, where the Jacobians multiply as numbers."""

import numpy as np
from jaxtyping import Float, Int

from .._chain import JacobianChain
from . import _moduli
from ._decoupled import partition, stretches


def logs_between(
    chain: JacobianChain, times: Int[np.ndarray, "record"]
) -> Float[np.ndarray, "piece block"] | None:
    """Return ln|w_t ... w_{s+1}| of each block between neighboring `times`; None if some is more.

    Blocks that multiply as numbers are those of one component, and those of two that turn and scale
    at every step (`decoupled_blocks`). -inf for a product that is exactly 0. `times` ascends from 0
    to T.

    **Cost:** O(T n), streamed by one or two tangents a step.
    """
    groups = partition(chain, 0, chain.num_steps)
    if max(group.shape[1] for group in groups) > 2:
        return None
    parts = [np.zeros((len(times) - 1, len(group))) for group in groups]
    for begin, end, found in stretches(chain, groups, 0, chain.num_steps):
        piece = np.searchsorted(times, np.arange(begin, end), side="right") - 1
        for total, blocks in zip(parts, found, strict=True):
            if blocks.shape[-1] == 2 and not np.all(_moduli.turns(blocks)):
                return None
            sizes = np.hypot(blocks[..., 0, 0], blocks[..., 0, 1] if blocks.shape[-1] == 2 else 0)
            with np.errstate(divide="ignore"):
                np.add.at(total, piece, np.log(sizes))
    return np.concatenate(parts, axis=1)
