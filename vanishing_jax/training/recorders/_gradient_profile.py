"""The gradient at every step of the sequence."""

import jax
from jaxtyping import Float

from ..._types import Array
from ...diagnostics._back_propagate import loss_gradient
from ...diagnostics._gradient_profile import adjoint_profile
from .._model import readout_loss
from ._update import Update, trajectories


def gradient_profile(update: Update) -> Float[Array, "time_plus_one"]:
    """Return log ||dL/ds_t|| for t = 0..T over the whole batch, natural log, without underflow.

    As `vj.gradient_profile`: L is the task's loss, the norm that of all sequences' gradients
    together. Falling from right to left it shows how far back learning reaches, after the
    clipping of a `ClippedGradientCell`.
    """
    cell = update.model.cell
    runs = trajectories(cell, update.inputs)
    loss = readout_loss(update.model, update.task, update.targets)
    local = loss_gradient(runs.states, loss, 2)

    def profile(trajectory, local):
        return adjoint_profile(cell, trajectory, local, with_parameters=False).log_norm

    log_norm = jax.vmap(profile)(runs, local)
    return jax.nn.logsumexp(2 * log_norm, axis=0) / 2
