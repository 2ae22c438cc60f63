"""Imports against the frameworks themselves, by the cases of benchmarks/bench_imports.py."""

import importlib
import pathlib

import jax
import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "benchmarks"

# Of the cases in docs/guides/interop.md those compared here too: outputs and gradients, or outputs
# only (the gradients of another case of the same cell are compared).
GRADIENTS = [
    ("Flax Linen", "GRUCell", {}),
    ("Flax NNX", "GRUCell", {}),
    ("Haiku", "GRU", {}),
    ("Equinox", "LSTMCell", {}),
    ("Keras", "GRU", {}),
]
OUTPUTS = [
    ("ONNX", "LSTM", {"peepholes": True, "clip": 0.5}),
    ("Flax Linen", "MGUCell", {}),
    ("Flax NNX", "LSTMCell", {}),
    ("Haiku", "LSTM", {}),
    ("Keras", "GRU", {"reset_after": False}),
    ("ONNX", "RNN", {"activations": ["Relu"], "clip": 0.5}),
    ("ONNX", "LSTM", {"peepholes": True, "input_forget": 1}),
    ("ONNX", "GRU", {"linear_before_reset": 0}),
]


def check(framework: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check all cases of one framework: in one test, so that one process imports it."""
    monkeypatch.syspath_prepend(str(FOLDER))
    bench = importlib.import_module("bench_imports")
    sizes = bench.Sizes()
    before = jax.config.values.copy()
    errors = {}
    wanted = [case for case in GRADIENTS + OUTPUTS if case[0] == framework]
    for name, make, kind, options in bench.CASES:
        if (name, kind, options) in wanted:
            original = make(kind, sizes, **options)
            forward_only = (name, kind, options) not in GRADIENTS
            errors[original.name] = bench.compare(original, sizes, forward_only=forward_only)
    assert len(errors) == len(wanted)
    # Gradients are compared in relation to their largest entry.
    wrong = {name: found for name, found in errors.items() if not max(found.values()) < 1e-6}
    assert not wrong
    assert jax.config.values == before, f"importing {framework} changed JAX's settings"
