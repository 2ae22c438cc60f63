"""Noise on the initial state of every training sequence."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jax.tree_util import Partial

from .._types import Array, Key, PyTree
from ..cells import AbstractCell
from ._mitigation import Mitigation, check_not_negative


def initial_state_noise(scale: float = 0.1) -> Mitigation:
    r"""Return Gaussian noise on the initial hidden state, $h_0 + \sigma \xi$, in training only.

    Drawn anew for every sequence of every update. With batch normalization (Cooijmans et al. 2017)
    it keeps the variance of $W h$ over the batch from being 0 at the first steps, where the
    backward pass would be multiplied by $\gamma/\sqrt{\epsilon}$; $\sigma = 0.1$ is theirs, for
    pixel-by-pixel MNIST. Everywhere else it makes the network forget where it started. Evaluation,
    recorders and the population statistics of the final weights are without noise.

    Noise goes to the leaves of the state that the cell's `state_names` call "h": the hidden vector
    of each layer, not an LSTM's c. A cell that names nothing gets it on all of its state.

    **Arguments:**

    - `scale`: $\sigma$, at least 0; 0.1 by default. It is data.

    **Returns:** a `Mitigation` with `initial_state`.

    **Raises:** `ValueError` for a negative scale.

    ??? cite "Reference"
        ```bibtex
        @inproceedings{cooijmans2017recurrent, title={Recurrent batch normalization},
          author={Cooijmans, Tim and Ballas, Nicolas and Laurent, C{\'e}sar and
          G{\"u}l{\c{c}}ehre, {\c{C}}a{\u{g}}lar and Courville, Aaron}, booktitle={ICLR},
          year={2017}}
        ```
    """
    check_not_negative(scale=scale)
    noise = Partial(_noisy, jnp.asarray(float(scale)))
    return Mitigation(f"noise of {scale:g} on the initial state", initial_state=noise)


def _noisy(scale: Array, cell: AbstractCell, state: PyTree, *, key: Key) -> PyTree:
    leaves, structure = jax.tree.flatten(state)
    floating = [i for i, leaf in enumerate(leaves) if eqx.is_inexact_array(leaf)]
    names = cell.state_names
    if names is not None:
        named = zip(floating, names, strict=True)
        floating = [i for i, name in named if name.split(".")[-1] == "h"]
    for i, part in zip(floating, jr.split(key, len(floating)), strict=True):
        leaf = leaves[i]
        leaves[i] = leaf + scale.astype(leaf.dtype) * jr.normal(part, leaf.shape, leaf.dtype)
    return jax.tree.unflatten(structure, leaves)
