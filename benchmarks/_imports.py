"""How far an imported network is from the original, forward and backward."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from vanishing_jax.networks import RecurrentNetwork


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
    return {
        "forward": _largest(ours.outputs, theirs.outputs),
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
