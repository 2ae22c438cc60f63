"""The linear recurrent unit."""

import math
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jax import lax
from jaxtyping import Complex, Float

from .._types import Array, Key, PyTree
from ._diagonal import AbstractDiagonalCell, complex_zeros, part_dtype, times_real
from ._weights import check_sizes, check_vector


class LRUCell(AbstractDiagonalCell):
    r"""The linear recurrent unit: a diagonal complex recurrence that cannot explode.

    $$h' = \lambda \odot h + \gamma \odot (B x), \quad
    \lambda = \exp(-e^{\nu} + i e^{\theta}), \quad \gamma = \sqrt{1 - |\lambda|^2}$$

    The state is one complex array $h$ of shape `(hidden_size,)`. What a readout or a layer above
    sees of it (`hidden_output`) is real: [Re h, Im h], of size 2 hidden_size, of which a linear
    readout makes any Re(C h) and so all of the paper's $y = \mathrm{Re}(C h)$. The paper's layer
    adds D x and a nonlinear block of one step; those are no part of the recurrence and not here:
    as it stands, outputs are linear in the inputs.

    Fields, all real: `nu_log` is $\nu$, `theta_log` $\theta$, `gamma_log` $\ln\gamma$ (n,); the
    first n rows of `weight_xh` (2n, d) are Re B and the others Im B. Each field is trained on its
    own, also $\gamma$, which starts at the value above. Initially $|\lambda|^2$ is uniform in
    $[r_{min}^2, r_{max}^2]$ (uniform on the ring), the phase $e^\theta$ uniform in
    [0, max_phase], and Re B, Im B are normal with variance 1/(2d), which keeps
    $E|h_i|^2$ near $E\,x^2$ for white input.

    **Arguments:**

    - `input_size`, `hidden_size`: d, and n complex numbers (2n real components).
    - `r_min`, `r_max`: the ring, $0 \le r_{min} < r_{max} \le 1$; the paper starts from 0 and 1,
      and for long memories from 0.9 or more and 0.999.
    - `max_phase`: largest initial angle per step, $2\pi$ by default; small for slow signals.
    - `dtype`: float32 or float64, of the weights and of the state's two parts; None takes JAX's
      default.
    - `key`: random key.

    **Raises:** `ValueError` for a size below 1, a ring or a phase that is none, half precision;
    when called, for a state or input of another shape.

    **Validity:** spectra take the closed form, $T \ln|\lambda_i| = -T e^{\nu_i}$, each twice
    (`spectra.decoupled_blocks`), over any range. In float32 the two parts of $\lambda$ are rounded,
    and $\ln|\lambda|$ of one step is right to 2.4e-7 (2 eps), not to 7 digits: memories beyond
    about 1e6 steps are not told from infinite ones, and over T steps logs are off by up to 2.4e-7 T
    (`tests/cells/test_diagonal.py`). `linearize(..., precision="float64")` has the closed form of
    the stored $\nu$, which is what was meant, not what float32 computes.

    **Example:**

    >>> import jax, jax.numpy as jnp, vanishing_jax as vj
    >>> cell = vj.cells.LRUCell(3, 5, r_min=0.9, r_max=0.99, key=jax.random.key(0))
    >>> h = cell(cell.initial_state(), jnp.ones(3))
    >>> h.shape, vj.cells.hidden_output(cell, h).shape
    ((5,), (10,))

    ??? cite "Reference"
        ```bibtex
        @inproceedings{orvieto2023resurrecting, title={Resurrecting recurrent neural networks for
          long sequences}, author={Orvieto, Antonio and Smith, Samuel L. and Gu, Albert and
          Fernando, Anushan and Gulcehre, Caglar and Pascanu, Razvan and De, Soham},
          booktitle={ICML}, year={2023}}
        ```
    """

    nu_log: Float[Array, "hidden"]
    theta_log: Float[Array, "hidden"]
    gamma_log: Float[Array, "hidden"]
    weight_xh: Float[Array, "two_hidden input"]
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    gate_names: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        r_min: float = 0.0,
        r_max: float = 1.0,
        max_phase: float = 2 * math.pi,
        dtype: Any = None,
        key: Key,
    ):
        check_sizes(input_size=input_size, hidden_size=hidden_size)
        if not 0 <= r_min < r_max <= 1:
            raise ValueError(f"expected 0 <= r_min < r_max <= 1; got {r_min} and {r_max}.")
        if not 0 < max_phase <= 2 * math.pi:
            raise ValueError(f"expected 0 < max_phase <= 2 pi; got {max_phase}.")
        dtype = part_dtype(dtype)
        key_modulus, key_phase, key_input = jr.split(key, 3)
        d, n = input_size, hidden_size
        # Neither end is drawn exactly: nu is infinite for |lambda| = 0 or 1, theta for angle 0.
        tiny = float(jnp.finfo(dtype).eps)
        u, v = (jr.uniform(k, (n,), dtype, tiny, 1 - tiny) for k in (key_modulus, key_phase))
        squared = u * (r_max**2 - r_min**2) + r_min**2
        self.nu_log = jnp.log(-jnp.log(squared) / 2)
        self.theta_log = jnp.log(max_phase * v)
        self.gamma_log = jnp.log(-jnp.expm1(-2 * jnp.exp(self.nu_log))) / 2
        self.weight_xh = jr.normal(key_input, (2 * n, d), dtype) / math.sqrt(2 * d)
        self.input_size, self.hidden_size = int(d), int(n)

    @property
    def eigenvalues(self) -> Complex[Array, "hidden"]:
        """The complex numbers lambda."""
        return jnp.exp(lax.complex(-jnp.exp(self.nu_log), jnp.exp(self.theta_log)))

    def affine_step(self, input: PyTree) -> tuple[Array, Array]:
        """Return lambda and gamma B x."""
        check_vector("LRUCell", "input", input, self.input_size)
        driven = lax.complex(*jnp.split(self.weight_xh @ input, 2))
        return self.eigenvalues, times_real(driven, jnp.exp(self.gamma_log))

    def initial_state(self) -> Complex[Array, "hidden"]:
        """Return h = 0."""
        return complex_zeros(self.hidden_size, self.nu_log.dtype)
