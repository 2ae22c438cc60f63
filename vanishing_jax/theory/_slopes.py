"""Activations by name or as functions, with slopes and log slopes that survive saturation."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from .. import _stable
from .._activations import stable_derivatives
from .._types import Array

Activation: TypeAlias = str | Callable[[Array], Array]
"""A name in `NAMES`, or an elementwise function: the same object at each call, so that what was
compiled for it is found again."""


class Slopes(NamedTuple):
    """An activation, its derivative, and the log of the derivative's modulus; all elementwise."""

    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    log_slope: Callable[[Array], Array]


def slopes(activation: Activation) -> Slopes:
    """Return the functions of an activation, or raise for what is none.

    The log slope of a function that is not one of the names is the log of its slope, -inf where
    that underflows.
    """
    if isinstance(activation, str):
        if activation not in _NAMED:
            raise ValueError(
                f"expected an activation among {', '.join(NAMES)}, or a function; got "
                f"{activation!r}. Any other: pass the function itself, as activation=jax.nn.gelu."
            )
        function, log_slope = _NAMED[activation]
        slope = _derivative(function)
        if log_slope is None:
            log_slope = _log_of(slope)
        return Slopes(function, slope, log_slope)
    if not callable(activation):
        raise TypeError(
            "expected `activation` to be a name or an elementwise function; got "
            f"{type(activation).__name__}."
        )
    slope = _derivative(stable_derivatives(activation))
    return Slopes(activation, slope, _log_of(slope))


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
