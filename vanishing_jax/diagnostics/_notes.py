"""What else there is to know of a measurement: its mode, its parts without a derivative."""

import jax
import jax.numpy as jnp

from .._tree import StateLayout


def notes_of(layout: StateLayout, state0, mode) -> list[str]:
    """Return what else there is to know of this measurement, in sentences."""
    notes = []
    if mode == "rev":
        notes.append(
            "the cell has a custom_vjp: Jacobians are what its own rule sends back, which training "
            "sees and which need not be the derivative of the step."
        )
    if any(jnp.iscomplexobj(leaf) for leaf in jax.tree.leaves(state0)):
        notes.append("the state is complex: its real and imaginary parts count as components.")
    if layout.left_out:
        notes.append(f"without a derivative, passed through: {', '.join(layout.left_out)}.")
    return notes
