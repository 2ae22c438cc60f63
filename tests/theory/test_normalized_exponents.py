import jax
import numpy as np
import pytest

from vanishing_jax.theory import (
    batch_norm_exponent,
    layer_norm_exponent,
    layer_norm_singular_values,
    rms_norm_exponent,
)

ACTIVATIONS = {"tanh": np.tanh, "relu": lambda a: np.maximum(a, 0)}


def normalize(a, axis, centered=True):
    a = a - a.mean(axis=axis, keepdims=True) if centered else a
    return a / np.sqrt(np.mean(a**2, axis=axis, keepdims=True))


def growth_of_differences(step, h, steps, rng):
    """Return the log growth per step of a tiny difference, renewed at every step."""
    direction, logs = rng.standard_normal(h.shape), []
    for t in range(steps):
        direction *= 1e-7 / np.linalg.norm(direction)
        noise = rng.standard_normal(h.shape)
        one, two = step(h, noise), step(h + direction, noise)
        h, direction = one, two - one
        if t >= 10:
            logs.append(np.log(np.linalg.norm(direction) / 1e-7))
    return np.mean(logs)


CASES = [
    ("layer", "joint", "tanh", {"gain": 1.0, "input_variance": 1.0}),
    ("layer", "joint", "relu", {"gain": 0.7, "input_variance": 0.3, "weight_gain": 1.5}),
    ("rms", "separate", "tanh", {"gain": 1.0, "input_gain": 0.5}),
    ("layer", "separate", "relu", {"gain": 1.0}),
    ("batch", "separate", "tanh", {"gain": 0.1}),
    ("batch", "separate", "relu", {"gain": 1.0}),
    ("batch", "joint", "tanh", {"gain": 2.0, "input_variance": 0.3}),
]


@pytest.mark.parametrize(("norm", "placement", "activation", "options"), CASES)
def test_differences_grow_as_predicted(norm, placement, activation, options):
    n, batch = 300, 150 if norm == "batch" else 4
    rng = np.random.default_rng(5)
    W = options.get("weight_gain", 1.0) / np.sqrt(n) * rng.standard_normal((n, n))
    gain, axis = options["gain"], {"batch": 0}.get(norm, 1)

    def step(h, noise):
        recurrent = h @ W.T
        driven = np.sqrt(options.get("input_variance", 1.0)) * noise
        if placement == "joint":
            return ACTIVATIONS[activation](
                gain * normalize(recurrent + driven, axis, norm != "rms")
            )
        a = gain * normalize(recurrent, axis, norm != "rms")
        a = a + options.get("input_gain", gain) * normalize(driven, axis, norm != "rms")
        return ACTIVATIONS[activation](a)

    measured = growth_of_differences(step, rng.standard_normal((batch, n)), 40, rng)
    functions = {
        "layer": layer_norm_exponent, "rms": rms_norm_exponent, "batch": batch_norm_exponent
    }  # fmt: skip
    predicted = functions[norm](activation=activation, placement=placement, **options)
    assert measured == pytest.approx(predicted, abs=0.03)


def test_no_input_never_vanishes_and_much_input_always_does():
    for gain in (0.1, 1.0, 4.0):
        assert layer_norm_exponent(gain=gain) > 0
        assert layer_norm_exponent(gain=gain, input_variance=4.0) < 0
    # gain -> 0: half of what is normalized is recurrent.
    assert batch_norm_exponent(gain=1e-3) == pytest.approx(-np.log(2) / 2, abs=1e-5)
    assert layer_norm_exponent(activation="relu") == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("epsilon", [0.0, 0.3])
def test_singular_values_of_the_norm_itself(epsilon):
    a = np.array([0.3, -1.2, 2.0, 0.1, 0.9])

    def norm(a):
        centered = a - a.mean()
        return 1.5 * centered / (centered @ centered / 5 + epsilon) ** 0.5

    with jax.enable_x64(True):
        J = jax.jit(jax.jacfwd(norm))(a)
    expected = np.linalg.svd(J, compute_uv=False)
    found = layer_norm_singular_values(a, gain=1.5, epsilon=epsilon)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    two = layer_norm_singular_values(np.array([1.0, 2.0]), epsilon=epsilon)
    np.testing.assert_allclose(two, [epsilon / (0.25 + epsilon) ** 1.5, 0])


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="'joint' or 'separate'; got 'input'"):
        layer_norm_exponent(placement="input")
    with pytest.raises(ValueError, match="no `input_gain`"):
        layer_norm_exponent(input_gain=1.0)
    with pytest.raises(ValueError, match="no `input_variance`"):
        batch_norm_exponent(input_variance=1.0)
    with pytest.raises(ValueError, match="positive, finite `gain`; got 0"):
        rms_norm_exponent(gain=0.0)
    with pytest.raises(ValueError, match="`bias_variance`; got -1"):
        layer_norm_exponent(bias_variance=-1.0)
    with pytest.raises(ValueError, match="values that differ"):
        layer_norm_singular_values(np.ones(3))
    with pytest.raises(ValueError, match=r"one vector of values; got shape \(1, 2\)"):
        layer_norm_singular_values(np.ones((1, 2)))
