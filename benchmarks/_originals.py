"""Networks of other frameworks with drawn weights, to compare imports with."""

import functools as ft
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from vanishing_jax import interop

Step = Callable[[Any, Any, Any], Any]


class Sizes(NamedTuple):
    """Of the networks compared."""

    inputs: int = 3
    units: int = 4
    steps: int = 6


class Run(NamedTuple):
    """One pass through a network, and the gradient of sum(probe * outputs), if there is a probe."""

    outputs: np.ndarray  # time, units
    of_inputs: Any = None
    of_state: Any = None  # as the imported network has its state
    of_weights: Any = None  # as the weights came, or of the imported network itself


class Original(NamedTuple):
    """A network of another framework: its weights, and what it makes of a sequence."""

    name: str
    weights: Any
    load: Callable[[Any], Any]
    run: Callable[[Any, np.ndarray, np.ndarray | None], Run]  # (state0 as imported, inputs, probe)


def draw(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Return float32 numbers at which a network of these shapes neither dies nor bursts."""
    return (rng.normal(size=shape) / np.sqrt(max(shape[-1], 2))).astype(np.float32)


def redraw(tree: Any, rng: np.random.Generator) -> Any:
    """Return `tree` with all its arrays drawn anew: biases start as 0 and would hide mistakes."""
    return jax.tree.map(lambda leaf: draw(rng, *np.shape(leaf)), tree)


def named(kind: str, options: dict[str, Any]) -> str:
    """Return the name of a network."""
    return ", ".join([kind, *(f"{key}={value}" for key, value in options.items())])


def plainly(fn: Callable) -> Callable:
    """Return `fn` under JAX's own rules of promotion, which other libraries rely on."""

    @ft.wraps(fn)
    def call(*args, **options):
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            return fn(*args, **options)

    return call


def by_steps(step: Step, weights: Any, order: Callable[[Any], Any] = lambda s: s) -> Callable:
    """Return a `run` of `step(weights, state, x) -> (state, output)`.

    `order` swaps between the order of a state here and there; it is its own inverse.
    """

    def sequence(weights, state0, inputs):
        return jax.lax.scan(lambda s, x: step(weights, s, x), order(state0), inputs)[1]

    return by_sequence(sequence, weights)


def by_sequence(sequence: Callable, weights: Any) -> Callable:
    """Return a `run` of `sequence(weights, state0, inputs) -> outputs`."""

    @jax.jit
    def differentiate(weights, state0, inputs, probe):
        def loss(weights, state0, inputs):
            outputs = sequence(weights, state0, inputs)
            return jnp.sum(outputs * probe), outputs

        grad = jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)
        return grad(weights, state0, inputs)

    @plainly
    def run(state0, inputs, probe):
        if probe is None:
            return Run(np.asarray(sequence(weights, state0[0], inputs)))
        (_, outputs), gradients = differentiate(weights, state0[0], inputs, probe)
        return Run(np.asarray(outputs), gradients[2], (gradients[1],), gradients[0])

    return run


def swapped(state: tuple) -> tuple:
    """Return (c, h) as (h, c), and the other way round."""
    return state[1], state[0]


@plainly
def linen(kind: str, sizes: Sizes) -> Original:
    """Return a cell of Flax Linen."""
    from flax import linen

    module = getattr(linen, kind)(sizes.units)
    x, key = jnp.zeros(sizes.inputs, jnp.float32), jax.random.key(0)
    carry = jax.eval_shape(lambda: module.initialize_carry(key, x.shape))
    weights = redraw(jax.eval_shape(module.init, key, carry, x), np.random.default_rng(1))
    order = swapped if isinstance(carry, tuple) else lambda s: s
    options = {"activation": "tanh"} if kind == "SimpleCell" else {}
    load = ft.partial(interop.load_flax, **options)
    return Original(kind, weights, load, by_steps(module.apply, weights, order))


@plainly
def linen_bidirectional(kind: str, sizes: Sizes) -> Original:
    """Return a layer of Flax Linen that reads both ways; it starts from 0."""
    from flax import linen

    rnn = [linen.RNN(getattr(linen, kind)(sizes.units)) for _ in range(2)]
    module, x = linen.Bidirectional(*rnn), jnp.zeros((sizes.steps, sizes.inputs), jnp.float32)
    shapes = jax.eval_shape(module.init, jax.random.key(0), x)
    weights = redraw(shapes, np.random.default_rng(1))
    order = swapped if "LSTM" in kind else lambda s: s

    def sequence(weights, state0, inputs):
        start = tuple(map(order, state0))
        return module.apply(weights, inputs, initial_carry=start)

    run = by_sequence(sequence, weights)
    return Original(f"Bidirectional, {kind}", weights, interop.load_flax, run)


@plainly
def nnx(kind: str, sizes: Sizes) -> Original:
    """Return a cell of Flax NNX."""
    from flax import nnx

    make = getattr(nnx, kind)
    module = nnx.eval_shape(lambda: make(sizes.inputs, sizes.units, rngs=nnx.Rngs(0)))
    graph, params, rest = nnx.split(module, nnx.Param, ...)
    weights = redraw(params, np.random.default_rng(1))
    order = swapped if "LSTM" in kind else lambda s: s

    def step(weights, state, x):
        return nnx.merge(graph, weights, rest)(state, x)

    options = {"activation": "tanh"} if kind == "SimpleCell" else {}
    load = ft.partial(interop.load_flax, **options)
    return Original(kind, weights, load, by_steps(step, weights, order))


@plainly
def haiku(kind: str, sizes: Sizes) -> Original:
    """Return a core of Haiku."""
    import haiku as hk

    def call(x, state):
        core = getattr(hk, kind)(sizes.units)
        return core(x, core.initial_state(None) if state is None else state)

    module = hk.without_apply_rng(hk.transform(call))
    x = jnp.zeros(sizes.inputs, jnp.float32)
    shapes = jax.eval_shape(lambda key: module.init(key, x, None), jax.random.key(0))
    weights = redraw(shapes, np.random.default_rng(1))

    def step(weights, state, x):
        state = hk.LSTMState(*state) if kind == "LSTM" else state
        output, state = module.apply(weights, x, state)
        return tuple(state) if kind == "LSTM" else state, output

    run = by_steps(step, weights)

    def with_one_bias(state0, inputs, probe):
        found = run(state0, inputs, probe)
        second = "vanilla_rnn/linear_1"
        if probe is not None and second in found.of_weights:
            found.of_weights[second]["b"] = np.zeros(sizes.units, np.float32)
        return found

    return Original(kind, weights, interop.load_haiku, with_one_bias)


@plainly
def equinox(kind: str, sizes: Sizes) -> Original:
    """Return a cell of Equinox."""
    make = ft.partial(getattr(eqx.nn, kind), sizes.inputs, sizes.units, dtype=jnp.float32)
    shapes = eqx.filter_eval_shape(make, key=jax.random.key(0))
    module = redraw(shapes, np.random.default_rng(1))

    def step(module, state, x):
        state = module(x, state)
        return state, state[0] if kind == "LSTMCell" else state

    def load(module):
        leaves = jax.tree_util.tree_leaves_with_path(module)
        return interop.load_equinox({jax.tree_util.keystr(p): leaf for p, leaf in leaves})

    return Original(kind, module, load, by_steps(step, module))


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
    name = named(f"Bidirectional, {kind}" if bidirectional else kind, options)
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
    return Original(named(kind, options), weights, ft.partial(interop.load_torch, **given), run)


def onnx(kind: str, sizes: Sizes, *, peepholes: bool = False, **attributes: Any) -> Original:
    """Return an operator of ONNX, run by ONNX Runtime, which computes no gradients."""
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
        return Run(session.run(["Y"], feeds)[0].reshape(sizes.steps, -1))

    def load(weights):
        given = {k: v for k, v in attributes.items() if k != "hidden_size"}
        if kind == "GRU":
            given.setdefault("linear_before_reset", 0)
        if kind == "RNN":
            given.setdefault("activations", ["Tanh"] * both)
        return interop.load_onnx(weights, **given)

    name = named(f"{kind}, peepholes" if peepholes else kind, attributes)
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
