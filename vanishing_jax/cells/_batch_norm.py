"""The plain cell with batch normalization."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Float

from .._types import Array, Key, PyTree
from ._base import AbstractCell
from ._statistics import BatchStatistics
from ._vanilla import find_activation
from ._weights import (
    Initializer,
    check_sizes,
    check_vector,
    floating_dtype,
    glorot_normal,
    initialize,
    map_blocks,
)

PLACEMENTS = ("recurrent", "input")


class BatchNormCell(AbstractCell):
    r"""The plain cell with batch normalization, in one of two placements.

    - `placement="recurrent"` (Cooijmans et al. 2017):
      $h' = \phi(\mathrm{BN}(W h) + \mathrm{BN}(U x) + b)$;
    - `placement="input"` (Laurent et al. 2016, Amodei et al. 2016):
      $h' = \phi(W h + \mathrm{BN}(U x) + b)$, which leaves the structure of the Jacobian as it is.

    $\mathrm{BN}(a) = \gamma \odot (a - \mu_t)/\sqrt{v_t + \epsilon}$ with a mean and a variance of
    each unit at each time step t; steps beyond `num_steps` use the last one's.

    Called as a cell it uses **population** statistics: `statistics`, constants to differentiation
    here, so it is an ordinary cell of one sequence that can be linearized and diagnosed. Training
    uses those of the **batch**, gradients flow through them, and population statistics follow by
    `use_batch_statistics`, `update_statistics` and `estimate_statistics`. They start as mean 0 and
    variance 1. Treat `statistics` as no parameter: their gradient is 0 in training, but weight
    decay would change them.

    Small $\gamma$ keeps the pre-activation where tanh is steep: at $\gamma = 1$ gradients vanish,
    at 0.1 the gradient norm over time is flatter (Cooijmans et al., fig. 1). That is no law: in
    mean field with Gaussian inputs the exponents are -0.20 and -0.35 a step.
    The gradient of one sequence depends on its batch; a unit whose variance over the batch is 0, as
    at pixels that are always black, multiplies gradients by $\gamma/\sqrt{\epsilon}$: add noise to
    such inputs.

    The state is the pair (h, number of steps done: int32).

    **Arguments:**

    - `input_size`, `hidden_size`: d and n.
    - `num_steps`: time steps with statistics of their own; the length of the training sequences.
    - `placement`: "recurrent" (default) or "input".
    - `gain`: initial $\gamma$, 0.1 by default.
    - `activation`, `recurrent_initializer`, `input_initializer`, `dtype`, `key`: as in
      `VanillaCell`.
    - `epsilon`: added to the variance; 1e-5 by default.

    **Raises:** `ValueError` for an unknown placement or activation or a size below 1; when called,
    for a state or input of another shape.

    **Example:**

    >>> import jax, jax.numpy as jnp
    >>> from vanishing_jax.cells import BatchNormCell
    >>> cell = BatchNormCell(3, 5, num_steps=10, key=jax.random.key(0))
    >>> h, step = cell(cell.initial_state(), jnp.ones(3))
    >>> h.shape, step.item()
    ((5,), 1)

    ??? cite "Reference"
        ```bibtex
        @inproceedings{cooijmans2017recurrent, title={Recurrent batch normalization},
          author={Cooijmans, Tim and Ballas, Nicolas and Laurent, C{\'e}sar and
          G{\"u}l{\c{c}}ehre, {\c{C}}a{\u{g}}lar and Courville, Aaron}, booktitle={ICLR},
          year={2017}}
        @inproceedings{laurent2016batch, title={Batch normalized recurrent neural networks},
          author={Laurent, C{\'e}sar and Pereyra, Gabriel and Brakel, Phil{\'e}mon and Zhang, Ying
          and Bengio, Yoshua}, booktitle={ICASSP}, year={2016}}
        ```
    """

    weight_hh: Float[Array, "hidden hidden"]
    weight_xh: Float[Array, "hidden input"]
    gain: tuple[Float[Array, "hidden"], ...]  # one per branch: vectors, as weight decay knows them
    bias: Float[Array, "hidden"]
    statistics: BatchStatistics
    activation: Callable[[Array], Array] = eqx.field(static=True)
    placement: str = eqx.field(static=True)
    epsilon: float = eqx.field(static=True)
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    num_steps: int = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        num_steps: int,
        placement: str = "recurrent",
        gain: float = 0.1,
        activation: str | Callable[[Array], Array] = "tanh",
        recurrent_initializer: Initializer = glorot_normal,
        input_initializer: Initializer = glorot_normal,
        epsilon: float = 1e-5,
        dtype: Any = None,
        key: Key,
    ):
        check_sizes(input_size=input_size, hidden_size=hidden_size, num_steps=num_steps)
        if placement not in PLACEMENTS:
            raise ValueError(f"expected placement 'recurrent' or 'input'; got {placement!r}.")
        dtype = floating_dtype(dtype)
        key_hh, key_xh = jr.split(key)
        d, n = input_size, hidden_size
        self.weight_hh = initialize(recurrent_initializer, 1, n, n, dtype=dtype, key=key_hh)
        self.weight_xh = initialize(input_initializer, 1, n, d, dtype=dtype, key=key_xh)
        branches = 2 if placement == "recurrent" else 1
        self.gain = (jnp.full(n, gain, dtype),) * branches
        self.bias = jnp.zeros(n, dtype)
        shape = (num_steps, branches, n)
        self.statistics = BatchStatistics(jnp.zeros(shape, dtype), jnp.ones(shape, dtype))
        self.activation, self.placement = find_activation(activation), placement
        self.epsilon, self.num_steps = float(epsilon), int(num_steps)
        self.input_size, self.hidden_size = int(d), int(n)

    def __call__(self, state: PyTree, input: PyTree) -> tuple[Array, Array]:
        """Return the next (h, number of steps done), by population statistics."""
        h, step = self.checked(state, input)
        slot = jnp.minimum(step, self.num_steps - 1)
        constants = jax.lax.stop_gradient(self.statistics)
        mean, variance = constants.mean[slot], constants.variance[slot]
        return self.advance(h, self.contributions(h, input), mean, variance), step + 1

    def checked(self, state: PyTree, input: PyTree) -> tuple[Array, Array]:
        """Return the state as (h, step) after a look at the shapes."""
        if not isinstance(state, tuple | list) or len(state) != 2:
            raise ValueError(
                f"BatchNormCell expected state (h, step); got {type(state).__name__}. Start from "
                "cell.initial_state()."
            )
        check_vector("BatchNormCell", "state 'h'", state[0], self.hidden_size)
        check_vector("BatchNormCell", "input", input, self.input_size)
        return state[0], state[1]

    def contributions(self, h: Array, input: Array) -> Float[Array, "branch hidden"]:
        """Return what will be normalized: W h and U x, or U x alone."""
        driven = self.weight_xh @ input
        return jnp.stack([self.weight_hh @ h, driven] if len(self.gain) == 2 else [driven])

    def advance(self, h: Array, contributions: Array, mean: Array, variance: Array) -> Array:
        """Return the next h for the given statistics of one step."""
        scaled = (contributions - mean) * jax.lax.rsqrt(variance + self.epsilon)
        preactivation = jnp.sum(jnp.stack(self.gain) * scaled, axis=0) + self.bias
        if self.placement == "input":
            preactivation = preactivation + self.weight_hh @ h
        return self.activation(preactivation)

    def initial_state(self) -> tuple[Array, Array]:
        """Return h = 0 at step 0."""
        return jnp.zeros(self.hidden_size, self.weight_hh.dtype), jnp.zeros((), jnp.int32)

    @property
    def state_names(self) -> tuple[str, ...]:
        """("h",); the step is not differentiated."""
        return ("h",)

    @property
    def gate_names(self) -> tuple[str, ...]:
        """(): a plain cell has no gates."""
        return ()

    def map_recurrent(self, fn: Callable[[Array], Array]) -> "BatchNormCell":
        """Return this cell with the recurrent weights `fn(weight_hh)`."""
        return eqx.tree_at(lambda c: c.weight_hh, self, map_blocks(fn, self.weight_hh))
