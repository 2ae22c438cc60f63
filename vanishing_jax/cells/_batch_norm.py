"""Batch normalization inside a plain cell, LSTM or GRU."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float

from .._checks import check_choice
from .._types import Array, PyTree
from ._normalized import Norm, Normalizable, check_cell, normalized_step, sites
from ._statistics import BatchStatistics
from ._weights import check_sizes
from ._wrapper import AbstractCountingWrapper


class BatchNormCell(AbstractCountingWrapper):
    r"""A plain cell, LSTM or GRU with batch normalization, in one of two placements.

    - `placement="recurrent"` (Cooijmans et al. 2017): $\mathrm{BN}(W h) + \mathrm{BN}(U x) + b$;
    - `placement="input"` (Laurent et al. 2016, Amodei et al. 2016): $W h + \mathrm{BN}(U x) + b$,
      which leaves the structure of the Jacobian as it is

    in the place of the pre-activations $W h + U x + b$, where
    $\mathrm{BN}(a) = \gamma \odot (a - \mu_t)/\sqrt{v_t + \epsilon}$ with a mean and a variance of
    each unit at each time step t; steps beyond `num_steps` use the last one's. In an LSTM
    "recurrent" also normalizes what the output reads of the cell state:
    $h' = o \odot \tanh(\mathrm{BN}(c') + b_c)$, while $c'$ itself is carried on as it is. In a GRU
    the new content is $\mathrm{BN}(U x) + r \odot \mathrm{BN}(W h)$ before the biases.

    Called as a cell it uses **population** statistics: `statistics`, constants to differentiation
    here, so it is an ordinary cell of one sequence that can be linearized and diagnosed. Training
    uses those of the **batch**, gradients flow through them, and population statistics follow by
    `use_batch_statistics`, `update_statistics` and `estimate_statistics`. They start as mean 0 and
    variance 1. Treat `statistics` as no parameter: their gradient is 0 in training, but weight
    decay would change them.

    Small $\gamma$ keeps the pre-activation where tanh is steep: at $\gamma = 1$ gradients vanish,
    at 0.1 the gradient norm over time is flatter (Cooijmans et al., fig. 1). That is no law: of a
    plain cell in mean field with Gaussian inputs the exponents are -0.20 and -0.35 a step.
    The gradient of one sequence depends on its batch; a unit whose variance over the batch is 0, as
    at pixels that are always black or in $W h$ at the first step, multiplies gradients by
    $\gamma/\sqrt{\epsilon}$: add noise to such inputs or to the initial state
    (`mitigations.initial_state_noise`).

    The state is the pair (state of the cell inside, number of steps done: int32).

    **Arguments:**

    - `cell`: a `VanillaCell`, `LSTMCell` or `GRUCell`.
    - `num_steps`: time steps with statistics of their own; the length of the training sequences.
    - `placement`: "recurrent" (default) or "input".
    - `gain`: initial $\gamma$, 0.1 by default.
    - `epsilon`: added to the variance; 1e-5 by default.

    **Raises:** `TypeError` for another cell, `ValueError` for an unknown placement or no step; when
    called, for a state or input of another shape.

    **Example:**

    >>> import jax, jax.numpy as jnp
    >>> from vanishing_jax.cells import BatchNormCell, LSTMCell
    >>> cell = BatchNormCell(LSTMCell(3, 5, key=jax.random.key(0)), num_steps=10)
    >>> (h, c), step = cell(cell.initial_state(), jnp.ones(3))
    >>> h.shape, step.item(), list(cell.gain)
    ((5,), 1, ['recurrent', 'input', 'cell'])

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

    cell: Normalizable
    gain: dict[str, Float[Array, "values"]]  # by site: vectors, as weight decay knows them
    cell_bias: Float[Array, "hidden"] | None  # of the normalized cell state
    statistics: BatchStatistics
    placement: str = eqx.field(static=True)
    epsilon: float = eqx.field(static=True)
    num_steps: int = eqx.field(static=True)

    def __init__(
        self,
        cell: Any,
        *,
        num_steps: int,
        placement: str = "recurrent",
        gain: float = 0.1,
        epsilon: float = 1e-5,
    ):
        self.cell = check_cell(cell, "BatchNormCell")
        check_sizes(num_steps=num_steps)
        check_choice("placement", placement, ("recurrent", "input"))
        self.placement, self.epsilon, self.num_steps = placement, float(epsilon), int(num_steps)
        sizes, dtype = sites(cell, self._parts), cell.weight_hh.dtype
        self.gain = {site: jnp.full(size, gain, dtype) for site, size in sizes.items()}
        self.cell_bias = jnp.zeros(sizes["cell"], dtype) if "cell" in sizes else None
        shapes = {site: (num_steps, size) for site, size in sizes.items()}
        self.statistics = BatchStatistics(
            {site: jnp.zeros(shape, dtype) for site, shape in shapes.items()},
            {site: jnp.ones(shape, dtype) for site, shape in shapes.items()},
        )

    @property
    def _parts(self) -> str:
        return "separate" if self.placement == "recurrent" else "input"

    def __call__(self, state: PyTree, input: PyTree) -> tuple[PyTree, Array]:
        """Return the next (state of the cell inside, steps done), by population statistics."""
        inner, step = self.parts(state)
        now = self.slot(step)
        constants = jax.tree.map(lambda all: all[now], jax.lax.stop_gradient(self.statistics))

        def norm(site, values):
            mean, variance = constants.mean[site], constants.variance[site]
            return self.normalized(site, values, mean, variance)

        return self.advance(inner, input, norm), step + 1

    def slot(self, step: Array) -> Array:
        """Return the row of the statistics that the next step uses."""
        return jnp.minimum(step, self.num_steps - 1)

    def advance(self, inner: PyTree, input: PyTree, norm: Norm) -> PyTree:
        """Return the next state of the cell inside, whose sites `norm` normalizes."""
        return normalized_step(self.cell, inner, input, self._parts, norm)

    def normalized(self, site: str, values: Array, mean: Array, variance: Array) -> Array:
        """Return the values of one site by the given statistics."""
        scaled = (values - mean) * jax.lax.rsqrt(variance + self.epsilon) * self.gain[site]
        if site == "cell" and self.cell_bias is not None:
            return scaled + self.cell_bias
        return scaled
