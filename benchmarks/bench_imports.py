"""How far an imported network is from the original: outputs, and gradients by everything.

python benchmarks/bench_imports.py
"""

import functools as ft
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import _originals
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from _main import Benchmark, attempt, names, progress
from _originals import Original, Run, Sizes, redraw

from vanishing_jax.networks import RecurrentNetwork

CASES: list[tuple[str, Callable, str, dict[str, Any]]] = [
    ("PyTorch", _originals.torch, "RNN", {}),
    ("PyTorch", _originals.torch, "RNN", {"nonlinearity": "relu"}),
    ("PyTorch", _originals.torch, "LSTM", {}),
    ("PyTorch", _originals.torch, "LSTM", {"num_layers": 2, "bidirectional": True}),
    ("PyTorch", _originals.torch, "LSTM", {"proj_size": 2}),
    ("PyTorch", _originals.torch, "GRU", {}),
    ("PyTorch", _originals.torch, "GRU", {"bias": False}),
    ("Flax Linen", _originals.linen, "SimpleCell", {}),
    ("Flax Linen", _originals.linen, "LSTMCell", {}),
    ("Flax Linen", _originals.linen, "OptimizedLSTMCell", {}),
    ("Flax Linen", _originals.linen, "GRUCell", {}),
    ("Flax Linen", _originals.linen, "MGUCell", {}),
    ("Flax Linen", _originals.linen_bidirectional, "LSTMCell", {}),
    ("Flax NNX", _originals.nnx, "SimpleCell", {}),
    ("Flax NNX", _originals.nnx, "LSTMCell", {}),
    ("Flax NNX", _originals.nnx, "OptimizedLSTMCell", {}),
    ("Flax NNX", _originals.nnx, "GRUCell", {}),
    ("Haiku", _originals.haiku, "VanillaRNN", {}),
    ("Haiku", _originals.haiku, "LSTM", {}),
    ("Haiku", _originals.haiku, "GRU", {}),
    ("Equinox", _originals.equinox, "LSTMCell", {}),
    ("Equinox", _originals.equinox, "GRUCell", {}),
    ("Keras", _originals.keras, "SimpleRNN", {}),
    ("Keras", _originals.keras, "LSTM", {}),
    ("Keras", _originals.keras, "LSTM", {"use_bias": False}),
    ("Keras", _originals.keras, "LSTM", {"bidirectional": True}),
    ("Keras", _originals.keras, "GRU", {}),
    ("Keras", _originals.keras, "GRU", {"reset_after": False}),
    ("Keras", _originals.keras, "GRU", {"use_bias": False, "reset_after": False}),
    ("ONNX", _originals.onnx, "RNN", {}),
    ("ONNX", _originals.onnx, "RNN", {"activations": ["Relu"], "clip": 0.5}),
    ("ONNX", _originals.onnx, "LSTM", {}),
    ("ONNX", _originals.onnx, "LSTM", {"peepholes": True}),
    ("ONNX", _originals.onnx, "LSTM", {"peepholes": True, "clip": 0.5}),
    ("ONNX", _originals.onnx, "LSTM", {"peepholes": True, "input_forget": 1}),
    ("ONNX", _originals.onnx, "LSTM", {"direction": "bidirectional"}),
    ("ONNX", _originals.onnx, "GRU", {"linear_before_reset": 0}),
    ("ONNX", _originals.onnx, "GRU", {"linear_before_reset": 1}),
    ("ONNX", _originals.onnx, "GRU", {"linear_before_reset": 1, "clip": 0.5}),
]
"""framework, function that makes the original, its kind, options"""


def compare(
    original: Original, sizes: Sizes, seed: int = 0, *, forward_only: bool = False
) -> dict[str, float]:
    """Return the largest errors of the outputs (absolute) and of the gradients (relative)."""
    rng = np.random.default_rng(seed)
    network = as_network(original.load(original.weights))
    state0 = redraw(network.initial_state(), rng)
    inputs = rng.normal(size=(sizes.steps, sizes.inputs)).astype(np.float32)
    if forward_only:
        outputs = network(inputs, state0=state0).output
        return {"forward": _largest(outputs, original.run(state0, inputs, None).outputs)}
    width = jax.eval_shape(lambda x: network(x).outputs[-1], inputs).shape[-1]
    probe = rng.normal(size=(sizes.steps, width)).astype(np.float32)
    ours, theirs = _run(network, state0, inputs, probe), original.run(state0, inputs, probe)
    forward = _largest(ours.outputs, theirs.outputs)
    if theirs.of_weights is None:
        return {"forward": forward}
    return {
        "forward": forward,
        "inputs": relative(ours.of_inputs, theirs.of_inputs),
        "state": relative(ours.of_state, theirs.of_state),
        "weights": _of_weights(original, ours.of_weights, theirs.of_weights),
    }


def _largest(a: Any, b: Any) -> float:
    assert np.shape(a) == np.shape(b)
    return float(np.max(np.abs(np.asarray(a) - np.asarray(b))))


@eqx.filter_jit
def _differentiate(network, state0, inputs, probe):
    def loss(network, state0, inputs):
        outputs = network(inputs, state0=state0).output
        return jnp.sum(outputs * probe), outputs

    return jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)(network, state0, inputs)


def _run(network: RecurrentNetwork, state0: Any, inputs: np.ndarray, probe: np.ndarray) -> Run:
    (_, outputs), gradients = _differentiate(network, state0, inputs, probe)
    return Run(np.asarray(outputs), gradients[2], gradients[1], gradients[0])


def _of_weights(original: Original, ours: RecurrentNetwork, theirs: Any) -> float:
    """Return the error of the gradient by the weights.

    An import permutes and transposes matrices, and adds biases: what it makes of the other
    framework's gradients is to be ours, with the gradient of one of two added biases set to 0.
    What no weight of theirs reaches, such as a bias that they do not have, is not compared.
    """
    expected, zero, one = (
        as_network(original.load(tree))
        for tree in (theirs, *(jax.tree.map(f, theirs) for f in (np.zeros_like, np.ones_like)))
    )
    ours, expected, zero, one = jax.tree.map(np.asarray, (ours, expected, zero, one))
    linear = jax.tree.map(lambda a, b: a - b, expected, zero)  # Haiku's puts a 1 into a bias
    reached = jax.tree.map(lambda a, b, c: np.where(b != c, a, 0), ours, one, zero)
    return relative(reached, linear)


def as_network(loaded: Any) -> RecurrentNetwork:
    """Return what a loader returned as a network."""
    return loaded if isinstance(loaded, RecurrentNetwork) else RecurrentNetwork([loaded])


def relative(found: Any, expected: Any) -> float:
    """Return the largest error in relation to the largest number, over the arrays of two trees."""
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    errors = [
        np.max(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)))
        / max(np.max(np.abs(b)), 1e-30)
        for a, b in pairs
    ]
    return float(max(errors))


def rows(sizes: Sizes, seeds: int, only: list[str] | None) -> list[dict[str, Any]]:
    """Return the errors of all cases, each the largest over the seeds."""
    found = []
    for framework, make, kind, options in CASES:
        if only and framework not in only:
            continue
        row: dict[str, Any] = {"framework": framework, "network": kind}
        original = attempt(row, ft.partial(make, kind, sizes, **options))
        if original is not None:
            errors = [compare(original, sizes, seed) for seed in range(seeds)]
            row["network"] = original.name
            row |= {name: max(error[name] for error in errors) for name in errors[0]}
        found.append(row)
        progress(row)
    return found


def add_options(parser) -> None:
    parser.add_argument("--only", type=names, help="frameworks")


def measure(options) -> Iterator[dict[str, Any]]:
    """Give everything in the end."""
    sizes, seeds = Sizes(5, 8, 20), 1 if options.quick else 5
    with warnings.catch_warnings(), jax.enable_x64(False):
        warnings.simplefilter("ignore")
        found = rows(sizes, seeds, options.only)
    yield {"rows": found, "settings": {"seeds": seeds, **sizes._asdict()}}


BENCHMARK = Benchmark("imports", __doc__, measure, add_options)


if __name__ == "__main__":
    BENCHMARK.start()
