"""Networks of Keras, PyTorch and ONNX with drawn weights, to compare imports with."""

import functools as ft
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _imports import Original, Run, Sizes, draw, redraw
from _originals_jax import by_sequence, plainly

from vanishing_jax import interop


@plainly
def keras(kind: str, sizes: Sizes, *, bidirectional: bool = False, **options: Any) -> Original:
    """Return a layer of Keras 3 on JAX."""
    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    if keras.backend.backend() != "jax":
        raise ImportError(f"Keras was imported with the backend {keras.backend.backend()!r}")
    # Weights are drawn below: no orthogonal matrix is needed first.
    zeros = {"kernel_initializer": "zeros", "recurrent_initializer": "zeros"}
    layer = getattr(keras.layers, kind)(sizes.units, return_sequences=True, **zeros, **options)
    if bidirectional:
        layer = keras.layers.Bidirectional(layer)
    layer.build((1, sizes.steps, sizes.inputs))
    names = [w.path for w in layer.trainable_variables]
    rng = np.random.default_rng(1)
    weights = {w.path: draw(rng, *w.shape) for w in layer.trainable_variables}
    fixed = [w.value for w in layer.non_trainable_variables]

    def sequence(weights, state0, inputs):
        start = [leaf[None] for leaf in jax.tree.leaves(state0)]
        trainable = [weights[name] for name in names]
        return layer.stateless_call(trainable, fixed, inputs[None], initial_state=start)[0][0]

    run = by_sequence(sequence, weights)

    def with_one_bias(state0, inputs, probe):
        found = run(state0, inputs, probe)
        if probe is None:
            return found
        for name, gradient in found.of_weights.items():
            if name.endswith("/bias") and gradient.ndim == 2:
                # The first two of z r h have two biases that are added.
                second = jnp.arange(gradient.shape[1]) < 2 * sizes.units
                found.of_weights[name] = gradient.at[1].set(jnp.where(second, 0, gradient[1]))
        return found

    given = {"activation": options.get("activation", "tanh")} if kind == "SimpleRNN" else {}
    if kind == "GRU" and not options.get("use_bias", True):
        given["reset_after"] = options.get("reset_after", True)
    name = ", ".join([kind, *(f"{k}={v}" for k, v in options.items())])
    name = f"Bidirectional, {name}" if bidirectional else name
    return Original(name, weights, ft.partial(interop.load_keras, **given), with_one_bias)


def torch(kind: str, sizes: Sizes, **options: Any) -> Original:
    """Return a layer of PyTorch."""
    import torch

    torch.set_num_threads(1)
    module = getattr(torch.nn, kind)(sizes.inputs, sizes.units, **options)
    weights = redraw(
        {name: p.detach().numpy() for name, p in module.named_parameters()},
        np.random.default_rng(1),
    )
    module.load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()})

    def run(state0, inputs, probe):
        x = torch.tensor(np.asarray(inputs), requires_grad=True)
        leaves, structure = jax.tree.flatten(state0)
        # Ours is one state per layer and direction, theirs one array of all h and one of all c.
        start = [torch.tensor(np.asarray(leaf), requires_grad=True) for leaf in leaves]
        states = [torch.stack(start[0::2]), torch.stack(start[1::2])] if kind == "LSTM" else [start]
        first = tuple(states) if kind == "LSTM" else torch.stack(start)
        outputs = module(x, first)[0]
        if probe is None:
            return Run(outputs.detach().numpy())
        module.zero_grad()  # PyTorch adds to what is there
        (outputs * torch.tensor(np.asarray(probe))).sum().backward()
        of_weights = {name: p.grad.numpy().copy() for name, p in module.named_parameters()}
        for name, gradient in of_weights.items():
            if "bias_hh" in name:
                gradient[: 2 * sizes.units if kind == "GRU" else None] = 0
        of_state = jax.tree.unflatten(structure, [leaf.grad.numpy() for leaf in start])
        return Run(outputs.detach().numpy(), x.grad.numpy(), of_state, of_weights)

    given = {"nonlinearity": options.get("nonlinearity", "tanh")} if kind == "RNN" else {}
    name = ", ".join([kind, *(f"{k}={v}" for k, v in options.items())])
    return Original(name, weights, ft.partial(interop.load_torch, **given), run)


def onnx(kind: str, sizes: Sizes, *, peepholes: bool = False, **attributes: Any) -> Original:
    """Return an operator of ONNX, run by ONNX Runtime.

    That computes no gradients: they are those of the operator's formulas, below, in float64.
    """
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[kind]
    both = 2 if attributes.get("direction") == "bidirectional" else 1
    n, d = sizes.units, sizes.inputs
    shapes = {"W": (both, gates * n, d), "R": (both, gates * n, n), "B": (both, 2 * gates * n)}
    shapes |= {"P": (both, 3 * n)} if peepholes else {}
    rng = np.random.default_rng(1)
    weights = {name: draw(rng, *shape) for name, shape in shapes.items()}
    session = onnx_session(kind, weights, n, attributes)

    def run(state0, inputs, probe):
        leaves = jax.tree.leaves(state0)
        count = 2 if kind == "LSTM" else 1
        feeds = {"X": np.asarray(inputs)[:, None]}
        for index, name in enumerate(["initial_h", "initial_c"][:count]):
            feeds[name] = np.stack([np.asarray(leaf)[None] for leaf in leaves[index::count]])
        outputs = session.run(["Y"], feeds)[0].reshape(sizes.steps, -1)
        if probe is None:
            return Run(outputs)
        exact, *gradients = onnx_gradients(kind, weights, attributes, state0, inputs, probe)
        assert np.max(np.abs(exact - outputs)) < 1e-5, "the formulas are not those of ONNX Runtime"
        return Run(outputs, *gradients)

    def load(weights):
        given = {k: v for k, v in attributes.items() if k != "hidden_size"}
        if kind == "GRU":
            given.setdefault("linear_before_reset", 0)
        if kind == "RNN":
            given.setdefault("activations", ["Tanh"] * both)
        return interop.load_onnx(weights, **given)

    name = ", ".join([kind, *(["peepholes"] if peepholes else [])])
    name = ", ".join([name, *(f"{k}={v}" for k, v in attributes.items())])
    return Original(name, weights, load, run)


def onnx_model(kind: str, weights: dict[str, np.ndarray], n: int, attributes: dict) -> Any:
    """Return a model of one operator with inputs X and initial states."""
    import onnx
    from onnx import helper, numpy_helper

    places = ["X", "W", "R", "B", "", "initial_h"]
    places += ["initial_c", "P"] if kind == "LSTM" else []
    states = [name for name in places if name.startswith("initial")]
    given = {"X", *weights, *states}
    node = helper.make_node(
        kind,
        [name if name in given else "" for name in places],
        ["Y"],
        name="recurrence",
        hidden_size=n,
        **attributes,
    )
    real = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [node],
        "graph",
        [helper.make_tensor_value_info(name, real, [None] * 3) for name in ["X", *states]],
        [helper.make_tensor_value_info("Y", real, None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    # The newest versions are not known to every runtime.
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


def onnx_session(kind: str, weights: dict[str, np.ndarray], n: int, attributes: dict) -> Any:
    """Return ONNX Runtime's session of such a model."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    content = onnx_model(kind, weights, n, attributes).SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def onnx_gradients(kind, weights, attributes, state0, inputs, probe):
    """Return outputs and gradients by inputs, state and weights of the formulas in float64."""
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        given = jax.tree.map(lambda a: np.asarray(a, np.float64), (weights, state0, inputs))

        def loss(weights, state0, inputs):
            outputs = _formulas(kind, weights, attributes, state0, inputs)
            return jnp.sum(outputs * probe), outputs

        grad = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True))
        (_, outputs), (of_weights, of_state, of_inputs) = grad(*given)
        found = jax.tree.map(np.asarray, (outputs, of_inputs, of_state, of_weights))
    n = weights["R"].shape[-1]
    for index in range(len(found[3]["B"])):
        # Of two biases that are added one is compared.
        second = np.split(found[3]["B"].copy()[index], 2)[1]
        kept = 2 * n if kind == "GRU" and attributes.get("linear_before_reset") else len(second)
        second[:kept] = 0
        found[3]["B"] = found[3]["B"].copy()
        found[3]["B"][index, len(second) :] = second
    return found


def _formulas(kind, weights, attributes, state0, inputs):
    """The equations of the ONNX specification, with ONNX Runtime's reading of `clip`."""
    starts = state0[0] if len(weights["R"]) == 2 else state0
    outputs = []
    for index, state in enumerate(starts):
        w = {name: array[index] for name, array in weights.items()}
        xs = inputs[::-1] if index else inputs

        def step(state, x, w=w):
            state = _STEPS[kind](w, attributes, state, x)
            return state, state[0] if kind == "LSTM" else state

        ys = jax.lax.scan(step, state, xs)[1]
        outputs.append(ys[::-1] if index else ys)
    return jnp.concatenate(outputs, -1)


def _bounded(a, attributes):
    bound = attributes.get("clip")
    return a if bound is None else jnp.maximum(jnp.minimum(a, bound), -bound)


def _sigmoid(a, attributes):
    return 1 / (1 + jnp.exp(-_bounded(a, attributes)))


def _rnn(w, attributes, h, x):
    b, c = jnp.split(w["B"], 2)
    name = attributes.get("activations", ["Tanh"])[0]
    fn = {"Tanh": jnp.tanh, "Relu": lambda a: jnp.maximum(a, 0), "Sigmoid": jax.nn.sigmoid}[name]
    return fn(_bounded(w["W"] @ x + b + w["R"] @ h + c, attributes))


def _gru(w, attributes, h, x):
    (wz, wr, wh), (rz, rr, rh) = (jnp.split(w[name], 3) for name in "WR")
    bz, br, bh, cz, cr, ch = jnp.split(w["B"], 6)
    z = _sigmoid(wz @ x + bz + rz @ h + cz, attributes)
    r = _sigmoid(wr @ x + br + rr @ h + cr, attributes)
    after = attributes.get("linear_before_reset", 0)
    inner = r * (rh @ h + ch) if after else rh @ (r * h) + ch
    return (1 - z) * jnp.tanh(_bounded(wh @ x + bh + inner, attributes)) + z * h


def _lstm(w, attributes, state, x):
    h, c = state
    b, d = jnp.split(w["B"], 2)
    i, o, f, g = jnp.split(w["W"] @ x + b + w["R"] @ h + d, 4)
    pi, po, pf = jnp.split(w["P"], 3) if "P" in w else (0, 0, 0)
    i = _sigmoid(i + pi * c, attributes)
    f = 1 - i if attributes.get("input_forget") else _sigmoid(f + pf * c, attributes)
    c = f * c + i * jnp.tanh(_bounded(g, attributes))
    return _sigmoid(o + po * c, attributes) * jnp.tanh(c), c


_STEPS = {"RNN": _rnn, "GRU": _gru, "LSTM": _lstm}
