"""What a recurrent network went through on one sequence."""

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Bool

from .._rollout import Trajectory
from .._tree import describe
from .._types import ArrayLike


class NetworkTrajectory(eqx.Module):
    """The states of every layer and direction, and every layer's outputs.

    - `names`: the network's parts, from the input upwards: "layer0", or "layer0.forward" and
      "layer0.backward".
    - `trajectories`: one `Trajectory` for each part, in the order in which it steps: `states[t]` of
      a backward part has seen the last t elements.
    - `outputs`: one array (time, size) for each layer, in the order of time; in a bidirectional
      layer the forward output comes first. Zero in the padding.
    - `keep`: which steps count, (time,) of booleans. At the others, which are padding, a state
      stays what it was, and inputs are zero.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    trajectories: tuple[Trajectory, ...]
    outputs: tuple[ArrayLike, ...]
    keep: Bool[ArrayLike, "*batch time"]

    @property
    def output(self) -> ArrayLike:
        """Output of the last layer, shape (time, size), in the order of time."""
        return self.outputs[-1]

    def __getitem__(self, name: str) -> Trajectory:
        """Return the trajectory of the part of this name."""
        if name not in self.names:
            raise KeyError(f"expected a part out of {list(self.names)}; got {name!r}.")
        return self.trajectories[self.names.index(name)]

    def valid(self, name: str) -> Trajectory:
        """Return the trajectory of the part of this name without padding (outside `jit` only)."""
        length = int(np.sum(np.asarray(self.keep)))
        part = self[name]
        states = jax.tree.map(lambda leaf: leaf[: length + 1], part.states)
        return Trajectory(states, jax.tree.map(lambda leaf: leaf[:length], part.inputs))

    def __repr__(self) -> str:
        return f"NetworkTrajectory({', '.join(self.names)}; output={describe(self.output)})"
