"""The gradient of a loss with respect to every activation of a network, layer by layer."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Float

from .._checks import NonFiniteError, as_arrays, check_finite
from .._linearize_layers import Layer, activation_shapes, check_activation, check_layers
from .._shared_layers import shared_layers
from .._tree import state_layout
from .._types import Array, ArrayLike, PyTree
from ._back_propagate import Scaled, log_norm, loss_gradient, pull_back, scaled
from ._gradient_profile import GradientProfile, loss_first_deprecated


@loss_first_deprecated
def layer_gradient_profile(
    layers: Sequence[Layer], x: PyTree, *, loss: Callable[[PyTree], Float[Array, ""]]
) -> GradientProfile:
    r"""Return log ||dL/dx_l|| for every activation x_0, ..., x_L, and of each layer's parameters.

    What back-propagation through depth delivers, `x_l = layers[l-1](x_{l-1})`: a profile that falls
    by orders of magnitude from right to left is a network whose first layers do not learn; one that
    rises toward the left explodes. A single steep step is one layer's doing: a saturated
    activation, weights that are too small, a bottleneck. Carried as a vector of moderate size and
    an integer exponent, so that it is right where plain float32 gives 0 or inf.

    **Arguments:**

    - `layers`, `x`: as for `linearize_layers`. The parameters of a layer are its floating leaves
      (an Equinox module's weights); a plain function has none and reads -inf.
    - `loss`: `loss(output) -> scalar` of the last activation.

    **Returns:** a `GradientProfile` with `axis="layer"`: `log_norm` of shape (L + 1,),
    `log_parameter_norm` of shape (L,), natural logs.

    **Raises:** as `linearize_layers`; `ValueError` when `loss` does not return one real number;
    `NonFiniteError` for a NaN gradient (outside `jit`).

    **Cost:** one forward and one backward pass; no Jacobian is formed, so that wide activations
    (images) pass. Each distinct layer is compiled once.

    **Example:**

    >>> import jax.numpy as jnp, vanishing_jax as vj
    >>> halve = lambda x: 0.5 * x
    >>> profile = vj.diagnostics.layer_gradient_profile([halve] * 1000, jnp.ones(1), loss=jnp.sum)
    >>> round(float(profile.log_norm[0]), 1)  # 1000 log 0.5: plain float32 gives 0
    -693.1
    """
    layers, x = check_layers(layers), as_arrays(x, "x")
    check_finite(x, "input x")
    shapes = activation_shapes(layers, x)  # its errors say which layer does not fit
    layers = shared_layers(layers, shapes[:-1])
    activations = layer_activations(layers, x, batched=False)
    local = output_gradients(activations[-1], loss, batched=False)
    log_norm, log_parameter_norm = carry_back(layers, activations, local, batched=False)
    profile = GradientProfile(log_norm[0], log_parameter_norm[0], "layer")
    if not isinstance(log_norm, Tracer) and np.isnan(log_norm).any():
        index = int(np.flatnonzero(np.isnan(log_norm[0]))[-1])
        raise NonFiniteError(
            f"expected a finite gradient; dL/dx_l is NaN from l = {index} backward. Check the "
            "weights there, and the loss, for NaN or infinite values."
        )
    return profile


def layer_activations(layers: Sequence[Layer], x: PyTree, *, batched: bool) -> list[PyTree]:
    """Return x_0, ..., x_L; raise where one is not finite."""
    activations = [x]
    for index, layer in enumerate(layers):
        activations.append(_apply(layer, activations[-1], batched))
        check_activation(activations[-1], index)
    return activations


@eqx.filter_jit
def _apply(layer: Layer, x: PyTree, batched: bool) -> PyTree:
    return eqx.filter_vmap(lambda x: layer(x))(x) if batched else layer(x)


@eqx.filter_jit
def output_gradients(
    output: PyTree, loss: Callable[[PyTree], Float[Array, ""]], *, batched: bool
) -> Float[Array, "batch output"]:
    """Return the gradient of the loss by the output, one row for each sample of a batch."""
    gradient = loss_gradient(output, loss, int(batched))
    return gradient if batched else gradient[None]


def carry_back(
    layers: Sequence[Layer],
    activations: list[PyTree],
    vectors: Float[ArrayLike, "batch output"],
    *,
    batched: bool,
) -> tuple[Float[ArrayLike, "batch time_plus_one"], Float[ArrayLike, "batch time"]]:
    """Return the log norms of gradients carried back from the output, and of the parameters'.

    One row for each vector; a batch of activations has as many samples as there are vectors, a
    single activation serves all of them.
    """
    gradients, norm = _begin(vectors)
    norms, parameters = [norm], []
    for layer, x in zip(reversed(layers), reversed(activations[:-1]), strict=True):
        gradients, norm, parameter = _pull(layer, x, gradients, batched)
        norms.append(norm)
        parameters.append(parameter)
    return _columns(norms[::-1]), _columns(parameters[::-1])


def _columns(rows: list[Array]) -> Float[ArrayLike, "batch column"]:
    # In NumPy where possible: JAX would compile for each depth.
    xp: Any = jnp if any(isinstance(row, Tracer) for row in rows) else np
    widest = max((row.dtype for row in rows), key=lambda dtype: dtype.itemsize)
    return xp.stack([xp.asarray(row).astype(widest) for row in rows], axis=1)


@jax.jit
def _begin(vectors: Float[Array, "batch output"]) -> tuple[Scaled, Float[Array, "batch"]]:
    gradients = scaled(vectors)
    return gradients, jax.vmap(log_norm)(*gradients)


@eqx.filter_jit
def _pull(
    layer: Layer, x: PyTree, gradients: Scaled, batched: bool
) -> tuple[Scaled, Float[Array, "batch"], Float[Array, "batch"]]:
    """Return the gradients at the layer's input, their log norms and those of its parameters."""
    parameters, static = eqx.partition(layer, eqx.is_inexact_array)

    def one(x, gradient):
        layout = state_layout(x)

        def step(v, parameters):
            y = eqx.combine(parameters, static)(layout.unravel(v, x))
            return state_layout(y).ravel(y)

        arrived, (own,) = pull_back(step, layout.ravel(x), gradient, parameters)
        contribution = log_norm(own, gradient.exponents).astype(arrived.vectors.dtype)
        return arrived, log_norm(*arrived), contribution

    axes = (eqx.if_array(0) if batched else None, 0)
    return eqx.filter_vmap(one, in_axes=axes)(x, gradients)
