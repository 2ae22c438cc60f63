"""Elementwise nonlinearities on the host, in float64: values and slopes without compiling."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import expit

from ..cells._vanilla import ACTIVATIONS
from ._slopes import Activation, slopes


class HostActivation(NamedTuple):
    """An activation and its slope as functions of NumPy arrays, and its name if it has one."""

    name: str | None
    value: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]


def host_activation(activation: Activation) -> HostActivation:
    """Return an activation, given by name or as a function of JAX arrays, for NumPy arrays."""
    names = {id(function): name for name, function in ACTIVATIONS.items()}
    name = activation if isinstance(activation, str) else names.get(id(activation))
    if name in _KNOWN:
        return HostActivation(name, *_KNOWN[name])
    phi = slopes(activation)
    return HostActivation(name, _on_host(phi.value), _on_host(phi.slope))


def _on_host(function):
    def apply(x):
        with jax.enable_x64(True):
            return np.asarray(function(jnp.asarray(x, jnp.float64)))

    return apply


def _tanh_slope(x):
    e = np.exp(-2 * np.abs(x))
    return 4 * e / (1 + e) ** 2


def _sigmoid_slope(x):
    e = np.exp(-np.abs(x))
    return e / (1 + e) ** 2


_KNOWN = {
    "tanh": (np.tanh, _tanh_slope),
    "sigmoid": (expit, _sigmoid_slope),
    "relu": (lambda x: np.maximum(x, 0.0), lambda x: (x > 0).astype(np.float64)),
    "identity": (lambda x: x, np.ones_like),
}
