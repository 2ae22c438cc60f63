"""Diagonal state space models: S4D."""

import math
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jax import lax
from jaxtyping import Complex, Float

from .._types import Array, Key, PyTree
from ._diagonal import AbstractDiagonalCell, check_range, complex_zeros, part_dtype, times_real
from ._weights import check_sizes, check_vector


class S4DCell(AbstractDiagonalCell):
    r"""The diagonal state space model S4D, one step at a time.

    Each input component c drives n complex modes of its own, $\dot h_{ci} = a_{ci} h_{ci} + x_c$,
    discretized with its own step size $\Delta_c$:

    $$h' = \bar a \odot h + \bar b \, x, \qquad
    \text{zoh: } \bar a = e^{\Delta a}, \; \bar b = (\bar a - 1)/a, \qquad
    \text{bilinear: } \bar a = \frac{1 + \Delta a/2}{1 - \Delta a/2}, \;
    \bar b = \frac{\Delta}{1 - \Delta a/2}$$

    with $\mathrm{Re}\, a = -e^{\alpha} < 0$, so that $|\bar a| < 1$; for zoh $|\bar a| =
    e^{-\Delta |\mathrm{Re}\, a|}$. The vector B of the paper is 1, because C can hold it. The
    paper's channels come after a mixing layer, its output $2\,\mathrm{Re}(C h) + D x$ and a
    nonlinearity before another; the recurrence between them is here. The state is one complex array
    of shape `(d n,)`, the modes of one channel beside each other. A readout or a layer above sees
    [Re h, Im h], of size 2 d n (`hidden_output`): enough for any C, since modes stand for conjugate
    pairs.

    Fields, all real: `log_step` (d,) is $\ln\Delta$, `log_decay` (d, n) is $\alpha$, `frequency`
    (d, n) is Im a. Initially $\mathrm{Re}\, a = -1/2$ and for i = 0..n-1

    - "lin": $\mathrm{Im}\, a_i = \pi i$ (S4D-Lin);
    - "inv": $\mathrm{Im}\, a_i = \frac{N}{\pi}\left(\frac{N}{2i+1} - 1\right)$, N = 2n (S4D-Inv);

    and $\ln\Delta$ is uniform between the logs of `step_min` and `step_max`.

    **Arguments:**

    - `input_size`, `hidden_size`: d channels, and n modes of each; the paper's state size is 2n.
    - `initial`: "lin" or "inv".
    - `discretization`: "zoh" or "bilinear".
    - `step_min`, `step_max`: range of $\Delta$, by default 0.001 to 0.1: memories of 20 to 2000
      steps.
    - `dtype`: float32 or float64, of the weights and of the state's two parts; None takes JAX's
      default.
    - `key`: random key, for the step sizes.

    **Raises:** `ValueError` for a size below 1, another name, a range that is none, half precision;
    when called, for a state or input of another shape.

    **Validity:** spectra take the closed form, $-T \Delta e^{\alpha}$ for zoh, each twice
    (`spectra.decoupled_blocks`), over any range. In float32 $\ln|\bar a|$ of one step is right to
    2.4e-7 (2 eps), as of any complex number that is stored by its parts: see `LRUCell`.

    **Example:**

    >>> import jax, jax.numpy as jnp
    >>> cell = S4DCell(2, 4, initial="inv", key=jax.random.key(0))
    >>> cell(cell.initial_state(), jnp.ones(2)).shape
    (8,)

    ??? cite "Reference"
        ```bibtex
        @inproceedings{gu2022parameterization, title={On the parameterization and initialization of
          diagonal state space models}, author={Gu, Albert and Gupta, Ankit and Goel, Karan and
          R{\'e}, Christopher}, booktitle={NeurIPS}, year={2022}}
        ```
    """

    log_step: Float[Array, "input"]
    log_decay: Float[Array, "input modes"]
    frequency: Float[Array, "input modes"]
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    discretization: str = eqx.field(static=True)

    gate_names: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        initial: str = "lin",
        discretization: str = "zoh",
        step_min: float = 0.001,
        step_max: float = 0.1,
        dtype: Any = None,
        key: Key,
    ):
        check_sizes(input_size=input_size, hidden_size=hidden_size)
        if initial not in ("lin", "inv"):
            raise ValueError(f"expected initial 'lin' or 'inv'; got {initial!r}.")
        if discretization not in ("zoh", "bilinear"):
            raise ValueError(
                f"expected discretization 'zoh' or 'bilinear'; got {discretization!r}."
            )
        check_range("step", step_min, step_max)
        dtype = part_dtype(dtype)
        d, n = input_size, hidden_size
        i = jnp.arange(n, dtype=dtype)
        size = 2 * n
        imag = jnp.pi * i if initial == "lin" else size / jnp.pi * (size / (2 * i + 1) - 1)
        ends = math.log(step_min), math.log(step_max)
        self.log_step = jr.uniform(key, (d,), dtype, *ends)
        self.log_decay = jnp.full((d, n), math.log(0.5), dtype)
        self.frequency = jnp.stack([imag] * d).astype(dtype)
        self.input_size, self.hidden_size = int(d), int(n)
        self.discretization = discretization

    def affine_step(self, input: PyTree) -> tuple[Array, Array]:
        """Return the discretized a, and b x."""
        check_vector("S4DCell", "input", input, self.input_size)
        step = jnp.exp(self.log_step)[:, None]
        real, imag = -jnp.exp(self.log_decay), self.frequency
        half = lax.complex(step * real / 2, step * imag / 2)
        if self.discretization == "zoh":
            # The step is small: exp(step a) - 1 must not cancel.
            a = jnp.exp(2 * half)
            b = jnp.expm1(2 * half) / lax.complex(real, imag)
        else:
            a = (1 + half) / (1 - half)
            b = times_real(1 / (1 - half), step)
        return a.reshape(-1), times_real(b, jnp.asarray(input)[:, None]).reshape(-1)

    def initial_state(self) -> Complex[Array, "hidden"]:
        """Return h = 0."""
        return complex_zeros(self.input_size * self.hidden_size, self.log_step.dtype)
