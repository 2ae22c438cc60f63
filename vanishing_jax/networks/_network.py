"""A recurrent network: layers that read the whole sequence of the layer below."""

import functools as ft
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from .._chain import JacobianChain
from .._checks import as_arrays, num_steps
from .._linearize import linearize
from .._rollout import Trajectory, rollout
from .._types import Array, PyTree
from ..cells import AbstractCell, BidirectionalCell, MaskedCell, as_cell, hidden_output
from ._trajectory import NetworkTrajectory


class Part(NamedTuple):
    """One direction of one layer: what has states, and a chain of Jacobians, of its own.

    - `name`: "layer0" of a layer in one direction, "layer0.forward" and "layer0.backward" of a
      bidirectional one.
    - `layer`: its layer, from 0; `direction`: in which it reads; `cell`: what it steps with.
    """

    name: str
    layer: int
    direction: Literal["forward", "backward"]
    cell: AbstractCell


class RecurrentNetwork(eqx.Module):
    r"""Recurrent layers, each run over the outputs of the one below, in one direction or both.

    A layer is a cell, or a `BidirectionalCell`: its backward direction reads the sequence from its
    last element to the first, and the hidden outputs of both, put in the order of time, are the
    input $(h^f_t, h^b_t)$ of the layer above. With layers in one direction only this is
    `StackedCell` run over the sequence; a bidirectional layer below another makes every state
    depend on all inputs, so the network as a whole is no recurrence: each direction of each layer
    (`parts`) has a chain of Jacobians, given its inputs.

    The network is its own parameter pytree and is called on one sequence; batches go through
    `jax.vmap`. Padding changes no bit of anything: see `MaskedCell`.

    **Arguments:**

    - `layers`: from the input upwards, each anything that `as_cell` takes.

    **Raises:** `ValueError` without a layer.

    **Example:**

    >>> import jax, jax.numpy as jnp
    >>> from vanishing_jax.cells import BidirectionalCell, GRUCell
    >>> keys = jax.random.split(jax.random.key(0), 3)
    >>> both = BidirectionalCell(GRUCell(3, 5, key=keys[0]), GRUCell(3, 5, key=keys[1]))
    >>> network = RecurrentNetwork([both, GRUCell(10, 2, key=keys[2])])
    >>> network.names
    ('layer0.forward', 'layer0.backward', 'layer1')
    >>> network(jnp.ones((7, 3)), lengths=4).output.shape
    (7, 2)

    ??? cite "Reference"
        ```bibtex
        @inproceedings{graves2013hybrid, title={Hybrid speech recognition with deep bidirectional
          {LSTM}}, author={Graves, Alex and Jaitly, Navdeep and Mohamed, Abdel-rahman},
          booktitle={ASRU}, year={2013}}
        ```
    """

    layers: tuple[AbstractCell, ...]

    def __init__(self, layers: Sequence[Any]):
        self.layers = tuple(as_cell(layer) for layer in layers)
        if not self.layers:
            raise ValueError("RecurrentNetwork needs at least one layer; got none.")

    def __call__(
        self, inputs: PyTree, *, lengths: Any = None, state0: Sequence[PyTree] | None = None
    ) -> NetworkTrajectory:
        """Return states and outputs of all layers on one sequence.

        **Arguments:**

        - `inputs`: the sequence, arrays of shape (time, ...).
        - `lengths`: how many of its steps count, at least 1; the rest is padding, whatever it
          holds. None: all of them. With a batch: `jax.vmap(lambda x, n: network(x, lengths=n))`.
        - `state0`: one initial state per layer (a pair for a bidirectional one); default the
          cells' own (zeros).

        **Returns:** a `NetworkTrajectory`.

        **Raises:** `ValueError` for inputs that do not fit the first layer.
        """
        inputs = as_arrays(inputs, "inputs")
        states = self.initial_state() if state0 is None else tuple(state0)
        length = jnp.asarray(num_steps(inputs) if lengths is None else lengths, jnp.int32)
        trajectories: list[Trajectory] = []
        outputs: list[Any] = []
        for part, state in zip(self.parts, self.part_states(states), strict=True):
            below = outputs[part.layer - 1] if part.layer else inputs
            trajectory, output = _run_part(
                part.cell, state, below, length, part.direction == "backward"
            )
            trajectories.append(trajectory)
            if part.direction == "backward":  # beside the forward output of its layer
                outputs[-1] = jnp.concatenate([outputs[-1], output], -1)
            else:
                outputs.append(output)
        keep = _is_valid(num_steps(inputs), length)
        return NetworkTrajectory(self.names, tuple(trajectories), tuple(outputs), keep)

    def initial_state(self) -> tuple[PyTree, ...]:
        """Return the initial state of each layer."""
        return tuple(layer.initial_state() for layer in self.layers)

    def part_states(self, states: Sequence[PyTree]) -> list[PyTree]:
        """Return the initial state of each part, from one for each layer.

        **Raises:** `ValueError` for another number of states, and where that of a bidirectional
        layer is no pair.
        """
        if len(states) != len(self.layers):
            raise ValueError(
                f"expected state0 of {len(self.layers)} layers; got {len(states)} states."
            )
        found: list[PyTree] = []
        for layer, state in zip(self.layers, states, strict=True):
            if not isinstance(layer, BidirectionalCell):
                found.append(state)
            elif isinstance(state, tuple | list):
                found += state
            else:
                raise ValueError(
                    "expected the state of a bidirectional layer as a pair (forward, backward); "
                    f"got {type(state).__name__}."
                )
        return found

    @property
    def parts(self) -> tuple[Part, ...]:
        """Every direction of every layer, from the input upwards, forward first."""
        found = []
        for index, layer in enumerate(self.layers):
            name = f"layer{index}"
            if isinstance(layer, BidirectionalCell):
                found.append(Part(f"{name}.forward", index, "forward", layer.forward))
                found.append(Part(f"{name}.backward", index, "backward", layer.backward))
            else:
                found.append(Part(name, index, "forward", layer))
        return tuple(found)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parts."""
        return tuple(part.name for part in self.parts)

    @property
    def is_bidirectional(self) -> bool:
        """Whether some layer reads backward."""
        return any(part.direction == "backward" for part in self.parts)

    def chain(self, trajectory: NetworkTrajectory, name: str) -> JacobianChain:
        """Return the exact Jacobians of one part along a trajectory, given the part's inputs.

        **Arguments:**

        - `trajectory`: what this network returned.
        - `name`: of the part, as in `names`.

        **Returns:** a `JacobianChain` in the order in which the part steps, of the valid steps
        only.
        """
        cell = self.parts[self.names.index(name)].cell
        return linearize(cell, trajectory.valid(name))


@eqx.filter_jit
def _run_part(
    cell: AbstractCell, state: PyTree, inputs: PyTree, length: Array, backward: bool
) -> tuple[Trajectory, PyTree]:
    """Return the trajectory in the order in which the cell steps, and its outputs in that of time.

    Equal parts share this program.
    """
    keep = _is_valid(num_steps(inputs), length)
    inputs = _zero_where_not(keep, inputs)
    inputs = _reverse(inputs, length) if backward else inputs
    # Always with a mask, also where there is no padding: another program may round otherwise.
    states = rollout(MaskedCell(cell), state, (inputs, keep)).states
    after = jax.tree.map(lambda leaf: leaf[1:], states)
    output = _zero_where_not(keep, jax.vmap(lambda state: hidden_output(cell, state))(after))
    return Trajectory(states, inputs), _reverse(output, length) if backward else output


@ft.partial(jax.jit, static_argnums=0)
def _is_valid(steps: int, length: Array) -> Array:
    return jnp.arange(steps, dtype=jnp.int32) < length


def _zero_where_not(keep: Array, tree: PyTree) -> PyTree:
    """Return `tree` with zeros at the steps, its leading axis, where `keep` is False."""

    def zeroed(leaf):
        where = jnp.expand_dims(keep, tuple(range(1, leaf.ndim)))
        return jnp.where(where, leaf, jnp.zeros((), leaf.dtype))

    return jax.tree.map(zeroed, tree)


def _reverse(tree: PyTree, length: Array) -> PyTree:
    """Return the sequence from its last valid step to its first; padding stays where it is."""

    def reversed_leaf(leaf):
        steps = jnp.arange(leaf.shape[0], dtype=jnp.int32)
        return leaf[jnp.where(steps < length, length - 1 - steps, steps)]

    return jax.tree.map(reversed_leaf, tree)
