"""Activations by name or as functions: values, slopes and log slopes that survive saturation."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import expit

from .. import _stable
from .._activations import stable_derivatives
from .._types import Array
from ..cells._vanilla import ACTIVATIONS

Activation: TypeAlias = str | Callable[[Array], Array]
"""A name in `NAMES`, or an elementwise function: the same object at each call, so that what was
compiled for it is found again."""


class Slopes(NamedTuple):
    """An activation, its derivative, and the log of the derivative's modulus; all elementwise.

    Of JAX arrays, or, made by `host_activation`, of NumPy arrays in float64. `name`: if it has one.
    """

    value: Callable[[Any], Any]
    slope: Callable[[Any], Any]
    log_slope: Callable[[Any], Any]
    name: str | None = None


def slopes(activation: Activation) -> Slopes:
    """Return the functions of an activation, or raise for what is none.

    The log slope of a function that is not one of the names is the log of its slope, -inf where
    that underflows.
    """
    activation = _name(activation) or activation
    if isinstance(activation, str):
        if activation not in _NAMED:
            raise ValueError(
                f"expected an activation among {', '.join(NAMES)}, or a function; got "
                f"{activation!r}. Any other: pass the function itself, as activation=jax.nn.gelu."
            )
        function, log_slope = _NAMED[activation]
        slope = _derivative(function)
        return Slopes(function, slope, _log_of(slope) if log_slope is None else log_slope)
    if not callable(activation):
        raise TypeError(
            "expected `activation` to be a name or an elementwise function; got "
            f"{type(activation).__name__}."
        )
    slope = _derivative(stable_derivatives(activation))
    return Slopes(activation, slope, _log_of(slope))


def host_activation(activation: Activation) -> Slopes:
    """Return an activation for NumPy arrays; the usual ones compile nothing but log slopes."""
    name, phi = _name(activation), slopes(activation)
    known = None if name is None else _ON_HOST.get(name)
    value, slope = known or (_on_host(phi.value), _on_host(phi.slope))
    return Slopes(value, slope, _on_host(phi.log_slope), name)


def _on_host(function: Callable[[Array], Array]) -> Callable[[Any], np.ndarray]:
    def apply(x: Any) -> np.ndarray:
        with jax.enable_x64(True):
            return np.asarray(function(jnp.asarray(x, jnp.float64)))

    return apply


def _name(activation: Activation) -> str | None:
    """Return the name of an activation, given by it or as the function that cells use for it."""
    names = {id(function): name for name, function in ACTIVATIONS.items()}
    return activation if isinstance(activation, str) else names.get(id(activation))


def _derivative(function):
    return lambda x: jax.jvp(function, (x,), (jnp.ones_like(x),))[1]


def _log_of(slope):
    return lambda x: jnp.log(jnp.abs(slope(x)))


def _log_tanh_slope(x: Array) -> Array:
    return 2 * (jnp.log(2.0).astype(x.dtype) - jnp.abs(x) - jnp.log1p(jnp.exp(-2 * jnp.abs(x))))


def _log_sigmoid_slope(x: Array) -> Array:
    return -jnp.abs(x) - 2 * jnp.log1p(jnp.exp(-jnp.abs(x)))


def _identity(x: Array) -> Array:
    return x


_NAMED = {
    "tanh": (_stable.tanh, _log_tanh_slope),
    "sigmoid": (_stable.sigmoid, _log_sigmoid_slope),
    "relu": (jax.nn.relu, None),
    "identity": (_identity, None),
    "linear": (_identity, None),
    "erf": (jax.scipy.special.erf, lambda x: jnp.log(2 / jnp.sqrt(jnp.pi)).astype(x.dtype) - x**2),
}
NAMES = tuple(_NAMED)


def _tanh_slope(x):
    e = np.exp(-2 * np.abs(x))
    return 4 * e / (1 + e) ** 2


def _sigmoid_slope(x):
    e = np.exp(-np.abs(x))
    return e / (1 + e) ** 2


_ON_HOST = {
    "tanh": (np.tanh, _tanh_slope),
    "sigmoid": (expit, _sigmoid_slope),
    "relu": (lambda x: np.maximum(x, 0.0), lambda x: (x > 0).astype(np.float64)),
    "identity": (lambda x: x, np.ones_like),
}
