"""Imported cells against each framework's equations; none of them needs to be installed."""

import functools as ft

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from vanishing_jax import cells, interop

from . import formulas

D, N = 3, 4


def _draw(*shapes):
    rng = np.random.default_rng(3)
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def keras(gates, *bias):
    kernel, recurrent, b = _draw((D, gates * N), (N, gates * N), (*bias, gates * N))
    return {"kernel": kernel, "recurrent_kernel": recurrent, "bias": b}


def linen(gates, biased):
    kernels = _draw(*(shape for _ in gates for shape in ((D, N), (N, N))))
    modules = [side + gate for gate in gates for side in "ih"]
    weights = {m: {"kernel": k} for m, k in zip(modules, kernels, strict=True)}
    for module, bias in zip(biased, _draw(*((N,) for _ in biased)), strict=True):
        weights[module]["bias"] = bias
    return weights


def haiku(kind):
    if kind == "lstm":
        w, b = _draw((D + N, 4 * N), (4 * N,))
        return {"linear": {"w": w, "b": b}}
    return dict(zip(("w_i", "w_h", "b"), _draw((D, 3 * N), (N, 3 * N), (3 * N,)), strict=True))


def onnx(gates, peepholes=False):
    shapes = {"W": (1, gates * N, D), "R": (1, gates * N, N), "B": (1, 2 * gates * N)}
    shapes |= {"P": (1, 3 * N)} if peepholes else {}
    return dict(zip(shapes, _draw(*shapes.values()), strict=True))


LSTM_MODULES = ("hi", "hf", "hg", "ho")
# name -> loader, what precedes the weights' names, weights, formula, class of the cell
CASES = {
    "Keras LSTM": (
        interop.load_keras, "lstm/lstm_cell", keras(4), formulas.keras_lstm, cells.LSTMCell,
    ),
    "Keras GRU": (
        interop.load_keras, "gru/gru_cell", keras(3, 2), formulas.keras_gru, cells.GRUCell,
    ),
    "Keras GRU, reset before": (
        interop.load_keras, "gru/gru_cell", keras(3), formulas.keras_gru,
        cells.ResetBeforeGRUCell,
    ),
    "Linen LSTM": (
        interop.load_flax, "params/cell", linen("ifgo", LSTM_MODULES), formulas.linen_lstm,
        cells.LSTMCell,
    ),
    "Linen GRU": (
        interop.load_flax, "params", linen("rzn", ("ir", "iz", "in", "hn")), formulas.linen_gru,
        cells.GRUCell,
    ),
    "Haiku LSTM": (interop.load_haiku, "lstm", haiku("lstm"), formulas.haiku_lstm, cells.LSTMCell),
    "Haiku GRU": (
        interop.load_haiku, "gru", haiku("gru"), formulas.haiku_gru, cells.ResetBeforeGRUCell,
    ),
    "ONNX LSTM": (
        ft.partial(interop.load_onnx, clip=0.7), "", onnx(4, True),
        ft.partial(formulas.onnx_lstm, clip=0.7, input_forget=False), cells.PeepholeLSTMCell,
    ),
    "ONNX LSTM, coupled": (
        ft.partial(interop.load_onnx, input_forget=1), "encoder", onnx(4, True),
        ft.partial(formulas.onnx_lstm, clip=99, input_forget=True), cells.PeepholeLSTMCell,
    ),
    "ONNX GRU": (
        ft.partial(interop.load_onnx, linear_before_reset=1), "", onnx(3),
        ft.partial(formulas.onnx_gru, after=True), cells.GRUCell,
    ),
    "ONNX GRU, reset before": (
        ft.partial(interop.load_onnx, linear_before_reset=0), "", onnx(3),
        ft.partial(formulas.onnx_gru, after=False), cells.ResetBeforeGRUCell,
    ),
}  # fmt: skip


def flattened(tree, separator, prefix=""):
    found = {}
    for name, leaf in tree.items():
        path = prefix + separator + name if prefix else name
        found |= flattened(leaf, separator, path) if isinstance(leaf, dict) else {path: leaf}
    return found


@pytest.mark.parametrize("name", CASES)
def test_step_equals_the_equations(name, tmp_path):
    load, prefix, weights, formula, kind = CASES[name]
    nested = weights
    for part in reversed(prefix.split("/") if prefix else []):
        nested = {part: nested}
    others = {"head": {"weight": np.ones((2, 2), np.float32)}}
    cell = load(nested | others)
    assert type(cell) is kind
    assert {leaf.dtype for leaf in jax.tree.leaves(cell)} == {jnp.dtype(jnp.float32)}
    rng = np.random.default_rng(0)
    state = jax.tree.map(lambda a: rng.normal(size=a.shape), cell.initial_state())
    x = rng.normal(size=D)
    exact = jax.tree.map(lambda a: a.astype(np.float64), weights)
    cell64 = jax.tree.map(lambda a: a.astype(jnp.float64), cell)
    for a, b in zip(
        jax.tree.leaves(cell64(state, x)), jax.tree.leaves(formula(exact, state, x)), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
    # The same, flattened in a file by any separator, is the same cell to the last bit.
    for separator in "./":
        path = tmp_path / "weights.safetensors"
        safetensors.numpy.save_file(flattened(nested | others, separator), path)
        for a, b in zip(jax.tree.leaves(load(path)), jax.tree.leaves(cell), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16, np.float64])
def test_weights_keep_their_dtype(dtype):
    weights = {name: array.astype(dtype) for name, array in keras(3, 2).items()}
    cell = interop.load_keras(weights)
    assert {leaf.dtype for leaf in jax.tree.leaves(cell)} == {jnp.dtype(dtype)}
    core = jax.tree.map(lambda a: a.astype(dtype), {"lstm": haiku("lstm")})
    assert {leaf.dtype for leaf in jax.tree.leaves(interop.load_haiku(core))} == {jnp.dtype(dtype)}
