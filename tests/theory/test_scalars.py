"""Scalars by one rule: a float for a number, an array for an array, in all laws of numbers."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax import theory

NETWORK = {"activation": "tanh", "gain": 1.2, "input_variance": 0.1}

# name -> the number that varies, arguments
LAWS = {
    "adam_update_size": ("log_gradient", {"log_gradient": -18.0}),
    "batch_norm_exponent": ("gain", {"gain": 0.1}),
    "critical_gain": ("input_variance", {"activation": "tanh", "input_variance": 0.1}),
    "gate_log_retention": ("bias", {"bias": 1.0, "steps": 3}),
    "gaussian_average": ("variance", {"function": jax.nn.relu, "variance": 0.5}),
    "layer_norm_exponent": ("input_variance", {"input_variance": 0.5}),
    "mean_field_exponent": ("gain", NETWORK),
    "mean_field_mean_exponent": ("gain", NETWORK),
    "mean_field_susceptibility": ("input_variance", NETWORK),
    "mean_field_variance": ("gain", NETWORK),
    "memory_horizon": ("exponent", {"exponent": -0.1}),
    "rms_norm_exponent": ("weight_gain", {"weight_gain": 1.5, "input_variance": 1.0}),
}

# Of n units or T steps, of measured arrays, or several numbers at once.
OTHERS = {
    "Prediction", "ginibre_exponents", "ginibre_growth_variance", "gru_one_step_moment",
    "layer_norm_singular_values", "leaky_mean_field", "lstm_one_step_moments",
    "mean_field_correlation", "mean_field_spectrum", "mean_field_transient", "memory_sensitivity",
    "predict", "predict_plain", "weight_law",
}  # fmt: skip


def test_every_law_of_numbers_has_its_row():
    assert set(LAWS) | OTHERS == {name for name in dir(theory) if not name.startswith("_")}


@pytest.mark.parametrize("name", LAWS)
def test_a_float_for_a_number_and_an_array_for_an_array(name):
    law, (argument, options) = getattr(theory, name), LAWS[name]
    positional = next(iter(inspect.signature(law).parameters.values())).kind is not (
        inspect.Parameter.KEYWORD_ONLY
    )
    first = next(iter(options))

    def value(x):
        given = {**options, argument: x}
        return law(given.pop(first), **given) if positional else law(**given)

    number = value(options[argument])
    assert type(number) is float
    assert type(value(np.float64(options[argument]))) is float
    many = value(np.array([options[argument], 0.9 * options[argument]]))
    assert isinstance(many, np.ndarray | jax.Array) and many.shape == (2,)
    assert many[0] == pytest.approx(number, rel=1e-6) and many[1] != many[0]


@pytest.mark.parametrize("name", ["critical_gain", "mean_field_exponent"])
def test_jax_arrays_stay_in_jax_and_are_traced(name):
    argument, options = LAWS[name]
    options = {**options, argument: jnp.asarray(options[argument], jnp.float32)}
    found = getattr(theory, name)(**options)
    assert isinstance(found, jax.Array) and found.dtype == jnp.float32
    x = jnp.array([0.3, 0.6])
    both = jax.jit(lambda x: getattr(theory, name)(**{**options, argument: x}))(x)
    assert both.shape == (2,) and both[0] < both[1]


def test_numbers_are_numbers_inside_a_jit():
    _, options = LAWS["critical_gain"]
    inside = jax.jit(lambda x: x * theory.critical_gain(**options))(2.0)
    assert inside == pytest.approx(2 * theory.critical_gain(**options), rel=1e-6)
