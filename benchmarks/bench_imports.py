"""Compare imported networks with the originals: outputs, and gradients by everything.

python benchmarks/bench_imports.py
"""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import _originals
import _originals_jax
import jax
from _imports import Sizes, compare
from _main import Benchmark, names, progress

CASES: list[tuple[str, Callable, str, dict[str, Any]]] = [
    ("PyTorch", _originals.torch, "RNN", {}),
    ("PyTorch", _originals.torch, "RNN", {"nonlinearity": "relu"}),
    ("PyTorch", _originals.torch, "LSTM", {}),
    ("PyTorch", _originals.torch, "LSTM", {"num_layers": 2, "bidirectional": True}),
    ("PyTorch", _originals.torch, "LSTM", {"proj_size": 2}),
    ("PyTorch", _originals.torch, "GRU", {}),
    ("PyTorch", _originals.torch, "GRU", {"bias": False}),
    ("Flax Linen", _originals_jax.linen, "SimpleCell", {}),
    ("Flax Linen", _originals_jax.linen, "LSTMCell", {}),
    ("Flax Linen", _originals_jax.linen, "OptimizedLSTMCell", {}),
    ("Flax Linen", _originals_jax.linen, "GRUCell", {}),
    ("Flax Linen", _originals_jax.linen, "MGUCell", {}),
    ("Flax Linen", _originals_jax.linen_bidirectional, "LSTMCell", {}),
    ("Flax NNX", _originals_jax.nnx, "SimpleCell", {}),
    ("Flax NNX", _originals_jax.nnx, "LSTMCell", {}),
    ("Flax NNX", _originals_jax.nnx, "OptimizedLSTMCell", {}),
    ("Flax NNX", _originals_jax.nnx, "GRUCell", {}),
    ("Haiku", _originals_jax.haiku, "VanillaRNN", {}),
    ("Haiku", _originals_jax.haiku, "LSTM", {}),
    ("Haiku", _originals_jax.haiku, "GRU", {}),
    ("Equinox", _originals_jax.equinox, "LSTMCell", {}),
    ("Equinox", _originals_jax.equinox, "GRUCell", {}),
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


def rows(sizes: Sizes, seeds: int, only: list[str] | None) -> list[dict[str, Any]]:
    """Return the errors of all cases, each the largest over the seeds."""
    found = []
    for framework, make, kind, options in CASES:
        if only and framework not in only:
            continue
        row: dict[str, Any] = {"framework": framework}
        try:
            original = make(kind, sizes, **options)
            row["network"] = original.name
            errors = [compare(original, sizes, seed) for seed in range(seeds)]
            row |= {name: max(error[name] for error in errors) for name in errors[0]}
        except ImportError as error:
            row |= {"network": kind, "error": str(error)}
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
