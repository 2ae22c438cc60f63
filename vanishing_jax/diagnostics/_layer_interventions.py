"""What could be changed about a network of layers, each change as data for the same programs.

As `_interventions` for cells: the modified layers are run on the same activations,
and share one compilation per distinct layer.
"""

import functools as ft
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from .._activations import with_activation_rule
from .._linearize_layers import Layer
from .._shared_layers import SharedLayer
from .._tree import same_structure
from .._types import ArrayLike, PyTree
from ._effects import Intervention
from ._interventions import activation

# Weights are rescaled by at most this factor.
_MOST = 4.0


class LayerInterventionParameters(NamedTuple):
    """The changes to a layer that are not changes of weights.

    - `skip`: a in a x + f(x), where f(x) has the structure of x; 0 is the plain layer.
    - `normalize`: layer-normalize x on its way into f.
    - `linear`: replace the derivatives of activations by their largest value.
    """

    skip: Float[ArrayLike, ""]
    normalize: Bool[ArrayLike, ""]
    linear: Bool[ArrayLike, ""]


class IntervenedLayer(eqx.Module):
    """A layer with intervention parameters; neutral ones reproduce the layer."""

    layer: Layer
    parameters: LayerInterventionParameters

    def __call__(self, x: PyTree) -> PyTree:
        """Return the output of the changed layer."""
        y = with_activation_rule(self.layer, self._activation)(jax.tree.map(self._normalized, x))
        return jax.tree.map(self._add, x, y) if same_structure(x, y) else y

    def _activation(self, kind, a):
        return activation(kind, a, self.parameters.linear)

    def _normalized(self, leaf):
        if not jnp.issubdtype(leaf.dtype, jnp.floating) or leaf.ndim == 0:
            return leaf
        # Two selections: the unused branch must have a finite derivative, else it gives 0 * inf.
        harmless = jnp.linspace(-1, 1, leaf.size, dtype=leaf.dtype).reshape(leaf.shape)
        safe = jnp.where(self.parameters.normalize, leaf, harmless)
        centered = safe - jnp.mean(safe, axis=-1, keepdims=True)
        variance = jnp.mean(centered**2, axis=-1, keepdims=True)
        normal = centered / jnp.sqrt(variance + jnp.asarray(1e-5, leaf.dtype))
        return jnp.where(self.parameters.normalize, normal, leaf)

    def _add(self, x, y):
        if not jnp.issubdtype(y.dtype, jnp.inexact):
            return y
        return self.parameters.skip.astype(y.real.dtype) * x + y


class LayerTarget(NamedTuple):
    """The layers, what is known of them, and the rate of their gradient."""

    layers: list[Layer]
    fits: bool  # whether some layer's output has the structure of its input
    kinds: frozenset[str]  # activations met
    rate: float


def modified(
    layers: list[Layer], *, skip: float = 0.0, normalize: bool = False, linear: bool = False
) -> list[IntervenedLayer]:
    """Return the layers with these intervention parameters."""
    # In NumPy, here and below: each operation of JAX would compile a program of its own.
    parameters = LayerInterventionParameters(
        np.asarray(skip), np.asarray(normalize), np.asarray(linear)
    )
    return [IntervenedLayer(layer, parameters) for layer in layers]


def _skip(target, *, normalize=False):
    if not target.fits:
        return "no layer returns what it takes, an activation of equal shape"
    return modified(target.layers, skip=1.0, normalize=normalize)


def _normalize(target):
    return modified(target.layers, normalize=True)


def _straighten(target):
    if not target.kinds:
        return "no tanh, sigmoid or relu was recognized in the layers"
    return modified(target.layers, linear=True)


def _rescale(target):
    if not np.isfinite(target.rate):
        return "the gradient is exactly 0"
    # A layer passes a gradient on in proportion to its weights: this would make the rate 0.
    factor = float(np.clip(np.exp(-target.rate), 1 / _MOST, _MOST))
    if not any(map(_is_matrix, jax.tree.leaves(list(map(_weights, target.layers))))):
        return (
            "the layers are functions without weight matrices of their own (Equinox modules have)"
        )
    return modified([_rescaled(layer, factor) for layer in target.layers])


def _weights(layer):
    return layer.parameters if isinstance(layer, SharedLayer) else layer


def _rescaled(layer, factor):
    def scaled(leaf):
        if not _is_matrix(leaf):
            return leaf
        return np.asarray(leaf) * np.asarray(factor, leaf.dtype)

    changed = jax.tree.map(scaled, _weights(layer))
    if isinstance(layer, SharedLayer):
        return SharedLayer(changed, layer.constants, layer.program)
    return changed


def _is_matrix(leaf):
    return eqx.is_inexact_array(leaf) and leaf.ndim >= 2


INTERVENTIONS = [
    Intervention(
        "skip around each layer", "x + f(x) wherever the output has the shape of the input",
        "remedy", "no path around the layers", False, _skip,
    ),
    Intervention(
        "layer norm before each layer", "f(LN(x)), over the last axis",
        "remedy", "activations of the wrong scale", False, _normalize,
    ),
    Intervention(
        "layer norm and skip", "x + f(LN(x)), the pre-norm residual block",
        "remedy", None, False, ft.partial(_skip, normalize=True),
    ),
    Intervention(
        "weights rescaled", "all weight matrices times exp(-rate), at most by a factor of 4",
        "remedy", "scale of the weights", False, _rescale,
    ),
    Intervention(
        "no saturation",
        "every activation's derivative at its largest value, on the same activations",
        "cause", "saturated or dead units", True, _straighten,
    ),
]  # fmt: skip
