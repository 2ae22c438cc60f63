"""Mean squared singular value of one step's Jacobian of gated cells, from their state."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Float

from ..._types import Array, ArrayLike


class LSTMOneStepMoments(NamedTuple):
    """m1 = (1/n) ||J||_F^2 of the four n x n blocks of an LSTM's Jacobian; `hc` is dh'/dc."""

    hh: Float[Array, ""]
    hc: Float[Array, ""]
    ch: Float[Array, ""]
    cc: Float[Array, ""]


def gru_one_step_moment(
    *,
    reset: ArrayLike,
    update: ArrayLike,
    new: ArrayLike,
    state: ArrayLike,
    inside: ArrayLike | None = None,
    reset_gain: ArrayLike | float = 1.0,
    update_gain: ArrayLike | float = 1.0,
    new_gain: ArrayLike | float = 1.0,
) -> Array:
    r"""Return m1 = (1/n) ||J||_F^2 of a GRU, in expectation over its recurrent weights.

    For h' = (1 - z) n + z h with z near 1 keeping h, both published resets:

    - after the product (PyTorch, `vj.cells.GRUCell`), $n = \tanh(U x + r \odot (W h + b))$, if
      `inside` = W h + b is given: $m_1 = \overline{z^2} + g_z^2\overline{z'^2(h-n)^2} +
      \overline{(1-z)^2 n'^2\,(g_n^2 r^2 + g_r^2 r'^2 (W h + b)^2)}$;
    - before it (Cho et al.), $n = \tanh(U x + W (r \odot h))$, if not: the last term is
      $g_n^2\,\overline{(1-z)^2 n'^2}\;(\overline{r^2} + g_r^2\,\overline{r'^2 h^2})$,

    with z' = z (1 - z), r' = r (1 - r), n' = 1 - n^2.

    **Arguments:**

    - `reset`, `update`, `new`: r, z, n in this step; `state`: h before it; `inside`: W h + b. Of
      one shape; all entries are averaged.
    - `reset_gain`, `update_gain`, `new_gain`: g of each recurrent block, variance g^2/n (an
      orthogonal block has 1).

    **Returns:** m1, a scalar; differentiable.

    **Validity:** weights independent of the state but for being what made it (untrained), with a
    relative error of O(1/n): within 3 % at n = 200 (`tests/theory/test_one_step_moments.py`). Over
    many steps the exponent is not half the log of a moment: what is carried over keeps its
    direction, and the gates of a unit are correlated in time.

    **Example:**

    >>> import jax.numpy as jnp
    >>> from vanishing_jax.theory import gru_one_step_moment
    >>> half, zero = jnp.array([0.5]), jnp.zeros(1)  # a step from h = 0 without input
    >>> print(gru_one_step_moment(reset=half, update=half, new=zero, state=zero))
    0.3125
    """
    r, z, n, h = _same_shape(reset=reset, update=update, new=new, state=state)
    carried = _mean_square(z) + _mean_square(update_gain * z * (1 - z) * (h - n))
    outer, slope = (1 - z) * (1 - n**2), r * (1 - r)
    if inside is None:
        through = _mean_square(new_gain * r) + _mean_square(new_gain * reset_gain * slope * h)
        return carried + _mean_square(outer) * through
    (product,) = _same_shape(r.shape, inside=inside)
    square = (new_gain * r) ** 2 + (reset_gain * slope * product) ** 2
    return carried + jnp.mean(outer**2 * square)


def lstm_one_step_moments(
    *,
    input: ArrayLike,
    forget: ArrayLike,
    new: ArrayLike,
    output: ArrayLike,
    cell: ArrayLike,
    input_gain: ArrayLike | float = 1.0,
    forget_gain: ArrayLike | float = 1.0,
    new_gain: ArrayLike | float = 1.0,
    output_gain: ArrayLike | float = 1.0,
) -> LSTMOneStepMoments:
    r"""Return m1 = (1/n) ||J_block||_F^2 of the blocks of an LSTM's Jacobian.

    For c' = f c + i g, h' = o tanh(c'), in expectation over the recurrent weights:

    - cc: $\overline{f^2}$ and hc: $\overline{(o\,(1-\tanh^2 c')\,f)^2}$, exact at any n;
    - ch: the mean of $v = \gamma_f^2 (f' c)^2 + \gamma_i^2 (i' g)^2 + \gamma_g^2 (i g')^2$;
    - hh: $\gamma_o^2\,\overline{(o' \tanh c')^2} + \overline{(o\,(1-\tanh^2 c'))^2\, v}$,

    with f' = f (1 - f) and so on, g' = 1 - g^2, and the gains gamma of the recurrent blocks.

    **Arguments:**

    - `input`, `forget`, `new`, `output`: i, f, g, o in this step; `cell`: c before it. Of one
      shape; all entries are averaged.
    - `input_gain`, ...: of each recurrent block, variance gamma^2/n (an orthogonal block has 1).

    **Returns:** `LSTMOneStepMoments(hh, hc, ch, cc)`; differentiable.

    **Validity:** as `gru_one_step_moment`.

    **Example:**

    >>> import jax.numpy as jnp
    >>> from vanishing_jax.theory import lstm_one_step_moments
    >>> half, zero = jnp.array([0.5]), jnp.zeros(1)  # a step from h = c = 0 without input
    >>> m = lstm_one_step_moments(input=half, forget=half, new=zero, output=half, cell=zero)
    >>> print(*m)
    0.0625 0.0625 0.25 0.25
    """
    i, f, g, o, c = _same_shape(input=input, forget=forget, new=new, output=output, cell=cell)
    read = jnp.tanh(f * c + i * g)
    through = o * (1 - read**2)
    v = (
        (forget_gain * f * (1 - f) * c) ** 2
        + (input_gain * i * (1 - i) * g) ** 2
        + (new_gain * i * (1 - g**2)) ** 2
    )
    return LSTMOneStepMoments(
        hh=_mean_square(output_gain * o * (1 - o) * read) + jnp.mean(through**2 * v),
        hc=_mean_square(through * f),
        ch=jnp.mean(v),
        cc=_mean_square(f),
    )


def _mean_square(x: ArrayLike) -> Array:
    return jnp.mean(jnp.square(jnp.asarray(x)))


def _same_shape(shape: tuple[int, ...] | None = None, /, **arrays: ArrayLike) -> list[Array]:
    """Return the arrays, or raise ValueError if they differ in shape."""
    found = {name: jnp.asarray(x) for name, x in arrays.items()}
    shapes = {name: x.shape for name, x in found.items()}
    if len({*shapes.values()} | ({shape} if shape is not None else set())) > 1:
        raise ValueError(f"expected arrays of one shape; got {shapes or shape}.")
    return list(found.values())
